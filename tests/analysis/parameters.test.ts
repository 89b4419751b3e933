import { describe, expect, it } from "vitest";
import { float, model, Sketch, tensor } from "../../fixtures/sketch.ts";
import { attribute, DataType, decodeModel, encodeModel, GraphTensor } from "../../src/entries/graph.ts";
import { type BuildOptions, buildTrainingArtifacts, checkGradients, type Model } from "../../src/index.ts";
import { rejectionOf } from "../support/errors.ts";

const wave = (size: number, seed = 1): Float32Array =>
  Float32Array.from({ length: size }, (_, index) => Math.sin(seed * 31 + index * 12.9898) * 0.5);

const weights = (dims: readonly number[], seed = 1): GraphTensor =>
  GraphTensor.from(
    DataType.float,
    dims,
    wave(
      dims.reduce((product, dim) => product * dim, 1),
      seed,
    ),
  );

/** A copy whose elements lie in the typed field that `onnx.helper.make_tensor` fills. */
function packed({ dtype, dims, data }: GraphTensor): GraphTensor {
  if (data.kind !== "raw") throw new Error("not raw");
  const field = dtype === DataType.double ? "doubleData" : "floatData";
  return new GraphTensor(dtype, dims, { kind: "packed", field, bytes: data.bytes });
}

/** A linear layer. */
function linear(change: (tensor: GraphTensor) => GraphTensor = (tensor) => tensor): Model {
  const sketch = new Sketch("linear");
  sketch.input("x", float(["N", 4]));
  sketch.initializer("w", change(weights([4, 3])));
  sketch.initializer("b", change(weights([3], 2)));
  sketch.node("Gemm", ["x", "w", "b"], ["y"]);
  sketch.output("y", float(["N", 3]));
  return model(sketch.graph, 8, [["", 17]]);
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

/** A hidden layer whose first product is read by `use`, which makes "h" of it, and a linear layer of one output. */
function around(
  use: (sketch: Sketch) => void,
  constants: Readonly<Record<string, GraphTensor>>,
  from = "raw" as "raw" | "hidden",
): Model {
  const sketch = new Sketch("around");
  sketch.input("x", float(["N", 4]));
  sketch.initializer("w1", weights([4, 4]));
  sketch.initializer("w2", weights([4, 1], 3));
  for (const [name, tensor] of Object.entries(constants)) sketch.initializer(name, tensor);
  if (from === "hidden") sketch.node("MatMul", ["x", "w1"], ["p"]);
  use(sketch);
  if (from === "raw") {
    sketch.node("MatMul", ["h", "w1"], ["q"]);
    sketch.node("MatMul", ["q", "w2"], ["y"]);
  } else sketch.node("MatMul", ["h", "w2"], ["y"]);
  sketch.output("y", float(["N", 1]));
  return model(sketch.graph, 8, [["", 17]]);
}

const number = (value: number, dims: readonly number[] = []): GraphTensor => GraphTensor.floats(dims, [value]);

async function choice(forward: Model, options: Partial<BuildOptions> = {}) {
  const { report } = await buildTrainingArtifacts(forward, {
    loss: { kind: "mse" },
    targets: ["portable"],
    ...options,
  });
  return {
    trained: report.trainable.map(({ name }) => name).filter((name) => name !== "w1" && name !== "w2"),
    constants: Object.fromEntries(report.skipped.map(({ at, reason }) => [at, reason])),
  };
}

const angle = (at: number): number => Math.floor(at / 4) * 0.1 ** (at % 2);
const table = (of: (angle: number) => number): GraphTensor =>
  GraphTensor.floats(
    [4, 4],
    Array.from({ length: 16 }, (_, at) => of(angle(at))),
  );

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

describe("constants of the program are told by their use", () => {
  const infinity = GraphTensor.floats(
    [4, 4],
    Array.from({ length: 16 }, (_, at) => (at % 4 > at / 4 ? -3.4e38 : 0)),
  );
  const CONSTANTS: readonly (readonly [string, Model, string])[] = [
    [
      "a mean image",
      around((sketch) => sketch.node("Sub", ["x", "c"], ["h"]), { c: weights([4], 6) }),
      "an offset of the model's input",
    ],
    [
      "a deviation behind a mean",
      around(
        (sketch) => {
          sketch.node("Sub", ["x", "mean"], ["a"]);
          sketch.node("Div", ["a", "c"], ["h"]);
        },
        { mean: weights([4], 6), c: GraphTensor.floats([4], [1, 2, 3, 4]) },
      ),
      "an offset of the model's input",
    ],
    [
      "a base of a scatter",
      around(
        (sketch) => sketch.node("ScatterND", ["c", "at", "p"], ["h"]),
        {
          c: GraphTensor.floats(
            [3, 4],
            Array.from({ length: 12 }, () => 0),
          ),
          at: GraphTensor.from(DataType.int64, [3, 1], BigInt64Array.of(0n, 1n, 2n)),
        },
        "hidden",
      ),
      "what a scatter begins with",
    ],
    [
      "an additive mask",
      around((sketch) => sketch.node("Add", ["p", "c"], ["h"]), { c: infinity }, "hidden"),
      "a mask",
    ],
    [
      "a mask behind what moves it",
      around(
        (sketch) => {
          sketch.node("Transpose", ["c"], ["turned"]);
          sketch.node("Add", ["p", "turned"], ["h"]);
        },
        { c: infinity },
        "hidden",
      ),
      "a mask",
    ],
    [
      "sinusoids",
      around(
        (sketch) => sketch.node("Add", ["p", "c"], ["h"]),
        {
          c: GraphTensor.floats(
            [4, 4],
            Array.from({ length: 16 }, (_, at) =>
              (at % 2 === 0 ? Math.sin : Math.cos)(Math.floor(at / 4) * 0.1 ** Math.floor((at % 4) / 2)),
            ),
          ),
        },
        "hidden",
      ),
      "a table of sinusoids",
    ],
    [
      "a rotation's table",
      around(
        (sketch) => {
          sketch.node("Mul", ["p", "c"], ["a"]);
          sketch.node("Neg", ["p"], ["n"]);
          sketch.node("Mul", ["n", "s"], ["b"]);
          sketch.node("Add", ["a", "b"], ["h"]);
        },
        { c: table(Math.cos), s: table(Math.sin) },
        "hidden",
      ),
      "a table of cosines or sines",
    ],
    [
      "an exponent",
      around((sketch) => sketch.node("Pow", ["p", "c"], ["h"]), { c: number(2, [1]) }, "hidden"),
      "an exponent",
    ],
    ["a bound", around((sketch) => sketch.node("Clip", ["p", "c"], ["h"]), { c: number(0) }, "hidden"), "a bound"],
    [
      "a number without axes",
      around((sketch) => sketch.node("Mul", ["p", "c"], ["h"]), { c: number(0.5) }, "hidden"),
      "a number of the program",
    ],
    [
      "what guards a root",
      around(
        (sketch) => {
          sketch.node("Mul", ["p", "p"], ["a"]);
          sketch.node("Add", ["a", "c"], ["b"]);
          sketch.node("Sqrt", ["b"], ["h"]);
        },
        { c: number(1e-5, [1]) },
        "hidden",
      ),
      "a number that guards",
    ],
  ];
  it.each(CONSTANTS)("%s", async (_, forward, reason) => {
    const { trained, constants } = await choice(forward);
    expect(trained).toEqual([]);
    expect(constants["c"]).toContain(reason);
    /** Asked for by name, it is trained; a glob that names weights too does not ask for it. */
    const asked = await choice(forward, { parameters: ["*", "c"] });
    /** Clip has no gradient for its bounds. */
    if (reason !== "a bound") expect(asked.trained).toEqual(["c"]);
    else expect(asked.constants).toEqual({ c: "the loss does not depend on it" });
    expect((await choice(forward, { parameters: ["*"] })).trained).toEqual([]);
  });

  it("initial states of recurrent layers", async () => {
    const sketch = new Sketch("recurrent");
    sketch.input("x", float([5, 2, 3]));
    for (const [name, dims] of [
      ["W", [1, 16, 3]],
      ["R", [1, 16, 4]],
      ["B", [1, 32]],
      ["h0", [1, 2, 4]],
      ["c0", [1, 1, 4]],
    ] as const) {
      sketch.initializer(name, weights(dims));
    }
    sketch.initializer("shape", GraphTensor.ints([1, 2, 4]));
    sketch.node("Expand", ["c0", "shape"], ["c"]);
    sketch.node("LSTM", ["x", "W", "R", "B", "", "h0", "c"], ["", "y"], [attribute.int("hidden_size", 4)]);
    sketch.output("y", float([1, 2, 4]));
    const { trained, constants } = await choice(model(sketch.graph, 8, [["", 17]]));
    expect(trained).toEqual(["W", "R", "B"]);
    expect(constants).toEqual({ h0: "it is an initial state", c0: "it is an initial state" });
  });

  it("a model of nothing else is refused with the way to train them", async () => {
    const sketch = new Sketch("line");
    sketch.input("x", float(["N", 1]));
    sketch.initializer("slope", number(2, [1]));
    sketch.initializer("offset", number(1, [1]));
    sketch.node("Mul", ["x", "slope"], ["a"]);
    sketch.node("Add", ["a", "offset"], ["y"]);
    sketch.output("y", float(["N", 1]));
    const line = model(sketch.graph, 8, [["", 17]]);
    const error = await rejectionOf(choice(line));
    expect([error.code, error.exitCode, error.hint]).toEqual([
      "E_NO_PARAMETERS",
      4,
      expect.stringContaining("--params 'slope'"),
    ]);
    expect((await choice(line, { parameters: ["slope", "offset"] })).trained).toEqual(["slope", "offset"]);
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
    expect([await notesOf(net(2), "mse"), await notesOf(net("N"), "mse")]).toEqual(["", ""]);
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
