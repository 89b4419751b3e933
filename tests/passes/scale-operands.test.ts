import { expect, it } from "vitest";
import { model, Sketch, tensor } from "../../fixtures/sketch.ts";
import { attribute, DataType, GraphTensor, printModel } from "../../src/entries/graph.ts";
import type { Model } from "../../src/index.ts";
import { scaleOperands } from "../../src/passes/scale-operands.ts";
import { allResults } from "../support/all-results.ts";

interface Net {
  readonly operator?: string;
  readonly factor?: number;
  readonly a?: readonly number[];
  readonly b?: readonly number[];
  readonly dtype?: typeof DataType.float | typeof DataType.double;
  readonly odd?: "given" | "twice" | "vector" | "sum" | "divisor" | "computed";
  /** Whether the second operand is a transposition. */
  readonly isTurned?: boolean;
}

function netOf({ operator = "Mul", factor = 0.5, a = [3, 2], b = [2, 40], dtype, odd, isTurned = false }: Net): Model {
  const sketch = new Sketch("net");
  const type = dtype ?? DataType.float;
  sketch.input("a", tensor(type, a));
  sketch.input("b", tensor(type, isTurned ? b.toReversed() : b));
  if (odd === "computed") sketch.input("factor", tensor(type, []));
  else {
    const held = odd === "vector" ? GraphTensor.floats([1], [factor]) : GraphTensor.scalar(type, factor);
    sketch.initializer("factor", held);
  }
  if (isTurned) sketch.node("Transpose", ["b"], ["turned"], [attribute.ints("perm", [1, 0])]);
  const operands = ["a", isTurned ? "turned" : "b"];
  if (odd === "sum") sketch.node("Add", ["a", "a"], ["product"]);
  else sketch.node("MatMul", operands, ["product"]);
  sketch.node(operator, odd === "divisor" ? ["factor", "product"] : ["product", "factor"], ["y"]);
  sketch.output("y", tensor(type, []));
  if (odd === "twice") {
    sketch.node("Neg", ["product"], ["z"]);
    sketch.output("z", tensor(type, []));
  }
  if (odd === "given") sketch.output("product", tensor(type, []));
  const net = model(sketch.graph, 8, [["", 18]]);
  for (const output of net.graph.outputs) output.type = null;
  return net;
}

const always = (): boolean => true;

it.each<Net>([
  {},
  { a: [40, 2], b: [2, 3] },
  { operator: "Div", factor: 8 },
  { a: [5, 30, 2], b: [2, 40] },
  { a: [2, 3, 4], b: [2, 4, 50] },
  { isTurned: true, a: [30, 2], b: [2, 3] },
])("gives the same bits in ONNX Runtime: %j", async (net) => {
  const [plain, scaled] = [netOf(net), netOf(net)];
  expect(scaleOperands(scaled, always)).toBe(1);
  expect(scaled.graph.outputs[0]?.producer?.opType).toBe("MatMul");
  expect(await allResults(scaled)).toEqual(await allResults(plain));
});

it("scales the operand of fewer numbers, and no transposition", () => {
  const scaled = (net: Net): string | undefined => {
    const made = netOf(net);
    scaleOperands(made, always);
    return made.graph.nodes.find(({ opType }) => opType === "Mul")?.inputs[0]?.name;
  };
  expect(scaled({ a: [3, 2], b: [2, 40] })).toBe("a");
  expect(scaled({ a: [40, 2], b: [2, 3] })).toBe("b");
  expect(scaled({ a: [40, 2], b: [2, 3], isTurned: true })).toBe("a");
});

it.each<Net>([
  { odd: "given" },
  { odd: "twice" },
  { odd: "vector" },
  { odd: "sum" },
  { odd: "divisor", operator: "Div" },
  { odd: "computed" },
  { factor: 0.3 },
  { factor: -2 },
  { factor: 2 ** 20 },
  { factor: 0 },
  { operator: "Add" },
  { dtype: DataType.double },
])("leaves %j", (net) => {
  const left = netOf(net);
  const nodes = [...left.graph.nodes];
  expect(scaleOperands(left, always)).toBe(0);
  expect(left.graph.nodes).toEqual(nodes);
});

it("by itself takes large results of small operands", () => {
  expect(scaleOperands(netOf({ a: [512, 64], b: [64, 512] }))).toBe(1);
  expect(scaleOperands(netOf({ a: [512, 512], b: [512, 512] }))).toBe(0);
  expect(scaleOperands(netOf({ a: [64, 8], b: [8, 64] }))).toBe(0);
});

it("has this text", () => {
  const net = netOf({ operator: "Div", factor: 8 });
  scaleOperands(net, always);
  expect(printModel(net)).toMatchInlineSnapshot(`
    "<ir_version: 8, opset_import: ["" : 18]>
    net (float[3,2] a, float[2,40] b) => (float[3,40] y)
    <
      factor = float[] {8}
    >
    {
      [y/Div/Div] y/Div/Div:out = Div (a, factor)
      [y/Div/MatMul] y = MatMul (y/Div/Div:out, b)
    }
    "
  `);
});
