import { describe, expect, it } from "vitest";
import { float, model, Sketch, tensor } from "../../fixtures/sketch.ts";
import { attribute, DataType, GraphTensor } from "../../src/entries/graph.ts";
import { buildTrainingArtifacts, checkGradients, type Model } from "../../src/index.ts";
import { rejectionOf } from "../support/errors.ts";

const { graph, int } = attribute;
const whole = (value: bigint): GraphTensor => GraphTensor.from(DataType.int64, [], BigInt64Array.of(value));

/** Three rounds, each of which puts the last row times a weight behind the state; with `window` its first row is dropped. */
function rounds(window: boolean): Model {
  const sketch = new Sketch("rounds");
  sketch.input("x", float(["batch", 2, 3]));
  sketch.initializer("w", GraphTensor.floats([3, 3], [0.5, -0.2, 0.1, 0.3, 0.4, -0.6, 0.2, 0.7, -0.1]));
  sketch.initializer("count", whole(3n));
  const body = new Sketch("body");
  body.outer(sketch, "w");
  body.input("i", tensor(DataType.int64, []));
  body.input("go", tensor(DataType.bool, []));
  body.input("rows", float(["n", "before", 3]));
  for (const [name, values] of Object.entries({ last: [-1], first: [1], end: [2 ** 31], axis: [1] }))
    body.initializer(name, GraphTensor.ints(values));
  body.node("Slice", ["rows", "last", "end", "axis"], ["row"]);
  body.node("MatMul", ["row", "w"], ["product"]);
  body.node("Tanh", ["product"], ["next"]);
  body.node("Concat", ["rows", "next"], ["all"], [int("axis", 1)]);
  body.node("Slice", ["all", "first", "end", "axis"], ["kept"]);
  body.node("Identity", ["go"], ["go_out"]);
  body.output("go_out", tensor(DataType.bool, []));
  body.output(window ? "kept" : "all", float(["n", "after", 3]));
  sketch.node("Loop", ["count", "", "x"], ["y"], [graph("body", body.graph)]);
  sketch.output("y", float(["batch", window ? 2 : 5, 3]));
  return model(sketch.graph, 8, [["", 17]]);
}

describe("a loop's state", () => {
  it("that grows from step to step is refused by name, when it is built", async () => {
    const error = await rejectionOf(buildTrainingArtifacts(rounds(false), { loss: { kind: "mse" } }));
    expect(error.code).toBe("E_NO_GRADIENT");
    expect(error.message).toMatch(
      /the shape of its state "x" changes from step to step, .*,2,3\] to .*,3,3\]; make each step's part/,
    );
  });

  it("that keeps its shape, though its parts move, has gradients", async () => {
    const check = await checkGradients(rounds(true), { loss: { kind: "mse" } });
    expect(check.precision).toBe("float64");
    expect(check.parameters.map(({ parameter }) => parameter)).toEqual(["w"]);
    expect(check.parameters[0]?.difference).toBeLessThan(1e-8);
  });
});
