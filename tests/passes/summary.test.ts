import { readdirSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { float, model, Sketch } from "../../fixtures/sketch.ts";
import { attribute, DataType, encodeModel, GraphTensor } from "../../src/entries/graph.ts";
import { buildTrainingArtifacts, type Model, readModel, summarizeModel } from "../../src/index.ts";
import { errorOf } from "../support/errors.ts";
import { hasShared, SHARED } from "../support/shared.ts";

const zeros = (...dims: readonly number[]): GraphTensor =>
  GraphTensor.floats(dims, new Array<number>(dims.reduce((size, dim) => size * dim, 1)).fill(0.5));

/** A convolution in two groups, batch norm, a dense layer, a sum with a constant. */
function net(): Model {
  const sketch = new Sketch("net");
  sketch.input("x", float(["batch", 4, 8, 8]));
  sketch.initializer("conv.weight", zeros(6, 2, 3, 3));
  for (const name of ["scale", "shift", "mean", "var"]) sketch.initializer(`bn.${name}`, zeros(6));
  sketch.initializer("fc.weight", zeros(10, 384));
  sketch.initializer("fc.bias", zeros(10));
  sketch.node("Conv", ["x", "conv.weight"], ["c"], [attribute.int("group", 2), attribute.ints("pads", [1, 1, 1, 1])]);
  sketch.node("BatchNormalization", ["c", "bn.scale", "bn.shift", "bn.mean", "bn.var"], ["n"]);
  sketch.node("Relu", ["n"], ["r"]);
  sketch.node("Flatten", ["r"], ["f"]);
  sketch.node("Gemm", ["f", "fc.weight", "fc.bias"], ["y"], [attribute.int("transB", 1)]);
  sketch.output("y", float(["batch", 10]));
  return model(sketch.graph, 8, [["", 17]]);
}

describe("summarizeModel", () => {
  it("counts layers, parameters, multiply-adds and bytes at the sizes it is given", () => {
    const given = net();
    const before = encodeModel(given);
    const { layers, ...summary } = summarizeModel(given, { sizes: { batch: 5 }, freeze: ["fc.bias"] });
    expect(
      layers.map(({ name, shape, parameters, multiplyAdds }) => [
        name,
        shape,
        parameters.map((each) => each.name),
        multiplyAdds,
      ]),
    ).toEqual([
      // Each of 5 x 6 x 8 x 8 sums runs over a kernel of 3 x 3 and two channels.
      ["c/Conv", [5, 6, 8, 8], ["conv.weight"], 5 * 6 * 64 * 18],
      ["n/BatchNormalization", [5, 6, 8, 8], ["bn.scale", "bn.shift", "bn.mean", "bn.var"], 0],
      ["y/Gemm", [5, 10], ["fc.weight", "fc.bias"], 5 * 10 * 384],
    ]);
    expect(summary).toEqual({
      sizes: { batch: 5 },
      elements: { trained: 108 + 12 + 3840, frozen: 12 + 10, constant: 0 },
      multiplyAdds: 5 * 6 * 64 * 18 + 5 * 10 * 384,
      activationBytes: 4 * 5 * (4 * 384 + 10),
      nodes: 5,
    });
    expect(encodeModel(given)).toEqual(before);
  });

  it("refuses a size that no input has", () => {
    expect(errorOf(() => summarizeModel(net(), { sizes: { bacth: 5 } }))).toMatchObject({
      code: "E_OPTION",
      hint: "Open are batch.",
    });
  });

  it("of a recurrent layer: every gate with the input and the state, in both directions", () => {
    const sketch = new Sketch("net");
    sketch.input("x", float([7, 2, 3]));
    sketch.initializer("w", zeros(2, 20, 3));
    sketch.initializer("r", zeros(2, 20, 5));
    sketch.node(
      "LSTM",
      ["x", "w", "r"],
      ["y"],
      [attribute.int("hidden_size", 5), attribute.string("direction", "bidirectional")],
    );
    sketch.output("y", { kind: "tensor", dtype: DataType.float, shape: null });
    const { multiplyAdds } = summarizeModel(model(sketch.graph, 8, [["", 17]]));
    expect(multiplyAdds).toBe(7 * 2 * 2 * 20 * (3 + 5));
  });

  it("says of what it cannot know that it does not", () => {
    const sketch = new Sketch("net");
    sketch.input("x", { kind: "tensor", dtype: DataType.float, shape: null });
    sketch.initializer("w", zeros(3, 2));
    sketch.node("MatMul", ["x", "w"], ["y"]);
    sketch.output("y", { kind: "tensor", dtype: DataType.float, shape: null });
    expect(summarizeModel(model(sketch.graph, 8, [["", 17]])).layers).toMatchObject([
      { shape: null, multiplyAdds: null },
    ]);
  });

  it.skipIf(!hasShared)("counts as trained what build trains", async () => {
    const folder = `${SHARED}field/models/`;
    let compared = 0;
    for (const name of readdirSync(folder).filter((each) => /^(hf_|nn_|timm_)/.test(each) && each.endsWith(".onnx"))) {
      const given = await readModel(folder + name);
      const { report } = await buildTrainingArtifacts(given, { loss: { kind: "mse" }, targets: ["portable"] }).catch(
        () => ({ report: null }),
      );
      if (report === null || report.frozen.length > 0) continue;
      const built = report.trainable.map(({ shape }) => shape.reduce((size, dim) => size * dim, 1));
      const { trained } = summarizeModel(given).elements;
      expect([name, trained]).toEqual([name, built.reduce((sum, size) => sum + size, 0)]);
      compared++;
    }
    expect(compared).toBeGreaterThan(8);
  });
});
