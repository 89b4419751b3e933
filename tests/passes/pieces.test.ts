import { describe, expect, it } from "vitest";
import { DataType, decodeModel, encodeModel, printModel } from "../../src/entries/graph.ts";
import type { Model } from "../../src/index.ts";
import { constantOf } from "../../src/ops/constants.ts";
import { type CutCosts, cutChains } from "../../src/passes/pieces/cut-chains.ts";
import { type Net, netOf, resultsOf } from "../support/net-of-lines.ts";

const inPieces = (count: number): CutCosts => ({ isLarge: () => true, piecesOf: () => count });

const X = [16, 3, 8];
/** GELU of a product and its bias, and its slope. */
const GELU =
  "Add x c i, Mul i half t, Erf t e, Add e half a, Mul i a y, Mul t t n, Neg n m, Exp m d, Mul d i s, Add s a z";
const TURNED = "Transpose y p, Transpose z q";

const scansOf = ({ graph }: Model): readonly string[] =>
  graph.nodes.filter(({ opType }) => opType === "Scan").map(({ name }) => name);

describe("a chain of elementwise nodes", () => {
  it.each<[string, number, Net]>([
    ["two results", 1, { inputs: { x: X, c: [8] }, lines: `${GELU}, ${TURNED}`, outputs: ["p", "q"] }],
    [
      "operands of one number, of a row, of a column and of the last axes",
      1,
      {
        inputs: { x: X, s: [], r: [16, 1, 1], m: [1, 3, 1], v: [8], w: [3, 8] },
        lines: "Mul x s a, Add a r b, Mul b m d, Sub d v e, Max w e f, Transpose f y",
      },
    ],
    [
      "what only the first axis may be cut for, and what all may be",
      2,
      {
        inputs: { x: X, m: [16, 1, 8], u: [48, 8], v: [48, 8] },
        lines: "Mul x m a, Neg a b, Transpose b p, Mul u v d, Add d half e, Transpose e q",
        outputs: ["p", "q"],
      },
    ],
    [
      "one axis together",
      1,
      { inputs: { x: X, z: X }, lines: "Mul x half a, Softmax a b, LogSoftmax b c, Mul c z d, Transpose d y" },
    ],
    [
      "other types in between, and an input left out",
      1,
      { inputs: { x: X, z: X }, lines: "Greater x z g, Where g x half w, Clip w  half c, Neg c d, Transpose d y" },
    ],
    [
      "a result that is computed with outside comes later",
      1,
      {
        inputs: { x: X },
        lines: "Abs x a, LpNormalization a n, Add a n b, Neg b c, Transpose c y",
      },
    ],
    [
      "two that would have to wait for each other",
      1,
      {
        inputs: { x: X, u: [8, 3, 16] },
        lines: "Abs x a, Transpose a f, Exp u b, Add f u c, Transpose b g, Mul a g d, Transpose d y, Transpose c q",
        outputs: ["y", "q"],
      },
    ],
  ])("gives ONNX Runtime's own numbers: %s", async (_, count, net) => {
    const special = [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, -0];
    const expected = await resultsOf(netOf(net), special);
    for (const pieces of [2, 8]) {
      const cut = netOf(net);
      expect(cutChains(cut, 1, inPieces(pieces))).toBe(count);
      expect(scansOf(cut)).toHaveLength(count);
      expect(await resultsOf(decodeModel(encodeModel(cut)), special)).toEqual(expected);
      expect(cutChains(cut, 1, inPieces(pieces))).toBe(0);
    }
  });

  const chain = "Mul x s a, Add a z b, Neg b c, Transpose c y";
  it.each<[string, Net]>([
    ["one node", { inputs: { x: X }, lines: "Neg x a, Transpose a y" }],
    ["what the graph gives", { inputs: { x: X }, lines: "Neg x a, Abs a y", outputs: ["a", "y"] }],
    ["sizes that are open", { inputs: { x: ["batch", 3, 8], s: [], z: ["batch", 3, 8] }, lines: chain }],
    ["few rows", { inputs: { x: [4, 3, 8], s: [3, 8] }, lines: "Mul x s a, Add a s b, Transpose b y" }],
    ["other sizes", { inputs: { x: X, s: [] }, lines: "Mul x s a, Transpose a b, Neg b c, Transpose c y" }],
    ["what is computed from gradients", { inputs: { x: X, s: [], z: X }, lines: chain, gradients: ["s"] }],
    [
      "what ends a product",
      { inputs: { x: [2, 3, 8, 8], w: [3, 3, 1, 1] }, lines: "Conv x w a, Relu a b, Neg b c, Transpose c y" },
    ],
  ])("leaves %s", (_, net) => {
    const left = netOf(net);
    const nodes = [...left.graph.nodes];
    expect(cutChains(left, 1, { isLarge: () => true, piecesOf: () => 2 })).toBe(0);
    expect(left.graph.nodes).toEqual(nodes);
  });

  it("takes double precision", () => {
    const net = netOf({ inputs: { x: X, s: [], z: X }, lines: chain, dtype: DataType.double });
    expect(cutChains(net, 1, inPieces(4))).toBe(1);
  });

  it("pays for long chains of large tensors, in pieces that fit a cache", () => {
    const piecesFor = (x: readonly [number, number], threads: number, lines = `${GELU}, ${TURNED}`): number | null => {
      const net = netOf({ inputs: { x, c: x.slice(1) }, lines });
      if (cutChains(net, threads) === 0) return null;
      const [cut] = net.graph.nodes.find(({ opType }) => opType === "Scan")?.inputs ?? [];
      const [pieces = 0] = [...((cut && constantOf(cut.producer?.inputs[1] ?? cut))?.values() ?? [])].map(Number);
      return pieces;
    };
    expect(piecesFor([2048, 160], 1)).toBe(8);
    expect(piecesFor([512, 1024], 1)).toBe(8);
    expect(piecesFor([1024, 1024], 2)).toBe(4);
    expect(piecesFor([512, 320], 1)).toBeNull();
    expect(piecesFor([512, 1024], 2)).toBeNull();
    expect(piecesFor([2048, 160], 1, "Mul x half b, Add b c z, Transpose z y")).toBeNull();
  });
});

it("has this text", () => {
  const net = netOf({
    inputs: { x: X, m: [1, 3, 1], z: X },
    lines: "Mul x m a, Sub a z b, Exp b c, Transpose c y, Transpose a q",
    outputs: ["y", "q"],
  });
  cutChains(net, 1, inPieces(2));
  expect(printModel(net)).toMatchInlineSnapshot(`
    "<ir_version: 8, opset_import: ["" : 17]>
    net (float[16,3,8] x, float[1,3,1] m, float[16,3,8] z) => (float[8,3,16] y, float[8,3,16] q)
    <
      half = float[] {0.5}
      planes = int64[4] {0, 3, 8, 8}
    >
    {
      [a/Mul/Constant] a/Mul/Constant:out = Constant <value = int64[2] {3, 1}> ()
      [a/Mul/Reshape] a/Mul/Reshape:out = Reshape (m, a/Mul/Constant:out)
      [a/Mul/Constant_1] a/Mul/Constant_1:out = Constant <value = int64[4] {2, 8, 3, 8}> ()
      [a/Mul/Reshape_1] a/Mul/Reshape_1:out = Reshape (x, a/Mul/Constant_1:out)
      [a/Mul/Reshape_2] a/Mul/Reshape_2:out = Reshape (z, a/Mul/Constant_1:out)
      [a/Mul/Scan] a/Mul/Scan:0, a/Mul/Scan:1 = Scan <body = piece (float[8,3,8] a/Mul/piece/x, float[8,3,8] a/Mul/piece/z) => (float[8,3,8] a/Mul/piece/Mul:out, float[8,3,8] a/Mul/piece/Exp:out)
      {
        [a/Mul/piece/Mul] a/Mul/piece/Mul:out = Mul (a/Mul/piece/x, a/Mul/Reshape:out)
        [a/Mul/piece/Sub] a/Mul/piece/Sub:out = Sub (a/Mul/piece/Mul:out, a/Mul/piece/z)
        [a/Mul/piece/Exp] a/Mul/piece/Exp:out = Exp (a/Mul/piece/Sub:out)
      }, num_scan_inputs = 2> (a/Mul/Reshape_1:out, a/Mul/Reshape_2:out)
      [a/Mul/Constant_2] a/Mul/Constant_2:out = Constant <value = int64[3] {16, 3, 8}> ()
      [a/Mul/Reshape_3] a/Mul/Reshape_3:out = Reshape (a/Mul/Scan:0, a/Mul/Constant_2:out)
      [a/Mul/Reshape_4] a/Mul/Reshape_4:out = Reshape (a/Mul/Scan:1, a/Mul/Constant_2:out)
      [y/Transpose] y = Transpose (a/Mul/Reshape_4:out)
      [q/Transpose] q = Transpose (a/Mul/Reshape_3:out)
    }
    "
  `);
});
