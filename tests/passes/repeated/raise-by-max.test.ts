import { Tensor } from "onnxruntime-node";
import { describe, expect, it } from "vitest";
import { model, Sketch, tensor } from "../../../fixtures/sketch.ts";
import { DataType, encodeModel, type Graph, GraphTensor } from "../../../src/entries/graph.ts";
import type { Model } from "../../../src/index.ts";
import { inferTypes } from "../../../src/ops/inference/infer-types.ts";
import { raiseByMax } from "../../../src/passes/repeated/raise-by-max.ts";
import { openSession } from "../../support/ort.ts";
import { valuesOf } from "../../support/tensor-values.ts";

const typesIn = (graph: Graph): readonly string[] => graph.nodes.map(({ opType }) => opType);

async function raised(net: Model, x: Float32Array): Promise<readonly number[]> {
  const session = await openSession(encodeModel(net));
  try {
    const { y } = await session.run({ x: new Tensor("float32", x, [x.length]) });
    return y === undefined ? [] : [...valuesOf(y)];
  } finally {
    await session.release();
  }
}

describe("what is raised to a limit", () => {
  const raising = (limit: GraphTensor, condition: string, dtype: number = DataType.float): Model => {
    const sketch = new Sketch("raising");
    sketch.input("x", tensor(dtype, [8]));
    sketch.initializer("limit", limit);
    sketch.node(condition, ["x", "limit"], ["is"]);
    sketch.node("Where", ["is", "limit", "x"], ["y"]);
    sketch.output("y", tensor(dtype, [8]));
    const net = model(sketch.graph, 8, [["", 17]]);
    inferTypes(net);
    return net;
  };

  it.each([[], [1], [8]])(
    "raises by Max what is below a limit of shape %j: the same bits, NaN and zeros among them",
    async (...dims) => {
      const smallest = 2 ** -126;
      const net = raising(GraphTensor.floats(dims, new Array(dims[0] ?? 1).fill(smallest)), "Less");
      const x = Float32Array.of(Number.NaN, 0, -0, 1e-45, smallest, Infinity, -Infinity, 3);
      const before = await raised(net, x);
      raiseByMax(net.graph);
      expect(typesIn(net.graph)).toEqual(["Max"]);
      expect(await raised(net, x)).toEqual(before);
    },
  );

  it.each([
    ["limits of zero", raising(GraphTensor.floats([], [0]), "Less")],
    ["other comparisons", raising(GraphTensor.floats([], [1]), "Greater")],
    ["whole numbers", raising(GraphTensor.ints([3]), "Less", DataType.int64)],
  ])("is left to Where: %s", (_, net) => {
    raiseByMax(net.graph);
    expect(typesIn(net.graph)).toContain("Where");
  });
});
