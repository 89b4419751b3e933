import { Tensor } from "onnxruntime-node";
import { expect, it } from "vitest";
import { maxPoolGrad } from "../../src/autodiff/formulas/pooling.ts";
import { outputSizes, type Window, windowAttributes } from "../../src/autodiff/formulas/window.ts";
import { DataType, encodeModel, Graph, Value } from "../../src/entries/graph.ts";
import { Names } from "../../src/graph/names.ts";
import { tensorType } from "../../src/graph/value-type.ts";
import { Model } from "../../src/index.ts";
import { Builder } from "../../src/ops/builder.ts";
import { Formula } from "../../src/ops/formula.ts";
import { openSession } from "../support/ort.ts";

const FRONT = [2, 3];
const product = (sizes: readonly number[]): number => sizes.reduce((all, size) => all * size, 1);

/** dX by this project, and the indices of ONNX Runtime's own MaxPool, which tell where each dY belongs. */
async function gradientAndIndices(
  window: Window,
  sizes: readonly number[],
  x: Float32Array,
  dY: Float32Array,
  isOpen: boolean,
) {
  const graph = new Graph("g");
  const model = new Model(8, graph);
  model.opsets.set("", 17);
  const placed = outputSizes(window, sizes);
  const typed = (dims: readonly number[]) => tensorType(DataType.float, isOpen ? dims.map(() => null) : dims);
  const image = new Value("x", typed([...FRONT, ...sizes]));
  const gradient = new Value("dy", typed([...FRONT, ...placed]));
  graph.inputs.push(image, gradient);
  const build = new Builder({ prefix: "t", names: new Names(model) });
  const attributes = windowAttributes(window, 1).filter(({ name }) => name !== "group");
  const [y, indices] = build.emitAll("MaxPool", [image], 2, { attributes });
  if (y === undefined || indices === undefined) throw new Error("no results");
  y.type = typed([...FRONT, ...placed]);
  const dX = maxPoolGrad(new Formula(build, 17), window, {
    x: image,
    y,
    dY: gradient,
    refuse: (why) => new Error(why),
  });
  graph.append(build.nodes);
  for (const [value, dtype] of [
    [dX, DataType.float],
    [indices, DataType.int64],
  ] as const) {
    value.type = tensorType(dtype, null);
    graph.addOutput(value);
  }
  const session = await openSession(encodeModel(model));
  const results = await session.run({
    x: new Tensor("float32", x, [...FRONT, ...sizes]),
    dy: new Tensor("float32", dY, [...FRONT, ...placed]),
  });
  await session.release();
  const [made, places] = [results[dX.name], results[indices.name]];
  expect(made?.dims).toEqual([...FRONT, ...sizes]);
  return { made: made?.data as Float32Array, places: places?.data as BigInt64Array };
}

const uniform = (size: number, rank: number): readonly number[] => new Array<number>(rank).fill(size);
const windowOf = (kernel: readonly number[], strides: readonly number[], pad = 0): Window => ({
  ...{ kernel, strides, dilations: uniform(1, kernel.length) },
  ...{ begin: uniform(pad, kernel.length), end: uniform(pad, kernel.length) },
});

it.each<[string, Window, readonly number[]]>([
  ["2x2", windowOf([2, 2], [2, 2]), [6, 8]],
  ["2x2, a row and a column left over", windowOf([2, 2], [2, 2]), [7, 5]],
  ["3x3", windowOf([3, 3], [3, 3]), [9, 6]],
  ["3x3 with pads", windowOf([3, 3], [3, 3], 1), [7, 10]],
  ["1x2", windowOf([1, 2], [1, 2]), [5, 6]],
  ["2x1", windowOf([2, 1], [2, 1]), [6, 5]],
  ["4 of one axis", windowOf([4], [4]), [13]],
  ["2x3x2", windowOf([2, 3, 2], [2, 3, 2]), [4, 6, 5]],
  ["one place", windowOf([1, 1], [1, 1]), [3, 4]],
  ["3x3 that overlap", windowOf([3, 3], [2, 2], 1), [7, 8]],
  ["2x2 with gaps between", windowOf([2, 2], [3, 3]), [8, 9]],
])("a max pool's gradient goes to the first largest place of each window: %s", async (_, window, sizes) => {
  /** Whole numbers, many of which are alike: those that are largest in a window are often more than one. */
  const x = Float32Array.from({ length: product(FRONT) * product(sizes) }, (_, at) =>
    Math.max(0, Math.round(2 * Math.sin(at * 1.7))),
  );
  const dY = Float32Array.from({ length: product(FRONT) * product(outputSizes(window, sizes)) }, (_, at) =>
    Math.sin(at * 0.9),
  );
  for (const isOpen of [false, true]) {
    const { made, places } = await gradientAndIndices(window, sizes, x, dY, isOpen);
    const expected = new Float32Array(x.length);
    for (const [at, place] of places.entries())
      expected[Number(place)] = (expected[Number(place)] ?? 0) + (dY[at] ?? 0);
    for (const [at, value] of made.entries()) expect(value).toBeCloseTo(expected[at] ?? Number.NaN, 5);
  }
});
