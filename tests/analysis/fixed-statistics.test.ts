import { describe, expect, it } from "vitest";
import { float, model, Sketch } from "../../fixtures/sketch.ts";
import { GraphTensor } from "../../src/entries/graph.ts";
import { buildTrainingArtifacts, type Model } from "../../src/index.ts";
import { around, choice, number, weights } from "../support/forward-models.ts";

const positive = GraphTensor.floats([4], [0.5, 1, 2, 1]);

/** (p - mean) times or by a root of the variance. */
const normalized = (mean: string, variance: string, { root = "Sqrt", factor = "Div", epsilon = 1e-5 } = {}) =>
  around(
    (sketch) => {
      sketch.node("Add", [variance, "eps"], ["guarded"]);
      sketch.node(root, root === "Pow" ? ["guarded", "half"] : ["guarded"], ["deviation"]);
      sketch.node("Sub", ["p", mean], ["centered"]);
      sketch.node(factor, ["centered", "deviation"], ["h"]);
    },
    {
      [mean]: weights([4], 6),
      [variance]: positive,
      eps: number(epsilon),
      ...(root === "Pow" ? { half: number(-0.5) } : {}),
    },
    "hidden",
  );

describe("statistics that are read by arithmetic", () => {
  it.each([
    ["a root", normalized("center", "spread")],
    ["a power", normalized("center", "spread", { root: "Pow", factor: "Mul" })],
  ])("are told by %s", async (_, net) => {
    const { trained, constants } = await choice(net);
    expect(trained).toEqual([]);
    expect(constants).toMatchObject({
      center: "it is a mean that a normalization subtracts",
      spread: "it is a variance that a normalization divides by",
    });
  });

  it.each([
    ["norm.running_mean", "norm.running_var"],
    ["bn/moving_mean:0", "bn/moving_variance:0"],
  ])("are told by the names %s and %s", async (mean, variance) => {
    const net = around(
      (sketch) => {
        sketch.node("Sub", ["p", mean], ["centered"]);
        sketch.node("Mul", ["centered", variance], ["h"]);
      },
      { [mean]: weights([4], 6), [variance]: positive },
      "hidden",
    );
    const { trained, constants } = await choice(net);
    const reason = "it is a running statistic, by its name";
    expect([trained, constants]).toEqual([[], { [mean]: reason, [variance]: reason }]);
  });

  it("are neither where too much is added before the root, nor where something else reads them", async () => {
    expect((await choice(normalized("a", "b", { epsilon: 1 }))).trained).toEqual(["a", "b"]);
    const both = around(
      (sketch) => {
        sketch.node("Add", ["b", "eps"], ["guarded"]);
        sketch.node("Sqrt", ["guarded"], ["root"]);
        sketch.node("Mul", ["p", "root"], ["scaled"]);
        sketch.node("Add", ["scaled", "b"], ["h"]);
      },
      { b: positive, eps: number(1e-5) },
      "hidden",
    );
    expect((await choice(both)).trained).toEqual(["b"]);
  });

  it("leave a layer's weight and the scale that it is multiplied by as parameters", async () => {
    const sketch = new Sketch("folded");
    sketch.input("x", float(["N", 2, 5, 5]));
    const tensors = {
      kernel: weights([4, 2, 3, 3]),
      gamma: weights([4, 1, 1, 1], 2),
      spread: GraphTensor.floats([4, 1, 1, 1], [0.5, 1, 2, 1]),
    };
    for (const [name, tensor] of Object.entries({ ...tensors, eps: number(1e-5) })) sketch.initializer(name, tensor);
    sketch.node("Add", ["spread", "eps"], ["guarded"]);
    sketch.node("Sqrt", ["guarded"], ["deviation"]);
    sketch.node("Div", ["gamma", "deviation"], ["scale"]);
    sketch.node("Mul", ["kernel", "scale"], ["weight"]);
    sketch.node("Conv", ["x", "weight"], ["c"]);
    sketch.node("Tanh", ["c"], ["y"]);
    sketch.output("y", float(["N", 4, 3, 3]));
    const { trained, constants } = await choice(model(sketch.graph, 8, [["", 17]]));
    expect(trained).toEqual(["kernel", "gamma"]);
    expect(constants).toMatchObject({ spread: "it is a variance that a normalization divides by" });
  });

  it("are named where the exporter computed scale and shift of them ahead of time", async () => {
    const net = (scale: string, shift: string): Model => {
      const sketch = new Sketch("ahead");
      sketch.input("x", float(["N", 2, 5, 5]));
      sketch.initializer("kernel", weights([4, 2, 3, 3]));
      for (const name of [scale, shift]) sketch.initializer(name, weights([1, 4, 1, 1], 2));
      sketch.node("Conv", ["x", "kernel"], ["c"]);
      sketch.node("Mul", ["c", scale], ["scaled"]);
      sketch.node("Add", ["scaled", shift], ["y"]);
      sketch.output("y", float(["N", 4, 3, 3]));
      return model(sketch.graph, 8, [["", 17]]);
    };
    const notesOf = async (forward: Model): Promise<string> => {
      const { report } = await buildTrainingArtifacts(forward, { loss: { kind: "mse" }, targets: ["portable"] });
      expect(report.trainable).toHaveLength(3);
      return report.notes.join("\n");
    };
    expect(await notesOf(net("onnx::Mul_41", "onnx::Add_43"))).toContain(
      "--freeze 'onnx::Mul_41' --freeze 'onnx::Add_43'",
    );
    expect(await notesOf(net("bn.scale", "bn.shift"))).toBe("");
  });

  it("are told where they were folded into convolutions", async () => {
    const net = (kernel: string, bias: string): Model => {
      const sketch = new Sketch("kernels");
      sketch.input("x", float(["N", 2, 5, 5]));
      sketch.initializer(kernel, weights([4, 2, 3, 3]));
      sketch.initializer(bias, weights([4], 2));
      sketch.node("Conv", ["x", kernel, bias], ["y"]);
      sketch.output("y", float(["N", 4, 3, 3]));
      return model(sketch.graph, 8, [["", 17]]);
    };
    const notesOf = async (forward: Model): Promise<readonly string[]> =>
      (await buildTrainingArtifacts(forward, { loss: { kind: "mse" }, targets: ["portable"] })).report.notes;
    expect(await notesOf(net("onnx::Conv_147", "onnx::Conv_148"))).toEqual([
      expect.stringMatching(/of 1 convolution .*"onnx::Conv_147".*trains without it/),
    ]);
    /** A standardized weight is computed ahead of time, too; its bias is not. */
    expect(await notesOf(net("onnx::Conv_147", "conv.bias"))).toEqual([]);
  });
});
