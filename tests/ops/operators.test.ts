import { describe, expect, it } from "vitest";
import { type Attribute, attribute, DataType, Graph, GraphTensor, Node, Value } from "../../src/entries/graph.ts";
import { Names } from "../../src/graph/names.ts";
import { Model } from "../../src/index.ts";
import { Builder } from "../../src/ops/builder.ts";
import { constantOf } from "../../src/ops/constants.ts";
import { NodeView } from "../../src/ops/node-view.ts";
import { isOfFamily, OPERATOR_NAMES, schemaOf } from "../../src/ops/operators/index.ts";
import type { AttributeSchema } from "../../src/ops/operators/operator.ts";
import { TRAINING_OPERATORS } from "../../src/ops/operators/training.ts";
import { uniqueRows } from "../../src/ops/unique-rows.ts";
import { errorOf } from "../support/errors.ts";
import { SCHEMAS } from "./operator-schemas.ts";

/** A schema says float32 numbers. */
const rounded = ({ kind, default: given, ...rest }: AttributeSchema): unknown => ({
  kind,
  default: kind === "float" && typeof given === "number" ? Math.fround(given) : given,
  ...rest,
});

describe("the table of operators is what their own schemas say", () => {
  it.each(Object.entries(SCHEMAS.operators))("%s", (name, facts) => {
    const row = schemaOf(name);
    expect(row?.inputs).toBe(facts.inputs);
    expect(row?.outputs).toBe(facts.outputs);
    if (facts.since !== undefined) expect(row?.since).toEqual(facts.since);
    const attributes = Object.entries(row?.attributes ?? {}).map(([key, each]) => [key, rounded(each)] as const);
    expect(Object.fromEntries(attributes)).toEqual(facts.attributes);
  });

  it("and has no others but those of ONNX Runtime's training builds", () => {
    const others = OPERATOR_NAMES.filter((name) => !Object.hasOwn(SCHEMAS.operators, name));
    expect(others).toEqual(Object.keys(TRAINING_OPERATORS));
  });
});

describe("a node's view", () => {
  const view = (op: string, attributes: readonly Attribute[] = [], opset?: number): NodeView =>
    new NodeView(new Node(op, [new Value("x"), null], [new Value("y"), null], { name: "n", attributes }), opset);

  it("has the operator's defaults, as float32 where they are floats", () => {
    expect(view("LeakyRelu").float("alpha")).toBe(Math.fround(0.01));
    expect(view("LeakyRelu", [attribute.float("alpha", 0.5)]).float("alpha")).toBe(0.5);
    expect(view("Conv").string("auto_pad")).toBe("NOTSET");
    expect(view("RNN").strings("activations")).toEqual(["Tanh", "Tanh"]);
    expect(view("Conv").ints("pads")).toBeNull();
  });

  it("has the default of the node's opset", () => {
    expect([12, 13].map((opset) => view("Softmax", [], opset).int("axis"))).toEqual([1, -1]);
    expect([16, 20].map((opset) => view("GridSample", [], opset).string("mode"))).toEqual(["bilinear", "linear"]);
  });

  it("refuses another kind, and a node without what it must have", () => {
    const error = errorOf(() => view("Concat").int("axis"));
    expect([error.code, error.message, error.field]).toEqual([
      "E_ATTRIBUTE",
      'node "n" (Concat) lacks its attribute "axis"',
      "axis",
    ]);
    expect(errorOf(() => view("Concat", [attribute.float("axis", 1)]).int("axis")).message).toBe(
      'node "n" (Concat): attribute "axis" may not be of kind float',
    );
  });

  it("does not make up a default for an attribute that the operator does not have", () => {
    expect(() => view("Relu").int("axis")).toThrow('Relu has no attribute "axis" with a default');
  });

  it("names the input or output that is not there", () => {
    expect(() => view("Add").input(1)).toThrow('node "n" (Add) has no input 1');
    expect(() => view("Add").output(1)).toThrow('node "n" (Add) has no output 1');
  });
});

describe("the constant behind a value", () => {
  const held = (attributes: readonly Attribute[], op = "Constant"): GraphTensor | null => {
    const value = new Value("c");
    new Node(op, [], [value], { attributes });
    return constantOf(value);
  };

  it("is an initializer's tensor, or what a Constant node says in any of its attributes", () => {
    const initializer = new Value("w");
    initializer.tensor = GraphTensor.ints([7]);
    const tensors = [
      constantOf(initializer),
      held([attribute.tensor("value", GraphTensor.ints([7]))]),
      held([attribute.int("value_int", 7)]),
      held([attribute.ints("value_ints", [7, 8])]),
      held([attribute.float("value_float", 0.5)]),
      held([{ name: "value_floats", kind: "floats", value: [0.5, 2] }]),
    ];
    expect(tensors.map((each) => [each?.dtype, each?.dims, [...(each?.values() ?? [])]])).toEqual([
      [DataType.int64, [1], [7n]],
      [DataType.int64, [1], [7n]],
      [DataType.int64, [], [7n]],
      [DataType.int64, [2], [7n, 8n]],
      [DataType.float, [], [0.5]],
      [DataType.float, [2], [0.5, 2]],
    ]);
  });

  it("is nothing where it is computed, and not the filling of another operator", () => {
    expect(constantOf(new Value("x"))).toBeNull();
    expect(held([attribute.tensor("value", GraphTensor.ints([7]))], "ConstantOfShape")).toBeNull();
  });
});

describe("operators by name", () => {
  it("are emitted in their domain", () => {
    const build = new Builder({ prefix: "p", names: new Names(new Model(8, new Graph())) });
    build.emit("com.microsoft.Gelu", [new Value("x")]);
    build.emit("Softplus", [new Value("x")]);
    // @ts-expect-error there is no such operator
    build.emit("Softplsu", [new Value("x")]);
    expect(build.nodes.map(({ domain, opType }) => [domain, opType])).toEqual([
      ["com.microsoft", "Gelu"],
      ["", "Softplus"],
      ["", "Softplsu"],
    ]);
  });

  it("are of a family in ONNX's domain alone", () => {
    const node = (opType: string, domain = ""): Node => new Node(opType, [], [], { domain });
    expect(isOfFamily("elementwise", node("Add"))).toBe(true);
    expect(isOfFamily("linear", node("Exp"))).toBe(false);
    expect(isOfFamily("reduction", node("ReduceSum"))).toBe(true);
    expect(isOfFamily("elementwise", node("Add", "my.domain"))).toBe(false);
  });

  it("have one row in a table", () => {
    const rows = [["Add", 1]] as const;
    expect(() => uniqueRows("numbers", rows, [["Sub", 2]] as const, rows)).toThrow(
      "the table of numbers has two rows of Add",
    );
  });
});
