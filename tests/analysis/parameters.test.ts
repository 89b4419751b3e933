import { describe, expect, it } from "vitest";
import { float, model, Sketch, tensor } from "../../fixtures/sketch.ts";
import { attribute, DataType, decodeModel, encodeModel, GraphTensor } from "../../src/entries/graph.ts";
import { buildTrainingArtifacts, checkGradients, type Model } from "../../src/index.ts";
import { rejectionOf } from "../support/errors.ts";
import { around, choice, linear, number, weights } from "../support/forward-models.ts";

/** A copy whose elements lie in the typed field that `onnx.helper.make_tensor` fills. */
function packed({ dtype, dims, data }: GraphTensor): GraphTensor {
  if (data.kind !== "raw") throw new Error("not raw");
  const field = dtype === DataType.double ? "doubleData" : "floatData";
  return new GraphTensor(dtype, dims, { kind: "packed", field, bytes: data.bytes });
}

describe("initializers in typed fields", () => {
  it("build the same artifacts as those in raw_data", async () => {
    const [raw, typed] = await Promise.all(
      [linear(), decodeModel(encodeModel(linear(packed)))].map((each) =>
        buildTrainingArtifacts(each, { loss: { kind: "cross-entropy" } }),
      ),
    );
    expect(typed?.onnxruntime?.checkpoint).toEqual(raw?.onnxruntime?.checkpoint);
    expect(typed?.portable?.state).toEqual(raw?.portable?.state);
  });
});

describe("what is trained", () => {
  const scaled = (sketch: Sketch): void => {
    sketch.node("Mul", ["p", "c"], ["h"]);
  };
  const PARAMETERS: readonly (readonly [string, Model])[] = [
    [
      "a bias of one element in Gemm",
      around(
        (sketch) => sketch.node("Gemm", ["p", "w3", "c"], ["h"]),
        { w3: weights([4, 4], 5), c: number(0, [1]) },
        "hidden",
      ),
    ],
    [
      "a bias without axes behind MatMul",
      around((sketch) => sketch.node("Add", ["p", "c"], ["h"]), { c: number(0.5) }, "hidden"),
    ],
    [
      "PRelu's one slope",
      around((sketch) => sketch.node("PRelu", ["p", "c"], ["h"]), { c: number(0.25, [1]) }, "hidden"),
    ],
    ["a scale of one element", around(scaled, { c: number(2, [1]) }, "hidden")],
    ["a scale per channel of zeros and ones", around(scaled, { c: GraphTensor.floats([4], [0, 1, 1, 0]) }, "hidden")],
    [
      "a table of positions",
      around(
        (sketch) => {
          sketch.node("Shape", ["p"], ["shape"]);
          sketch.node("Gather", ["c", "at"], ["position"]);
          sketch.node("Add", ["p", "position"], ["h"]);
        },
        { c: weights([9, 4], 8), at: GraphTensor.ints([0]) },
        "hidden",
      ),
    ],
    [
      "what is a factor of the input and a weight too",
      around(
        (sketch) => {
          sketch.node("Mul", ["x", "c"], ["a"]);
          sketch.node("MatMul", ["a", "c"], ["h"]);
        },
        { c: weights([4, 4], 6) },
      ),
    ],
  ];
  it.each(PARAMETERS)("%s", async (_, forward) => {
    const { trained } = await choice(forward);
    expect(trained).toContain("c");
  });
});

describe("what trains, but hardly as it was meant, is said", () => {
  const notesOf = async (forward: Model, kind: "cross-entropy" | "bce-with-logits" | "mse"): Promise<string> =>
    (await buildTrainingArtifacts(forward, { loss: { kind }, targets: ["portable"] })).report.notes.join("\n");

  function ending(op: string): Model {
    const sketch = new Sketch("ending");
    sketch.input("x", float(["N", 4]));
    sketch.initializer("w", weights([4, 3]));
    sketch.node("MatMul", ["x", "w"], ["z"]);
    sketch.node(op, ["z"], ["s"]);
    sketch.node("Identity", ["s"], ["y"]);
    sketch.output("y", float(["N", 3]));
    return model(sketch.graph, 8, [["", 17]]);
  }

  it("a loss that takes a softmax or a sigmoid of what is one already", async () => {
    expect(await notesOf(ending("Softmax"), "cross-entropy")).toContain('"y" is a Softmax already');
    expect(await notesOf(ending("LogSoftmax"), "cross-entropy")).toContain("changes nothing else");
    expect(await notesOf(ending("Sigmoid"), "bce-with-logits")).toContain('"y" is a Sigmoid already');
    expect(await notesOf(ending("Softmax"), "mse")).toBe("");
    expect(await notesOf(ending("Tanh"), "cross-entropy")).toBe("");
  });

  it("BatchNormalization over a single value", async () => {
    const net = (batch: number | string): Model => {
      const sketch = new Sketch("norm");
      sketch.input("x", float([batch, 4]));
      sketch.initializer("w", weights([4, 3]));
      for (const name of ["scale", "bias", "mean"]) sketch.initializer(name, weights([3], 4));
      sketch.initializer("var", GraphTensor.floats([3], [1, 2, 3]));
      sketch.node("MatMul", ["x", "w"], ["z"]);
      sketch.node("BatchNormalization", ["z", "scale", "bias", "mean", "var"], ["y"]);
      sketch.output("y", float([batch, 3]));
      return model(sketch.graph, 8, [["", 17]]);
    };
    expect(await notesOf(net(1), "mse")).toContain("(BatchNormalization) has a single value per channel");
    for (const batch of [2, "N"]) expect(await notesOf(net(batch), "mse")).not.toContain("single value");
  });
});

describe("half precision", () => {
  it.each([
    ["float16", DataType.float16],
    ["bfloat16", DataType.bfloat16],
  ])("parameters of %s are refused, and left alone where others are trained", async (name, dtype) => {
    const sketch = new Sketch("half");
    sketch.input("x", float(["N", 4]));
    sketch.initializer("w", GraphTensor.from(dtype, [4, 3], new Uint16Array(12)));
    sketch.initializer("b", weights([3]));
    sketch.node("Cast", ["w"], ["w32"], [attribute.int("to", DataType.float)]);
    sketch.node("Gemm", ["x", "w32", "b"], ["y"]);
    sketch.output("y", float(["N", 3]));
    const half = model(sketch.graph, 8, [["", 17]]);
    const error = await rejectionOf(choice(half));
    expect([error.code, error.exitCode, error.field, error.message]).toEqual([
      ...["E_PRECISION", 4, "w", expect.stringContaining(name)],
    ]);
    expect((await choice(half, { freeze: ["w"] })).trained).toEqual(["b"]);
  });
});

describe("weights outside the graph's initializers", () => {
  it("in Constant nodes are trained as initializers are, and numbers of the program are not", async () => {
    const sketch = new Sketch("constants");
    sketch.input("x", float(["N", 4]));
    const constant = (name: string, tensor: GraphTensor): void =>
      sketch.node("Constant", [], [name], [attribute.tensor("value", tensor)]);
    constant("w", weights([4, 3]));
    constant("b", weights([3], 2));
    constant("half", number(0.5, [1]));
    constant("v", weights([3, 1], 4));
    constant("c", number(0.25, [1]));
    constant("mean", weights([4], 5));
    sketch.node("Sub", ["x", "mean"], ["x0"]);
    sketch.node("Gemm", ["x0", "w", "b"], ["z"]);
    sketch.node("Mul", ["z", "half"], ["a"]);
    sketch.node("MatMul", ["a", "v"], ["d"]);
    sketch.node("Add", ["d", "c"], ["y"]);
    sketch.output("y", float(["N", 1]));
    const { trained, constants } = await choice(model(sketch.graph, 8, [["", 17]]));
    expect(trained).toEqual(["w", "b", "v", "c"]);
    expect(constants).toEqual({ mean: "it is a scale or an offset of the model's input" });
  });

  it("in Constant nodes of PyTorch's tracing exporter are none beside initializers, but for those of a frozen module", async () => {
    const sketch = new Sketch("traced");
    sketch.input("x", float(["N", 4]));
    const constant = (name: string, tensor: GraphTensor): void =>
      sketch.node("Constant", [], [name], [attribute.tensor("value", tensor)]);
    sketch.initializer("w", weights([4, 3]));
    constant("frozen", weights([3, 3], 2));
    constant("offsets", weights([1, 3], 3));
    constant("decay", weights([1, 3], 4));
    constant("none", GraphTensor.floats([3], [0, 0, 0]));
    constant("bias", weights([3], 5));
    sketch.node("MatMul", ["x", "w"], ["a"]);
    sketch.node("Add", ["a", "offsets"], ["b"]);
    sketch.node("Mul", ["b", "decay"], ["c"]);
    sketch.node("MatMul", ["c", "frozen"], ["d"]);
    sketch.node("Add", ["d", "none"], ["e"]);
    sketch.node("MatMul", ["e", "frozen"], ["f"]);
    sketch.node("Add", ["f", "bias"], ["y"]);
    sketch.output("y", float(["N", 3]));
    const forward = model(sketch.graph, 8, [["", 17]]);
    expect((await choice(forward)).trained).toEqual(["w", "frozen", "offsets", "decay", "none", "bias"]);
    forward.producerName = "pytorch";
    expect((await choice(forward)).trained).toEqual(["w", "frozen", "bias"]);
  });

  it("multiplied by a whole number of the program are trained: the bias of baddbmm and its beta", async () => {
    const sketch = new Sketch("baddbmm");
    sketch.input("x", float(["N", 4]));
    sketch.initializer("w", weights([4, 3]));
    sketch.initializer("bias", weights([1, 3], 2));
    sketch.node(
      "Constant",
      [],
      ["beta"],
      [attribute.tensor("value", GraphTensor.from(DataType.int64, [], BigInt64Array.of(1n)))],
    );
    sketch.node("Cast", ["beta"], ["one"], [attribute.int("to", DataType.float)]);
    sketch.node("Mul", ["bias", "one"], ["b"]);
    sketch.node("MatMul", ["x", "w"], ["a"]);
    sketch.node("Add", ["a", "b"], ["y"]);
    sketch.output("y", float(["N", 3]));
    expect((await choice(model(sketch.graph, 8, [["", 17]]))).trained).toEqual(["w", "bias"]);
  });

  it("multiplied by data of which sines and cosines are taken are trained: learned Fourier features", async () => {
    const sketch = new Sketch("fourier");
    sketch.input("x", float(["N", 4]));
    sketch.initializer("b", weights([4, 3]));
    sketch.initializer("w", weights([6, 1], 2));
    sketch.node("MatMul", ["x", "b"], ["angles"]);
    sketch.node("Sin", ["angles"], ["sin"]);
    sketch.node("Cos", ["angles"], ["cos"]);
    sketch.node("Concat", ["sin", "cos"], ["features"], [attribute.int("axis", 1)]);
    sketch.node("MatMul", ["features", "w"], ["y"]);
    sketch.output("y", float(["N", 1]));
    expect((await choice(model(sketch.graph, 8, [["", 17]]))).trained).toEqual(["b", "w"]);
  });

  it.each([
    ["computed", (sketch: Sketch) => sketch.node("Mul", ["places", "ones"], ["at"])],
    ["a table", (sketch: Sketch) => sketch.node("Identity", ["places"], ["at"])],
  ])(
    "looked up by places that are %s are trained, also where a mask of the input is added: a relative position's",
    async (_, look) => {
      const sketch = new Sketch("relative");
      sketch.input("x", float(["N", 4]));
      sketch.input("mask", tensor(DataType.int64, ["N", 3]));
      sketch.initializer("w", weights([4, 3]));
      sketch.initializer("table", weights([5], 2));
      sketch.initializer("places", GraphTensor.from(DataType.int64, [1, 3], BigInt64Array.of(0n, 4n, 2n)));
      sketch.initializer("ones", GraphTensor.from(DataType.int64, [1, 3], BigInt64Array.of(1n, 1n, 1n)));
      look(sketch);
      sketch.node("Gather", ["table", "at"], ["bias"]);
      sketch.node("Cast", ["mask"], ["m"], [attribute.int("to", DataType.float)]);
      sketch.node("Add", ["bias", "m"], ["b"]);
      sketch.node("MatMul", ["x", "w"], ["a"]);
      sketch.node("Add", ["a", "b"], ["y"]);
      sketch.output("y", float(["N", 3]));
      expect((await choice(model(sketch.graph, 8, [["", 17]]))).trained).toEqual(["w", "table"]);
    },
  );

  it("in branches of If are trained, whatever they are called", async () => {
    const sketch = new Sketch("branches");
    sketch.input("x", float(["N", 4]));
    sketch.input("c", tensor(DataType.bool, []));
    const branch = (name: string, isNode: boolean): Sketch => {
      const inner = new Sketch(name);
      inner.outer(sketch, "x");
      if (isNode) inner.node("Constant", [], ["w"], [attribute.tensor("value", weights([4, 3], 2))]);
      else inner.initializer("w", weights([4, 3]));
      inner.node("MatMul", ["x", "w"], [`${name}_out`]);
      inner.output(`${name}_out`, float(["N", 3]));
      return inner;
    };
    const attributes = [
      attribute.graph("then_branch", branch("yes", false).graph),
      attribute.graph("else_branch", branch("no", true).graph),
    ];
    sketch.node("If", ["c"], ["y"], attributes);
    sketch.output("y", float(["N", 3]));
    const forward = model(sketch.graph, 8, [["", 17]]);
    expect((await choice(forward)).trained).toHaveLength(2);
    const check = await checkGradients(forward, { loss: { kind: "mse" } });
    expect(check.parameters.every(({ difference }) => difference <= check.tolerance)).toBe(true);
  });
});
