import { describe, expect, it } from "vitest";
import { float, model, Sketch, tensor } from "../../fixtures/sketch.ts";
import { attribute, DataType, GraphTensor } from "../../src/entries/graph.ts";
import { buildTrainingArtifacts } from "../../src/index.ts";
import { rejectionOf } from "../support/errors.ts";

describe("E_NO_SHAPE", () => {
  it("names the node from which on shapes are not known, and what would tell them", async () => {
    const sketch = new Sketch("lost");
    sketch.input("x", float(["batch", 4]));
    sketch.input("to", tensor(DataType.int64, ["axes"]));
    sketch.initializer("w", GraphTensor.floats([4, 4], Array.from({ length: 16 }, Math.sin)));
    sketch.node("MatMul", ["x", "w"], ["h"]);
    sketch.node("Reshape", ["h", "to"], ["moved"]);
    sketch.node("Tanh", ["moved"], ["t"]);
    sketch.node("ReduceMean", ["t"], ["y"], [attribute.ints("axes", [-1]), attribute.int("keepdims", 0)]);
    sketch.output("y", float([]));
    const subject = model(sketch.graph, 8, [["", 17]]);
    for (const output of subject.graph.outputs) output.type = { kind: "tensor", dtype: DataType.float, shape: null };
    const error = await rejectionOf(buildTrainingArtifacts(subject, { loss: { kind: "mse" } }));
    expect([error.code, error.message]).toEqual([
      "E_NO_SHAPE",
      expect.stringContaining(
        'the rank of "t" is not known, since nothing tells what shape node "moved/Reshape" (Reshape) makes',
      ),
    ]);
    expect(error.hint).toContain("--dim batch=<size>");
  });
});
