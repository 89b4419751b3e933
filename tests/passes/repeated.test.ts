import { Tensor } from "onnxruntime-node";
import { describe, expect, it } from "vitest";
import { float, model, Sketch, tensor } from "../../fixtures/sketch.ts";
import {
  attribute,
  checkModel,
  DataType,
  encodeModel,
  type Graph,
  GraphTensor,
  printModel,
} from "../../src/entries/graph.ts";
import { buildTrainingArtifacts, type Model } from "../../src/index.ts";
import { joinUpdates } from "../../src/passes/joined/join-updates.ts";
import type { StepModel } from "../../src/passes/portable/step-model.ts";
import { repeatStep } from "../../src/passes/repeated/repeat-step.ts";
import { agr, setOf, stepOf, wave } from "../support/optimizer-cases.ts";
import { openSession } from "../support/ort.ts";
import { valuesOf } from "../support/tensor-values.ts";

const STEPS = 5;

/** A step of x [2, 1, 3], the batch, r [1], the learning rate, t [1], its number, and a state of [3] that grows. */
function sketched(write: (sketch: Sketch) => void, results: readonly string[]): StepModel {
  const sketch = new Sketch("step");
  sketch.input("x", float([2, 1, 3]));
  sketch.input("i", tensor(DataType.int64, [2]));
  sketch.input("r", float([1]));
  sketch.input("t", tensor(DataType.int64, [1]));
  sketch.input("s", float([3]));
  sketch.initializer("c", GraphTensor.from(DataType.float, [3], wave(3, 4)));
  sketch.node("Add", ["s", "c"], ["s/next"]);
  write(sketch);
  for (const name of ["s/next", ...results]) sketch.output(name, float([]));
  for (const value of sketch.graph.outputs) value.type = null;
  return {
    model: model(sketch.graph, 8, [["", 17]]),
    ...{ inputs: ["x", "i"], outputs: results, state: [{ name: "s", next: "s/next", kind: "parameter" }] },
    ...{ learningRate: "r", step: "t", reset: null, gradients: [] },
  };
}

function loop(step: StepModel): StepModel {
  const repeated = repeatStep(step);
  if (repeated === null) throw new Error("the step stays by itself");
  return repeated;
}

const bodyOf = ({ model: { graph } }: StepModel): Graph => {
  const body = graph.nodes.find(({ opType }) => opType === "Scan")?.attributes.get("body");
  if (body?.kind !== "graph") throw new Error("there is no Scan");
  return body.value;
};

const typesIn = (graph: Graph): readonly string[] =>
  graph.nodes.map(({ opType }) => opType).filter((type) => type !== "Constant");

async function run(net: Model, feeds: Record<string, Tensor>): Promise<ReadonlyMap<string, readonly number[]>> {
  const session = await openSession(encodeModel(net));
  try {
    const given = await session.run(feeds);
    return new Map(Object.entries(given).map(([name, result]) => [name, [...valuesOf(result)]]));
  } finally {
    await session.release();
  }
}

const floats = (values: Float32Array, dims: readonly number[]): Tensor => new Tensor("float32", values, dims);
const ints = (values: readonly number[], dims: readonly number[]): Tensor =>
  new Tensor("int64", BigInt64Array.from(values, BigInt), dims);

/** @returns the outputs of so many steps in one call, and one by one */
async function bothWays(step: StepModel, first = 1, steps = STEPS) {
  const x = wave(6 * steps, 7);
  const rates = wave(steps, 9).map(Math.abs);
  const at = (index: number): readonly number[] => [index % 3, (index + 1) % 3];
  const results = step.outputs;
  const single = step.model.clone();
  let state = wave(3, 2);
  const apart: number[][] = results.map(() => []);
  for (let index = 0; index < steps; index++) {
    const given = await run(single, {
      x: floats(x.slice(6 * index, 6 * index + 6), [2, 1, 3]),
      i: ints(at(index), [2]),
      r: floats(rates.slice(index, index + 1), [1]),
      t: ints([first + index], [1]),
      s: floats(state, [3]),
    });
    state = Float32Array.from(given.get("s/next") ?? []);
    for (const [place, name] of results.entries()) apart[place]?.push(...(given.get(name) ?? []));
  }
  const repeated = loop(step);
  checkModel(repeated.model);
  const together = await run(repeated.model, {
    x: floats(x, [steps, 2, 1, 3]),
    i: ints(Array.from({ length: steps }, (_, index) => at(index)).flat(), [steps, 2]),
    r: floats(rates, [steps, 1]),
    t: ints([first], [1]),
    s: floats(wave(3, 2), [3]),
  });
  return {
    repeated,
    apart: new Map([["s/next", [...state]], ...results.map((name, place) => [name, apart[place] ?? []] as const)]),
    together,
  };
}

const CASES: readonly (readonly [name: string, write: (sketch: Sketch) => void, left: readonly string[]])[] = [
  ["one input", (sketch) => sketch.node("Abs", ["x"], ["y"]), ["Identity"]],
  ["a constant of lower rank", (sketch) => sketch.node("Mul", ["x", "c"], ["y"]), ["Identity"]],
  ["an input of lower rank", (sketch) => sketch.node("Div", ["x", "r"], ["y"]), ["Identity"]],
  [
    "two inputs whose ranks differ, and a truth",
    (sketch) => {
      sketch.node("Greater", ["x", "r"], ["is"]);
      sketch.node("Where", ["is", "r", "x"], ["y"]);
    },
    ["Identity"],
  ],
  [
    "the number of a step, cast",
    (sketch) => {
      sketch.node("Cast", ["t"], ["number"], [attribute.int("to", DataType.float)]);
      sketch.node("Sqrt", ["number"], ["y"]);
    },
    ["Identity"],
  ],
  [
    "shapes with sizes that are left open or copied",
    (sketch) => {
      sketch.initializer("shape", GraphTensor.ints([0, -1]));
      sketch.node("Reshape", ["x", "shape"], ["matrix"]);
      sketch.initializer("flat", GraphTensor.ints([-1]));
      sketch.node("Reshape", ["matrix", "flat"], ["y"]);
    },
    ["Identity"],
  ],
  [
    "axes counted from the last",
    (sketch) => {
      sketch.initializer("last", GraphTensor.ints([-2]));
      sketch.node("Squeeze", ["x", "last"], ["matrix"]);
      sketch.node("Transpose", ["matrix"], ["turned"], [attribute.ints("perm", [1, 0])]);
      sketch.initializer("ends", GraphTensor.ints([0, -1]));
      sketch.node("Unsqueeze", ["turned", "ends"], ["y"]);
    },
    ["Identity"],
  ],
  [
    "limits that are constants",
    (sketch) => {
      sketch.initializer("least", GraphTensor.floats([], [-0.1]));
      sketch.node("Clip", ["x", "least"], ["y"]);
    },
    ["Identity"],
  ],
  ["nothing but an input", (sketch) => sketch.node("Identity", ["x"], ["y"]), ["Identity"]],
  ["what reads state", (sketch) => sketch.node("Mul", ["x", "s"], ["y"]), ["Mul"]],
  ["what is rounded by its place", (sketch) => sketch.node("Tanh", ["x"], ["y"]), ["Tanh"]],
  [
    "an exponent that is one number",
    (sketch) => {
      sketch.initializer("two", GraphTensor.floats([], [2]));
      sketch.node("Pow", ["r", "two"], ["y"]);
    },
    ["Pow"],
  ],
  [
    "a limit of each step's own",
    (sketch) => {
      sketch.initializer("none", GraphTensor.ints([]));
      sketch.node("Reshape", ["r", "none"], ["least"]);
      sketch.node("Clip", ["x", "least"], ["y"]);
    },
    ["Clip"],
  ],
  [
    "many numbers",
    (sketch) => {
      sketch.initializer("many", GraphTensor.from(DataType.float, [1, 6000, 1], wave(6000, 3)));
      sketch.node("Mul", ["x", "many"], ["y"]);
    },
    ["Mul"],
  ],
];

describe("a training step several times in one call", () => {
  it.each(CASES)("%s: the bits of the steps one by one", async (_, write, left) => {
    const { repeated, together, apart } = await bothWays(sketched(write, ["y"]));
    expect(together).toEqual(apart);
    expect(typesIn(bodyOf(repeated))).toEqual(["Add", ...left]);
  });

  it("reads what several nodes make of an input once each, and what it is given where the body reads it itself", async () => {
    const step = sketched(
      (sketch) => {
        sketch.node("Neg", ["x"], ["negative"]);
        sketch.node("Mul", ["negative", "s"], ["y"]);
        sketch.node("Sub", ["negative", "x"], ["difference"]);
        sketch.node("Add", ["difference", "s/next"], ["sum"]);
        sketch.node("Mul", ["sum", "r"], ["z"]);
      },
      ["y", "z"],
    );
    const { repeated, together, apart } = await bothWays(step);
    expect(together).toEqual(apart);
    expect(typesIn(bodyOf(repeated))).toEqual(["Add", "Mul", "Add", "Mul"]);
    expect(bodyOf(repeated).inputs).toHaveLength(1 + 3);
  });

  it("powers of a constant: those of an optimizer's first ten thousand updates", async () => {
    const step = sketched(
      (sketch) => {
        sketch.node("Cast", ["t"], ["number"], [attribute.int("to", DataType.float)]);
        for (const [index, beta] of [0.9, 0.95, 0.99, 0.999].entries()) {
          sketch.initializer(`beta${index}`, GraphTensor.floats([], [beta]));
          sketch.node("Pow", [`beta${index}`, "number"], [`p${index}`]);
        }
      },
      ["p0", "p1", "p2", "p3"],
    );
    const steps = 10_000;
    const single = await openSession(encodeModel(step.model.clone()));
    const apart = step.outputs.map((): number[] => []);
    for (let index = 0; index < steps; index++) {
      const given = await single.run({
        ...{ x: floats(new Float32Array(6), [2, 1, 3]), i: ints([0, 0], [2]), r: floats(new Float32Array(1), [1]) },
        ...{ t: ints([1 + index], [1]), s: floats(new Float32Array(3), [3]) },
      });
      for (const [place, name] of step.outputs.entries()) apart[place]?.push(Number(given[name]?.data[0]));
    }
    await single.release();
    const repeated = loop(step);
    expect(typesIn(bodyOf(repeated))).not.toContain("Pow");
    const together = await run(repeated.model, {
      ...{
        x: floats(new Float32Array(6 * steps), [steps, 2, 1, 3]),
        i: ints(new Array(2 * steps).fill(0), [steps, 2]),
      },
      ...{ r: floats(new Float32Array(steps), [steps, 1]), t: ints([1], [1]), s: floats(new Float32Array(3), [3]) },
    });
    for (const [place, name] of step.outputs.entries()) expect(together.get(name)).toEqual(apart[place]);
  });

  it("an optimizer's own numbers are computed for all steps at once", async () => {
    const { step } = joinUpdates(stepOf(await setOf({ optimizer: { name: "adamw" }, agr }, 5)));
    const before = typesIn(step.model.graph);
    const repeated = loop(step);
    const within = typesIn(bodyOf(repeated));
    expect(before).toContain("Pow");
    expect(within).not.toContain("Pow");
    expect(within).not.toContain("Cast");
    expect(within.length).toBeLessThan(before.length - 12);
  });

  it("stays by itself where the axes of what it gives are not known", () => {
    const step = sketched(
      (sketch) => {
        sketch.node("Unique", ["i"], ["shape"]);
        sketch.node("Reshape", ["x", "shape"], ["y"]);
      },
      ["y"],
    );
    expect(repeatStep(step)).toBeNull();
  });

  it("golden text", async () => {
    const sketch = new Sketch("layer");
    sketch.input("x", float([2, 3]));
    sketch.initializer("w", GraphTensor.from(DataType.float, [4, 3], wave(12, 1)));
    sketch.node("Gemm", ["x", "w"], ["y"], [attribute.int("transB", 1)]);
    sketch.output("y", float([2, 4]));
    const { portable } = await buildTrainingArtifacts(model(sketch.graph, 8, [["", 17]]), {
      ...{ loss: { kind: "cross-entropy" }, optimizer: { name: "adamw", weightDecay: 0.01 }, targets: ["portable"] },
    });
    if (portable === null) throw new Error("no portable set was built");
    const text = printModel(loop(stepOf(portable)).model);
    await expect(text).toMatchFileSnapshot("../../fixtures/passes/portable/repeated-step.txt");
  });
});
