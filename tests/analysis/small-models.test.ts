import { describe, expect, it } from "vitest";
import { float, model, Sketch } from "../../fixtures/sketch.ts";
import { areSmall } from "../../src/analysis/small-models.ts";
import { encodeState } from "../../src/entries/training.ts";
import { buildTrainingArtifacts, type Model, type PortableArtifacts, Tensor } from "../../src/index.ts";
import { OrtNodeSession } from "../../src/runtime/ort-node/session.ts";
import { WAYS } from "../../src/runtime/ort-node/ways.ts";
import { programsOf } from "../../src/session-programs.ts";
import { smallNet } from "../support/small-net.ts";

/** `out` = `x` times `w`, both square, and a sum behind it. */
function product(side: number | string): Model {
  const sketch = new Sketch("product");
  sketch.input("x", float([side, side]));
  sketch.input("w", float([side, side]));
  sketch.node("MatMul", ["x", "w"], ["product"]);
  sketch.node("ReduceSum", ["product"], ["out"]);
  sketch.output("out", float([1, 1]));
  return model(sketch.graph, 8, [["", 17]]);
}

async function built(batch: number | string): Promise<PortableArtifacts> {
  const options = {
    loss: { kind: "cross-entropy" },
    targets: ["portable"],
    optimizer: { name: "adamw" },
    agr: {},
  } as const;
  const { portable } = await buildTrainingArtifacts(smallNet(batch), options);
  if (portable === null) throw new Error("no portable set was built");
  return portable;
}

describe("models are small", () => {
  it("where all their tensors are", () => {
    expect(areSmall([product(64)], null)).toBe(true);
    expect(areSmall([product(65)], null)).toBe(false);
    expect(areSmall([product(4), product(65)], null)).toBe(false);
    expect(areSmall([product(4)], product(65))).toBe(false);
  });

  it("not where a size is open, or a result between is large", () => {
    expect(areSmall([product("n")], null)).toBe(false);
    const sketch = new Sketch("outer");
    sketch.input("x", float([80, 1]));
    sketch.input("y", float([1, 80]));
    sketch.node("MatMul", ["x", "y"], ["all"]);
    sketch.node("ReduceSum", ["all"], ["out"]);
    sketch.output("out", float([1, 1]));
    expect(areSmall([model(sketch.graph, 8, [["", 17]])], null)).toBe(false);
  });

  it("not where there is a convolution", () => {
    const sketch = new Sketch("convolution");
    sketch.input("x", float([1, 1, 4, 4]));
    sketch.input("w", float([1, 1, 3, 3]));
    sketch.node("Conv", ["x", "w"], ["out"]);
    sketch.output("out", float([1, 1, 2, 2]));
    expect(areSmall([model(sketch.graph, 8, [["", 17]])], null)).toBe(false);
  });

  it("as those of a small net with a batch of one size are, and one thread computes the numbers of two", async () => {
    const { gradients, evalModel, apply } = await built("batch");
    expect(areSmall([gradients, evalModel as Model], apply)).toBe(false);
    const set = await built(8);
    expect(areSmall([set.gradients, set.evalModel as Model], set.apply)).toBe(true);
    const feeds = {
      input: new Tensor(
        "float32",
        Float32Array.from({ length: 96 }, (_, at) => Math.sin(at)),
        [8, 12],
      ),
      labels: new Tensor(
        "int64",
        BigInt64Array.from({ length: 8 }, (_, at) => BigInt(at % 4)),
        [8],
      ),
    };
    const trained = async (threads: number): Promise<unknown> => {
      const programs = programsOf(set, { learningRate: 0.01 }, { block: null, parts: 1 });
      const session = await OrtNodeSession.create(WAYS, programs, { threads });
      const losses = [await session.trainSteps([feeds, feeds, feeds]), await session.trainSteps([feeds])];
      await session.runTrainStep(feeds);
      await session.runOptimizerStep();
      const state = encodeState(await session.getState());
      await session.release();
      return { losses, state };
    };
    expect(await trained(2)).toEqual(await trained(1));
  });
});
