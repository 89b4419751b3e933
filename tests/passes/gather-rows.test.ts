import { Tensor } from "onnxruntime-node";
import { describe, expect, it } from "vitest";
import { float, model, Sketch, tensor } from "../../fixtures/sketch.ts";
import {
  attribute,
  DataType,
  decodeModel,
  encodeModel,
  Graph,
  GraphTensor,
  Node,
  printModel,
  Value,
} from "../../src/entries/graph.ts";
import { tensorType } from "../../src/graph/value-type.ts";
import type { Model } from "../../src/index.ts";
import { gatherRows } from "../../src/passes/gather-rows.ts";
import { openSession } from "../support/ort.ts";
import { valuesOf } from "../support/tensor-values.ts";

const always = (): boolean => true;

type Sizes = readonly (number | string)[];

function transposes(dims: Sizes, perms: readonly (readonly number[] | null)[], dtype: number = DataType.float): Model {
  const sketch = new Sketch("net");
  sketch.input("x", tensor(dtype, dims));
  for (const [index, perm] of perms.entries()) {
    sketch.node("Transpose", ["x"], [`y${index}`], perm === null ? [] : [attribute.ints("perm", perm)]);
    const shape = (perm ?? dims.map((_, axis) => dims.length - 1 - axis)).map((axis) => dims[axis] ?? 1);
    sketch.output(`y${index}`, tensor(dtype, shape));
  }
  return model(sketch.graph, 8, [["", 17]]);
}

async function results(net: Model, dims: readonly number[]): Promise<readonly (readonly number[])[]> {
  const session = await openSession(encodeModel(net));
  try {
    const count = dims.reduce((a, b) => a * b, 1);
    const x = new Tensor(
      "float32",
      Float32Array.from({ length: count }, (_, index) => index),
      dims,
    );
    const given = await session.run({ x });
    return net.graph.outputs.map(({ name }) => {
      const result = given[name];
      if (result === undefined) throw new Error(`no ${name}`);
      return [...result.dims, ...valuesOf(result)];
    });
  } finally {
    await session.release();
  }
}

/** All orders of some axes. */
const orders = (axes: readonly number[]): readonly (readonly number[])[] =>
  axes.length === 0
    ? [[]]
    : axes.flatMap((axis) => orders(axes.filter((other) => other !== axis)).map((rest) => [axis, ...rest]));

describe("every order of axes whose last stays gives ONNX Runtime's own numbers", () => {
  const cases = [
    { dims: [2, 3, 4, 5, 6], still: 1, moving: 23 },
    { dims: [3, 1, 4, 2, 5], still: 1, moving: 20 },
    { dims: [2, 3, 4, 5, 2], still: 2, moving: 5 },
    { dims: [4, 3, 2, 1], still: 1, moving: 1 },
  ];
  for (const { dims, still, moving } of cases) {
    it(`${dims.join(" x ")}, ${still} of them last`, async () => {
      const last = dims.length - still;
      const perms = orders(dims.slice(0, last).map((_, axis) => axis)).map((perm) => [
        ...perm,
        ...dims.slice(last).map((_, index) => last + index),
      ]);
      const [plain, gathered] = [transposes(dims, perms), transposes(dims, perms)];
      expect(gatherRows(gathered, always)).toBe(moving);
      expect(gathered.graph.nodes.filter(({ opType }) => opType === "Gather")).toHaveLength(moving);
      expect(await results(gathered, dims)).toEqual(await results(plain, dims));
    });
  }
});

it("is two views and a Gather, whose rows are written once", () => {
  const net = transposes(
    [2, 2, 3, 4],
    [
      [2, 0, 1, 3],
      [2, 0, 1, 3],
    ],
  );
  expect(gatherRows(net, always)).toBe(2);
  expect(printModel(net)).toMatchInlineSnapshot(`
    "<ir_version: 8, opset_import: ["" : 17]>
    net (float[2,2,3,4] x) => (float[3,2,2,4] y0, float[3,2,2,4] y1)
    {
      [y0/Transpose/Constant] y0/Transpose/Constant:out = Constant <value = int64[2] {-1, 4}> ()
      [y0/Transpose/Reshape] y0/Transpose/Reshape:out = Reshape (x, y0/Transpose/Constant:out)
      [y0/Transpose/Constant_1] y0/Transpose/Constant_1:out = Constant <value = int64[12] {...}> ()
      [y0/Transpose/Gather] y0/Transpose/Gather:out = Gather <axis = 0> (y0/Transpose/Reshape:out, y0/Transpose/Constant_1:out)
      [y0/Transpose/Constant_2] y0/Transpose/Constant_2:out = Constant <value = int64[4] {3, 2, 2, 4}> ()
      [y0/Transpose/Reshape_1] y0 = Reshape (y0/Transpose/Gather:out, y0/Transpose/Constant_2:out)
      [y1/Transpose/Constant] y1/Transpose/Constant:out = Constant <value = int64[2] {-1, 4}> ()
      [y1/Transpose/Reshape] y1/Transpose/Reshape:out = Reshape (x, y1/Transpose/Constant:out)
      [y1/Transpose/Gather] y1/Transpose/Gather:out = Gather <axis = 0> (y1/Transpose/Reshape:out, y0/Transpose/Constant_1:out)
      [y1/Transpose/Constant_1] y1/Transpose/Constant_1:out = Constant <value = int64[4] {3, 2, 2, 4}> ()
      [y1/Transpose/Reshape_1] y1 = Reshape (y1/Transpose/Gather:out, y1/Transpose/Constant_1:out)
    }
    "
  `);
});

describe("what is taken apart along the first axis is gathered in pieces", () => {
  function parted(axis: number, isRead: boolean): Model {
    const sketch = new Sketch("net");
    sketch.input("x", float([2, 4, 3, 5]));
    sketch.node("Transpose", ["x"], ["y"], [attribute.ints("perm", [2, 0, 1, 3])]);
    const size = axis === 0 ? 3 : 4;
    sketch.initializer("sizes", GraphTensor.from(DataType.int64, [2], BigInt64Array.of(1n, BigInt(size - 1))));
    sketch.node("Split", ["y", "sizes"], ["first", "second"], [attribute.int("axis", axis)]);
    for (const [name, piece] of [
      ["first", 1],
      ["second", size - 1],
    ] as const) {
      sketch.output(name, float([3, 2, 4, 5].map((dim, index) => (index === axis ? piece : dim))));
    }
    if (isRead) sketch.output("y", float([3, 2, 4, 5]));
    return model(sketch.graph, 8, [["", 17]]);
  }

  it.each([
    ["apart along its first axis", 0, false, 2, 0],
    ["read as a whole, too", 0, true, 1, 1],
    ["apart along another axis", 2, false, 1, 1],
  ] as const)("%s", async (_, axis, isRead, gathers, splits) => {
    const [plain, made] = [parted(axis, isRead), parted(axis, isRead)];
    expect(gatherRows(made, always)).toBe(1);
    const count = (op: string): number => made.graph.nodes.filter(({ opType }) => opType === op).length;
    expect([count("Gather"), count("Split"), count("Transpose")]).toEqual([gathers, splits, 0]);
    expect(await results(made, [2, 4, 3, 5])).toEqual(await results(plain, [2, 4, 3, 5]));
    expect(gatherRows(made, always)).toBe(0);
  });
});

it("stays in order where pieces are gathered later than what is moved alike", () => {
  const sketch = new Sketch("net");
  for (const name of ["a", "b"]) {
    sketch.input(name, float([4, 3, 2, 5]));
    sketch.node("Transpose", [name], [`${name}.moved`], [attribute.ints("perm", [2, 1, 0, 3])]);
  }
  for (const name of ["b", "a"]) {
    const pieces = [`${name}.first`, `${name}.second`];
    sketch.node("Split", [`${name}.moved`], pieces, [attribute.int("axis", 0)]);
    for (const piece of pieces) sketch.output(piece, float([1, 3, 4, 5]));
  }
  const net = model(sketch.graph, 8, [["", 17]]);
  expect(gatherRows(net, always)).toBe(2);
  expect(decodeModel(encodeModel(net)).graph.nodeCount).toBe(net.graph.nodeCount);
});

it("is moved as a whole where a branch takes it apart", () => {
  const sketch = new Sketch("net");
  sketch.input("x", float([4, 3, 2, 5]));
  sketch.input("flag", tensor(DataType.bool, []));
  sketch.node("Transpose", ["x"], ["moved"], [attribute.ints("perm", [2, 1, 0, 3])]);
  const net = model(sketch.graph, 8, [["", 17]]);
  const moved = net.graph.nodes[0]?.outputs[0];
  const flag = net.graph.inputs[1];
  if (!moved || !flag) throw new Error("no values");
  const branch = (name: string, index: number): Graph => {
    const graph = new Graph(name);
    const pieces = [new Value(`${name}.first`), new Value(`${name}.second`)];
    graph.append(new Node("Split", [moved], pieces, { attributes: [attribute.int("axis", 0)] }));
    for (const piece of pieces.slice(index, index + 1)) graph.addOutput(piece);
    return graph;
  };
  const attributes = [
    attribute.graph("then_branch", branch("then", 0)),
    attribute.graph("else_branch", branch("else", 1)),
  ];
  const y = new Value("y", tensorType(DataType.float, [1, 3, 4, 5]));
  net.graph.append(new Node("If", [flag], [y], { attributes }));
  net.graph.addOutput(y);
  expect(gatherRows(net, always)).toBe(1);
  expect(decodeModel(encodeModel(net)).graph.nodes.filter(({ opType }) => opType === "Gather")).toHaveLength(1);
});

it("leaves what changes the order within rows, what moves nothing, and sizes that are not known", () => {
  const left: readonly (readonly [Sizes, readonly number[] | null])[] = [
    [
      [0, 2, 3, 4],
      [2, 0, 1, 3],
    ],
    [
      [2, 3, 4],
      [0, 2, 1],
    ],
    [[2, 3, 4], null],
    [
      [2, 3, 4],
      [0, 1, 2],
    ],
    [
      [2, 1, 4],
      [1, 0, 2],
    ],
    [
      ["batch", 3, 4],
      [1, 0, 2],
    ],
  ];
  for (const [dims, perm] of left) expect(gatherRows(transposes(dims, [perm]), always)).toBe(0);
});

it("is chosen for many rows of which more than one axis moves, or that are short", () => {
  const count = (dims: Sizes, perm: readonly number[]): number => gatherRows(transposes(dims, [perm]));
  expect(count([8, 128, 3, 4, 64], [2, 0, 3, 1, 4])).toBe(1);
  expect(count([3, 8, 4, 128, 64], [1, 3, 0, 2, 4])).toBe(1);
  expect(count([32, 16, 32, 64], [2, 1, 0, 3])).toBe(1);
  expect(count([4, 32, 3, 4, 32], [2, 0, 3, 1, 4])).toBe(0);
  expect(count([8, 512, 8, 64], [0, 2, 1, 3])).toBe(1);
  expect(count([8, 512, 8, 128], [0, 2, 1, 3])).toBe(0);
  expect(count([64, 512, 64], [1, 0, 2])).toBe(1);
  expect(count([64, 512, 65], [1, 0, 2])).toBe(0);
  expect(count([64, 32, 32, 32], [1, 2, 0, 3])).toBe(1);
  expect(count([32, 64, 3, 4, 2], [2, 0, 3, 1, 4])).toBe(0);
  expect(count([256, 256, 3, 4, 64], [2, 0, 3, 1, 4])).toBe(0);
});
