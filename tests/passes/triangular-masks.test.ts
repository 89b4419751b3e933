import { Tensor } from "onnxruntime-node";
import { expect, it } from "vitest";
import { float, model, Sketch } from "../../fixtures/sketch.ts";
import { attribute, DataType, encodeModel, GraphTensor, printModel } from "../../src/entries/graph.ts";
import type { Model } from "../../src/index.ts";
import { maskByTriangles } from "../../src/passes/triangular-masks.ts";
import { openSession } from "../support/ort.ts";
import { valuesOf } from "../support/tensor-values.ts";

const SIZE = 5;
const SIZES = [2, 3, SIZE, SIZE];

interface Mask {
  readonly diagonal: number;
  readonly fill: number;
  /** Whether the mask is held, or made by Trilu as exporters write it. */
  readonly isHeld?: boolean;
  /** What the mask is, where it is no such triangle. */
  readonly isSet?: (row: number, column: number) => boolean;
}

function masked({ diagonal, fill, isHeld = false, isSet = (row, column) => column - row >= diagonal }: Mask): Model {
  const sketch = new Sketch("masked");
  sketch.input("x", float(SIZES));
  sketch.initializer("fill", GraphTensor.scalar(DataType.float, fill));
  if (isHeld) {
    const bytes = Uint8Array.from({ length: SIZE * SIZE }, (_, at) => Number(isSet(Math.floor(at / SIZE), at % SIZE)));
    sketch.initializer("numbers", GraphTensor.from(DataType.bool, [SIZE, SIZE], bytes));
    sketch.node("Where", ["numbers", "fill", "x"], ["y"]);
  } else {
    sketch.initializer("ones", GraphTensor.floats([SIZE, SIZE], new Array<number>(SIZE * SIZE).fill(1)));
    sketch.initializer("k", GraphTensor.scalar(DataType.int64, diagonal));
    sketch.node("Trilu", ["ones", "k"], ["numbers"], [attribute.int("upper", 1)]);
    sketch.node("Cast", ["numbers"], ["mask"], [attribute.int("to", DataType.bool)]);
    sketch.node("Where", ["mask", "fill", "x"], ["y"]);
  }
  sketch.output("y", float(SIZES));
  return model(sketch.graph, 8, [["", 17]]);
}

/** Infinite numbers and none at all among them, before the mask and behind it. */
const x = Float32Array.from({ length: 2 * 3 * SIZE * SIZE }, (_, at) =>
  at % 7 === 0 ? Number.POSITIVE_INFINITY : at % 11 === 0 ? Number.NaN : Math.sin(at) * 1e3,
);

async function resultOf(net: Model): Promise<readonly number[]> {
  const session = await openSession(encodeModel(net));
  const { y } = await session.run({ x: new Tensor("float32", x, SIZES) });
  await session.release();
  return valuesOf(y);
}

it.each<Mask>([
  { diagonal: 1, fill: -1e9 },
  { diagonal: 1, fill: 0 },
  { diagonal: 1, fill: Number.NEGATIVE_INFINITY },
  { diagonal: 0, fill: -1e9 },
  { diagonal: -2, fill: 0.5 },
  { diagonal: 1, fill: -1e9, isHeld: true },
  { diagonal: 3, fill: 0, isHeld: true },
])("masks from diagonal $diagonal on with $fill, and gives ONNX Runtime's own numbers", async (mask) => {
  const net = masked(mask);
  expect(maskByTriangles(net)).toBe(1);
  expect(
    net.graph.nodes.some(({ opType, inputs }) => opType === "Where" && inputs.some((each) => each?.name === "x")),
  ).toBe(false);
  expect(await resultOf(net)).toEqual(await resultOf(masked(mask)));
});

it.each<[string, Mask]>([
  [
    "a triangle with a hole",
    { diagonal: 1, fill: 0, isHeld: true, isSet: (row, column) => column > row && column !== 3 },
  ],
  ["a triangle below", { diagonal: 1, fill: 0, isHeld: true, isSet: (row, column) => column < row }],
  [
    "a triangle with one more",
    { diagonal: 1, fill: 0, isHeld: true, isSet: (row, column) => column > row || (row === 4 && column === 0) },
  ],
  ["nothing", { diagonal: 1, fill: 0, isHeld: true, isSet: () => false }],
])("leaves a mask of %s", (_, mask) => {
  const net = masked(mask);
  const before = printModel(net);
  expect(maskByTriangles(net)).toBe(0);
  expect(printModel(net)).toBe(before);
});
