import { describe, expect, it } from "vitest";
import { float, model, Sketch } from "../../fixtures/sketch.ts";
import { attribute, GraphTensor } from "../../src/entries/graph.ts";
import { buildTrainingArtifacts, type Model } from "../../src/index.ts";
import { rejectionOf } from "../support/errors.ts";

/** A transform with an attribute that nobody knows, and a layer behind it. @param before whether a parameter lies before the transform */
function net(before: boolean): Model {
  const sketch = new Sketch("net");
  sketch.input("x", float([2, 8, 1]));
  sketch.initializer("step", GraphTensor.ints([2]));
  sketch.initializer("length", GraphTensor.ints([4]));
  sketch.initializer("gain", GraphTensor.floats([8, 1], [1, 2, 3, 4, 5, 6, 7, 8]));
  sketch.initializer("w", GraphTensor.floats([2, 3], [1, 2, 3, 4, 5, 6]));
  sketch.node("Tanh", ["x"], ["soft"]);
  sketch.node("Mul", ["soft", "gain"], ["loud"]);
  sketch.node("STFT", [before ? "loud" : "soft", "step", "", "length"], ["s"], [attribute.int("strange", 1)]);
  sketch.node("MatMul", ["s", "w"], ["y"]);
  sketch.output("y", float([2, 3, 3, 3]));
  return model(sketch.graph, 8, [["", 17]]);
}

const MSE = { loss: { kind: "mse" }, targets: ["portable"] } as const;

describe("an operator whose parts do not know an attribute", () => {
  it("stays where no gradient has to pass", async () => {
    const { report } = await buildTrainingArtifacts(net(false), MSE);
    expect(report.trainable.map(({ name }) => name)).toEqual(["w"]);
  });

  it("is refused by the attribute's name where one has to", async () => {
    const error = await rejectionOf(buildTrainingArtifacts(net(true), MSE));
    expect([error.code, error.message]).toEqual(["E_NO_GRADIENT", expect.stringContaining("strange")]);
    const { report } = await buildTrainingArtifacts(net(true), { ...MSE, parameters: ["w"] });
    expect(report.trainable.map(({ name }) => name)).toEqual(["w"]);
  });
});
