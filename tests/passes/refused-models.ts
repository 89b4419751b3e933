import { makeOptimizer } from "../../fixtures/optimizer.ts";
import { float, MICROSOFT, model, Sketch, tensor } from "../../fixtures/sketch.ts";
import {
  attribute,
  DataType,
  GraphFunction,
  GraphTensor,
  Node,
  setLearningRate,
  Value,
} from "../../src/entries/graph.ts";
import { insertAgr, type Model } from "../../src/index.ts";

function sketched(opset: number, build: (sketch: Sketch) => void, domains: readonly string[] = []): Model {
  const sketch = new Sketch("case");
  build(sketch);
  return model(sketch.graph, 8, [["", opset], ...domains.map((domain): [string, number] => [domain, 1])]);
}

/** Two Relus, of which one adds nothing. */
export const twice = (): Model =>
  sketched(17, (sketch) => {
    sketch.input("x", float([2]));
    sketch.node("Relu", ["x"], ["a"]);
    sketch.node("Relu", ["x"], ["b"]);
    sketch.node("Add", ["a", "b"], ["y"]);
    sketch.node("Neg", ["y"], ["unread"]);
    sketch.output("y", float([2]));
  });

export const plain = (): Model =>
  sketched(17, (sketch) => {
    sketch.input("x", float([2]));
    sketch.node("Relu", ["x"], ["y"]);
    sketch.output("y", float([2]));
  });

export function damaged(): Model {
  const made = makeOptimizer();
  insertAgr(made, { count: 2 });
  const value = made.graph.nodes.find(({ opType }) => opType === "AGR")?.outputs[0] ?? null;
  made.graph.append(new Node("Identity", [value], [new Value("peek")], { name: "peek" }));
  return made;
}

export function damagedRate(): Model {
  const made = makeOptimizer();
  setLearningRate(made, { rate: 0.5 });
  const record = JSON.parse(made.metadata.get("onnx-agr.learning-rate") ?? "{}") as { edges: { from: string }[] };
  for (const edge of record.edges) edge.from = "gone";
  made.metadata.set("onnx-agr.learning-rate", JSON.stringify(record));
  return made;
}

/** Calls itself, behind a call of a function that does not. */
function endless(): Model {
  const made = sketched(
    17,
    (sketch) => {
      sketch.input("x", float([2]));
      sketch.node("Once", ["x"], ["a"], [], "own");
      sketch.node("Endless", ["a"], ["y"], [], "own");
      sketch.output("y", float([2]));
    },
    ["own"],
  );
  for (const [name, inner] of [
    ["Once", "Relu"],
    ["Endless", "Endless"],
  ] as const) {
    const called = new GraphFunction(name, "own");
    const [input, output] = [new Value(`${name}/in`), new Value(`${name}/out`)];
    called.body.inputs.push(input);
    called.body.append(new Node(inner, [input], [output], { domain: inner === "Relu" ? "" : "own" }));
    called.body.addOutput(output);
    called.opsets.set("", 17).set("own", 1);
    made.functions.push(called);
  }
  return made;
}

/** Merged by chance, and another whose elements are in a file that was not read. */
const unread = (): Model =>
  sketched(17, (sketch) => {
    sketch.initializer("zeros", GraphTensor.floats([2], [0, 0]));
    const at = { location: "weights.bin", offset: 0, length: 8, checksum: null };
    sketch.initializer("far", new GraphTensor(DataType.float, [2], { kind: "external", at }));
    sketch.node("Identity", ["zeros"], ["bias"]);
    sketch.node("Identity", ["far"], ["weight"]);
    sketch.node("Add", ["bias", "weight"], ["y"]);
    sketch.node("Add", ["y", "y"], ["z"]);
    sketch.output("z", float([2]));
  });

/** What is not read goes first; then two shapes do not fit. */
const contradicting = (): Model =>
  sketched(17, (sketch) => {
    sketch.input("x", float([6]));
    sketch.initializer("shape", GraphTensor.ints([4, -1]));
    sketch.node("Neg", ["x"], ["unread"]);
    sketch.node("Reshape", ["x", "shape"], ["y"]);
    sketch.output("y", float(["a", "b"]));
  });

/** The first node can be lowered, the second cannot. */
export const halfLowered = (): Model =>
  sketched(
    12,
    (sketch) => {
      for (const name of ["dY", "x", "w"]) sketch.input(name, float([1, 1, 2, "width"]));
      sketch.node("ReluGrad", ["dY", "x"], ["a"], [], MICROSOFT);
      sketch.node("ConvGrad", ["a", "x", "w"], ["dX"], [attribute.string("auto_pad", "SAME_UPPER")], MICROSOFT);
      sketch.output("dX", float([1, 1, 2, "width"]));
    },
    [MICROSOFT],
  );

/** Split takes its parts from an input from opset 13 on; in 14 the statistics of a batch have no equal. */
export const halfRaised = (): Model =>
  sketched(12, (sketch) => {
    sketch.input("x", float([2, 4]));
    for (const name of ["scale", "bias", "mean", "variance"]) sketch.input(name, float([2]));
    sketch.node("Split", ["x"], ["a", "b"], [attribute.ints("split", [2, 2]), attribute.int("axis", 1)]);
    sketch.node("BatchNormalization", ["a", "scale", "bias", "mean", "variance"], ["y", "m", "v"]);
    sketch.output("y", float([2, 2]));
    sketch.output("b", float([2, 2]));
  });

/** The first operator has parts; the second has an attribute that they do not know. */
const halfDecomposed = (): Model =>
  sketched(
    17,
    (sketch) => {
      for (const name of ["x", "skip"]) sketch.input(name, float([1, 2, 4]));
      sketch.input("gamma", float([4]));
      sketch.node("SkipSimplifiedLayerNormalization", ["x", "skip", "gamma"], ["a"], [], MICROSOFT);
      sketch.node(
        "MultiHeadAttention",
        ["a", "a", "a"],
        ["y"],
        [attribute.int("num_heads", 2), attribute.int("of_mine", 1)],
        MICROSOFT,
      );
      sketch.output("y", float([1, 2, 4]));
    },
    [MICROSOFT],
  );

const whole = (): Model =>
  sketched(17, (sketch) => {
    sketch.input("x", tensor(DataType.int64, [2]));
    sketch.node("Neg", ["x"], ["y"]);
    sketch.output("y", tensor(DataType.int64, [2]));
  });

/** Of each pass a model that it refuses, and the code of the refusal. */
export const REFUSED: Readonly<Record<string, readonly [make: () => Model, options: object, code: string]>> = {
  "insert-agr": [plain, {}, "E_NO_OPTIMIZER"],
  "strip-agr": [damaged, {}, "E_RECORD"],
  "set-learning-rate": [damagedRate, { rate: 1 }, "E_RECORD"],
  "remove-learning-rate": [damagedRate, {}, "E_RECORD"],
  "raise-opset": [halfRaised, { opset: 17 }, "E_NO_UPGRADE"],
  "lower-training-ops": [halfLowered, {}, "E_NO_LOWERING"],
  "inline-functions": [endless, {}, "E_FUNCTION_CYCLE"],
  decompose: [halfDecomposed, {}, "E_NO_GRADIENT"],
  "separate-initializers": [unread, {}, "E_TENSOR"],
  "add-lora": [plain, { rank: 1, targets: ["*"] }, "E_NO_PARAMETERS"],
  "add-loss": [whole, { kind: "mse" }, "E_LOSS"],
  simplify: [contradicting, {}, "E_SHAPE"],
  "fix-sizes": [contradicting, { sizes: { none: 2 } }, "E_OPTION"],
  "replace-head": [plain, { classes: 2 }, "E_HEAD"],
  initialize: [unread, { parameters: ["zeros"], kind: "he" }, "E_INIT"],
};
