import { describe, expect, it } from "vitest";
import { float, model, Sketch } from "../../fixtures/sketch.ts";
import { GraphTensor } from "../../src/entries/graph.ts";
import { checkGradients, type Model } from "../../src/index.ts";

/** Two layers with ReLU between: the gradient of ReLU has an operator without a float64 kernel. */
function network(): Model {
  const sketch = new Sketch("net");
  sketch.input("x", float(["batch", 3]));
  sketch.initializer(
    "w",
    GraphTensor.floats(
      [3, 4],
      Array.from({ length: 12 }, (_, at) => Math.sin(at)),
    ),
  );
  sketch.initializer(
    "v",
    GraphTensor.floats(
      [4, 2],
      Array.from({ length: 8 }, (_, at) => Math.cos(at)),
    ),
  );
  sketch.node("MatMul", ["x", "w"], ["h"]);
  sketch.node("Relu", ["h"], ["a"]);
  sketch.node("MatMul", ["a", "v"], ["y"]);
  sketch.output("y", float(["batch", 2]));
  return model(sketch.graph, 8, [["", 17]]);
}

describe("in float64", () => {
  it("the gradients of a net with ReLU are checked", async () => {
    const { precision, reason, parameters } = await checkGradients(network(), { loss: { kind: "mse" } });
    expect([precision, reason]).toEqual(["float64", null]);
    for (const { difference } of parameters) expect(difference).toBeLessThan(1e-7);
  });
});
