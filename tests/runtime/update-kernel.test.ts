import { describe, expect, it } from "vitest";
import { float, model, Sketch } from "../../fixtures/sketch.ts";
import { DataType, encodeModel, GraphTensor } from "../../src/entries/graph.ts";
import { loadOrtNode } from "../../src/entries/run.ts";
import { type Model, Tensor } from "../../src/index.ts";
import { compileUpdate } from "../../src/runtime/update-kernel/compile.ts";
import { KernelMemory } from "../../src/runtime/update-kernel/memory.ts";
import { KERNEL_OPERATORS } from "../../src/runtime/update-kernel/operators.ts";
import { shapeOf, sizeOf } from "../../src/runtime/update-kernel/parts.ts";
import { divide } from "../../src/runtime/update-kernel/tasks.ts";

const ort = await loadOrtNode();

const SPECIAL = [0, -0, 1, -1, Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, 1e-40, -1e-42, 3.4e38];

/** Numbers of all sizes, the special ones among them. */
const numbers = (size: number, seed: number): Float32Array =>
  Float32Array.from({ length: size }, (_, at) =>
    at % 5 === seed % 5
      ? (SPECIAL[(at * 7 + seed) % SPECIAL.length] ?? 0)
      : Math.sin(at * 12.9898 + seed * 3) * 10 ** (((at * 31 + seed) % 60) - 30),
  );

/** The bits of numbers; every NaN has the same. */
const bitsOf = (values: Float32Array): readonly number[] => [
  ...new Uint32Array(values.map((value) => (Number.isNaN(value) ? Number.NaN : value)).buffer),
];

/** What kernels make of an update, by the names of its outputs; an output of a state lies where the state does. */
function computed(
  update: Model,
  inputs: Readonly<Record<string, Float32Array>>,
  {
    threads = 1,
    inPlace = {},
  }: { readonly threads?: number; readonly inPlace?: Readonly<Record<string, string>> } = {},
): Readonly<Record<string, Float32Array>> {
  const memory = KernelMemory.reserve();
  const { graph } = update;
  const apart = graph.outputs.filter(({ name }) => inPlace[name] === undefined);
  const values = [...graph.inputs, ...apart];
  const places = memory?.allocate(values.map(sizeOf)) ?? null;
  if (memory === null || places === null) throw new Error("there is no memory");
  const placed = new Map(values.map(({ name }, index) => [name, places[index] ?? new Float32Array()]));
  const at = (name: string): Float32Array => placed.get(inPlace[name] ?? name) ?? new Float32Array();
  for (const { name } of graph.inputs) at(name).set(inputs[name] ?? []);
  const { module, calls } = compileUpdate(
    update,
    new Map(Object.entries(inPlace).map(([output, input]) => [input, output])),
  );
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(module), { env: { memory: memory.memory } });
  for (const task of divide(calls, threads, (name) => at(name).byteOffset))
    for (const [kernel, ...given] of task) (exports[kernel] as (...all: readonly number[]) => void)(...given);
  return Object.fromEntries(graph.outputs.map(({ name }) => [name, at(name).slice()]));
}

/** What ONNX Runtime makes of it. */
async function expected(
  update: Model,
  inputs: Readonly<Record<string, Float32Array>>,
): Promise<Readonly<Record<string, Float32Array>>> {
  const session = await ort.InferenceSession.create(encodeModel(update), { graphOptimizationLevel: "disabled" });
  const feeds = update.graph.inputs.map((value) => [
    value.name,
    new Tensor("float32", inputs[value.name] ?? new Float32Array(), [...shapeOf(value)]),
  ]);
  const results = await session.run(Object.fromEntries(feeds));
  await session.release();
  return Object.fromEntries(Object.entries(results).map(([name, { data }]) => [name, data as Float32Array]));
}

const UNARY = ["Identity", "Abs", "Neg", "Sqrt"];
const BINARY = ["Add", "Sub", "Mul", "Div"];

/** Whole numbers whose tensors end at and beside the ends of vectors and of lines of a cache. */
const SIZES = [2, 3, 4, 5, 15, 16, 17, 1000];

describe("kernels give ONNX Runtime's bits", () => {
  it("for every operator that they have", () => {
    expect([...UNARY, ...BINARY, "Reshape"].toSorted()).toEqual(Object.keys(KERNEL_OPERATORS).toSorted());
  });

  it.each(SIZES.flatMap((size) => UNARY.map((op) => [op, size] as const)))("%s of %i numbers", async (op, size) => {
    const sketch = new Sketch(op);
    sketch.input("x", float([size]));
    sketch.node(op, ["x"], ["y"]);
    sketch.output("y", float([size]));
    const update = model(sketch.graph, 8, [["", 17]]);
    const inputs = { x: numbers(size, 1) };
    const { y = new Float32Array() } = await expected(update, inputs);
    expect(bitsOf(computed(update, inputs)["y"] ?? y.slice(1))).toEqual(bitsOf(y));
  });

  it.each(SIZES.flatMap((size) => BINARY.map((op) => [op, size] as const)))(
    "%s of %i numbers, with one number before and behind, given and constant",
    async (op, size) => {
      const sketch = new Sketch(op);
      sketch.input("a", float([size]));
      sketch.input("b", float([size]));
      sketch.input("one", float([1]));
      sketch.input("scalar", float([]));
      sketch.initializer("constant", GraphTensor.from(DataType.float, [], Float32Array.of(0.3)));
      const pairs = [
        ["a", "b"],
        ["a", "one"],
        ["scalar", "b"],
        ["b", "constant"],
        ["constant", "a"],
      ];
      for (const [index, pair] of pairs.entries()) {
        sketch.node(op, pair, [`y${index}`]);
        sketch.output(`y${index}`, float([size]));
      }
      const update = model(sketch.graph, 8, [["", 17]]);
      const inputs = {
        a: numbers(size, 2),
        b: numbers(size, 3),
        one: Float32Array.of(-7.1),
        scalar: Float32Array.of(1.3e-5),
      };
      const right = await expected(update, inputs);
      const given = computed(update, inputs);
      for (const name of Object.keys(right)) {
        expect(bitsOf(given[name] ?? new Float32Array())).toEqual(bitsOf(right[name] ?? new Float32Array()));
      }
    },
  );

  it.each([1, 2, 3, 7])("in place, over tensors of several sizes, divided among %i threads", async (threads) => {
    const sketch = new Sketch("update");
    const sizes = [700, 33, 16, 5, 2];
    sketch.input("rate", float([1]));
    const inPlace: Record<string, string> = {};
    const inputs: Record<string, Float32Array> = { rate: Float32Array.of(0.01) };
    for (const size of sizes) {
      const of = (name: string): string => `${name}${size}`;
      for (const [seed, name] of ["w", "m", "g"].entries()) {
        sketch.input(of(name), float([size]));
        inputs[of(name)] = numbers(size, seed + size);
      }
      sketch.initializer(of("shape"), GraphTensor.from(DataType.int64, [2], BigInt64Array.of(1n, BigInt(size))));
      sketch.node("Add", [of("m"), of("g")], [of("m_next")]);
      sketch.node("Mul", [of("m_next"), "rate"], [of("change")]);
      sketch.node("Sub", [of("w"), of("change")], [of("flat")]);
      sketch.node("Reshape", [of("flat"), of("shape")], [of("w_next")]);
      sketch.output(of("m_next"), float([size]));
      sketch.output(of("w_next"), float([1, size]));
      inPlace[of("m_next")] = of("m");
      inPlace[of("w_next")] = of("w");
    }
    const update = model(sketch.graph, 8, [["", 17]]);
    const right = await expected(update, inputs);
    const given = computed(update, inputs, { threads, inPlace });
    for (const name of Object.keys(inPlace)) {
      expect(bitsOf(given[name] ?? new Float32Array())).toEqual(bitsOf(right[name] ?? new Float32Array()));
    }
    expect(new Set(compileUpdate(update, new Map()).calls.map(({ kernel }) => kernel)).size).toBe(1);
  });
});

describe("state that is written in its place", () => {
  it.each([1, 3])(
    "is read before by all that read it, on %i threads: tensors that change places, and a delay",
    async (threads) => {
      const sketch = new Sketch("update");
      const size = 333;
      for (const name of ["a", "b", "h", "first", "second"]) sketch.input(name, float([size]));
      sketch.initializer("c", GraphTensor.from(DataType.float, [], Float32Array.of(0.5)));
      const inPlace = { a_next: "a", b_next: "b", first_next: "first", second_next: "second" };
      sketch.node("Mul", ["b", "c"], ["a_next"]);
      sketch.node("Mul", ["a", "c"], ["b_next"]);
      sketch.node("Identity", ["h"], ["first_next"]);
      sketch.node("Identity", ["first"], ["second_next"]);
      for (const name of Object.keys(inPlace)) sketch.output(name, float([size]));
      const update = model(sketch.graph, 8, [["", 17]]);
      const inputs = Object.fromEntries(
        ["a", "b", "h", "first", "second"].map((name, at) => [name, numbers(size, at)]),
      );
      const right = await expected(update, inputs);
      const given = computed(update, inputs, { threads, inPlace });
      for (const name of Object.keys(inPlace)) {
        expect(bitsOf(given[name] ?? new Float32Array())).toEqual(bitsOf(right[name] ?? new Float32Array()));
      }
    },
  );
});

describe("the memory of kernels", () => {
  it("is given for all tensors or for none, and ends at 4 GB", () => {
    const memory = KernelMemory.reserve();
    if (memory === null) throw new Error("there is no memory");
    const before = memory.memory.buffer.byteLength;
    expect(memory.allocate([10, 2 ** 30])).toBeNull();
    expect(memory.memory.buffer.byteLength).toBe(before);
    const [first, second] = memory.allocate([3, 100_000]) ?? [];
    expect([first?.length, second?.length]).toEqual([3, 100_000]);
    expect([(first?.byteOffset ?? 1) % 64, (second?.byteOffset ?? 1) % 64]).toEqual([0, 0]);
    expect(second?.byteOffset).toBeGreaterThanOrEqual((first?.byteOffset ?? 0) + 16);
  });
});
