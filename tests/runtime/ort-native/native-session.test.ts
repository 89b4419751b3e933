import { describe, expect, it } from "vitest";
import { DataType, encodeModel, Graph, Node, Value } from "../../../src/entries/graph.ts";
import { tensorType } from "../../../src/graph/value-type.ts";
import { Model, Tensor } from "../../../src/index.ts";
import { moduleOf, reachNative } from "../../../src/runtime/ort-native/load.ts";
import { tryOutNative } from "../../../src/runtime/ort-native/probe.ts";
import { Runner } from "../../../src/runtime/ort-native/runner.ts";
import { NativeSession } from "../../../src/runtime/ort-native/session.ts";
import { NativeState } from "../../../src/runtime/ort-native/state.ts";
import { rejectionOf } from "../../support/errors.ts";

const native = await reachNative();

/** What ONNX Runtime throws is no error of this package until a session of training has explained it. */
async function failureOf(call: Promise<unknown>): Promise<Error> {
  const outcome = await call.then(
    () => null,
    (error: unknown) => error,
  );
  if (outcome instanceof Error) return outcome;
  throw new Error(`it did not fail, or not with an error: ${String(outcome)}`);
}

/** `out` = `a` + `b`, of any shapes that fit, and `twice` = `a` + `a`. */
function sum(dtype: number = DataType.float): Uint8Array {
  const graph = new Graph("sum");
  const model = new Model(8, graph);
  model.opsets.set("", 17);
  const type = tensorType(dtype, ["n", "m"]);
  const [a, b, out, twice] = ["a", "b", "out", "twice"].map((name) => new Value(name, type));
  if (a === undefined || b === undefined || out === undefined || twice === undefined) throw new Error("no values");
  graph.inputs.push(a, b);
  graph.append(new Node("Add", [a, b], [out], { name: "add" }), new Node("Add", [a, a], [twice], { name: "double" }));
  graph.addOutput(out);
  graph.addOutput(twice);
  return encodeModel(model);
}

const floats = (values: readonly number[], dims: readonly number[] = [1, values.length]): Tensor =>
  new Tensor("float32", Float32Array.from(values), [...dims]);
const valuesOf = (tensor: Tensor | undefined): readonly number[] => Array.from(tensor?.data as Float32Array);

describe("a session through the C API", () => {
  it("gives outputs as new tensors, into given ones, and into native ones", async () => {
    const session = await NativeSession.create(native, sum(), {});
    expect([session.inputNames, session.outputNames]).toEqual([
      ["a", "b"],
      ["out", "twice"],
    ]);
    const feeds = { a: floats([1, 2]), b: floats([10, 20]) };
    const all = await session.run(feeds);
    expect([valuesOf(all["out"]), valuesOf(all["twice"]), all["out"]?.dims]).toEqual([
      [11, 22],
      [2, 4],
      [1, 2],
    ]);
    const [given, own] = [floats([0, 0]), native.tensors.make({ type: "float32", dims: [1, 2] })];
    const results = await session.run(feeds, { twice: given, out: own });
    expect([results["twice"] === given, results["out"] === own]).toEqual([true, true]);
    expect([valuesOf(given), valuesOf(own)]).toEqual([
      [2, 4],
      [11, 22],
    ]);
    const next = await session.run({ a: own, b: own }, { out: null });
    expect([Object.keys(next), valuesOf(next["out"])]).toEqual([["out"], [22, 44]]);
    native.tensors.release(own);
    await session.release();
  });

  it("has taken what was fed when its call returns, and other shapes after it", async () => {
    const session = await NativeSession.create(native, sum(), {});
    const a = floats([1, 2, 3]);
    const running = session.run({ a, b: floats([0, 0, 0]) }, { out: null });
    const later = session.run({ a: floats([5], [1, 1]), b: floats([1, 2, 3, 4], [2, 2]) }, { out: null });
    expect(valuesOf((await running)["out"])).toEqual([1, 2, 3]);
    const { out } = await later;
    expect([out?.dims, valuesOf(out)]).toEqual([
      [2, 2],
      [6, 7, 8, 9],
    ]);
    await session.release();
  });

  it.each([
    ["float64", DataType.double, new Float64Array([1.5, -2]), [3, -4]],
    ["int64", DataType.int64, new BigInt64Array([1n, -(2n ** 40n)]), [2n, -(2n ** 41n)]],
    ["int32", DataType.int32, new Int32Array([1, -2]), [2, -4]],
    ["uint8", DataType.uint8, new Uint8Array([1, 200]), [2, 144]],
    ["float16", DataType.float16, new Uint16Array([0x3c00, 0xc000]), [0x4000, 0xc400]],
  ] as const)("takes and gives %s", async (type, dtype, data, expected) => {
    const session = await NativeSession.create(native, sum(dtype), {});
    const tensor = new Tensor(type as "float32", data as unknown as Float32Array, [1, 2]);
    const { twice } = await session.run({ a: tensor, b: tensor }, { twice: null });
    expect([twice?.type, Array.from(twice?.data as unknown as ArrayLike<number | bigint>)]).toEqual([type, expected]);
    await session.release();
  });

  it("takes tensors without elements", async () => {
    const session = await NativeSession.create(native, sum(), {});
    const { out } = await session.run({ a: floats([], [0, 2]), b: floats([], [0, 2]) });
    expect([out?.dims, out?.size]).toEqual([[0, 2], 0]);
    await session.release();
  });

  it("says what ONNX Runtime said, and goes on after it", async () => {
    const { size } = native.resources;
    expect((await failureOf(NativeSession.create(native, new Uint8Array(64), {}))).message).toMatch(/protobuf/i);
    const session = await NativeSession.create(native, sum(), {});
    const wrong: readonly (readonly [Record<string, Tensor>, Record<string, null>, RegExp])[] = [
      [{ a: floats([1, 2]), b: floats([1, 2, 3]) }, { out: null }, /broadcast|dimension/i],
      [{ a: floats([1]) }, { out: null }, /missing|input/i],
      [{ a: floats([1]), c: floats([1]) }, { out: null }, /"?c"?/],
      [{ a: floats([1]), b: floats([1]) }, { none: null }, /none/],
      [{ a: floats([1]), b: new Tensor("int32", [1], [1, 1]) }, { out: null }, /type/i],
      [{ a: floats([1]), b: floats([1], [1]) }, { out: null }, /rank/i],
    ];
    for (const [feeds, fetches, message] of wrong) {
      const error = await failureOf(session.run(feeds, fetches));
      expect(error.message).toMatch(message);
      const { out } = await session.run({ a: floats([1]), b: floats([2]) }, { out: null });
      expect(valuesOf(out)).toEqual([3]);
    }
    await session.release();
    expect(native.resources.size).toBe(size);
  });

  it("refuses to be used after it was released, and tensors that were", async () => {
    const session = await NativeSession.create(native, sum(), {});
    const own = native.tensors.make({ type: "float32", dims: [1, 1] });
    native.tensors.release(own);
    native.tensors.release(own);
    const feeds = { a: floats([1]), b: floats([1]) };
    expect((await rejectionOf(session.run({ ...feeds, b: own }))).code).toBe("E_RELEASED");
    expect((await rejectionOf(session.run(feeds, { out: own }))).code).toBe("E_RELEASED");
    await session.release();
    await session.release();
    expect((await rejectionOf(session.run(feeds))).code).toBe("E_RELEASED");
  });

  it.each([
    ["a provider", { executionProviders: ["webgpu"] }, /webgpu is not available/],
    ["an option", { enableGraphCapture: true }, /"enableGraphCapture" is not known/],
    ["an option of CUDA", { executionProviders: [{ name: "cuda", tuning: 1 }] }, /"tuning" of CUDA is not known/],
    [
      "an entry of the configuration",
      { extra: { session: { use_env_allocators: "1" } } },
      /"session.use_env_allocators" is not/,
    ],
    ["a number of threads", { intraOpNumThreads: -1 }, /"intraOpNumThreads" is not a whole number/],
    ["an execution mode", { executionMode: "parallel" }, /"parallel" is not known/],
  ])("refuses %s that it does not have", async (_, options, message) => {
    const { size } = native.resources;
    expect((await failureOf(NativeSession.create(native, sum(), options))).message).toMatch(message);
    expect(native.resources.size).toBe(size);
  });

  it("says of CUDA what ONNX Runtime says, options and all", async () => {
    const { size } = native.resources;
    const options = { executionProviders: [{ name: "cuda", deviceId: 0 }, "cpu"] };
    const error = await failureOf(NativeSession.create(native, sum(), options));
    expect(error.message).toMatch(/CUDA|onnxruntime_providers/i);
    expect(native.resources.size).toBe(size);
  });

  it("sets denormal numbers to zero where that is asked for, and only there", async () => {
    const tiny = Math.fround(1e-39);
    for (const flush of [true, false, true]) {
      const extra = { session: { set_denormal_as_zero: flush ? "1" : "0" } };
      const session = await NativeSession.create(native, sum(), { extra, intraOpNumThreads: 1 });
      const { twice } = await session.run({ a: floats([tiny]), b: floats([0]) }, { twice: null });
      expect(valuesOf(twice)).toEqual([flush ? 0 : 2 * tiny]);
      await session.release();
    }
    expect(tiny * 0.5).toBeGreaterThan(0);
  });
});

describe("trying the C API out", () => {
  it("finds a thread that keeps denormal numbers where they are to be zero", async () => {
    const { runner } = native;
    const keeping = {
      close: () => runner.close(),
      hire: (count: number) => runner.hire(count),
      load: (share: Parameters<typeof runner.load>[0]) => runner.load(share),
      drop: (key: number) => runner.drop(key),
      call: (call: Parameters<typeof runner.call>[0]) => runner.call({ ...call, flush: false }),
    };
    await tryOutNative(native);
    const { size } = native.resources;
    const failure = await failureOf(tryOutNative({ ...native, runner: keeping }));
    expect(failure.message).toMatch(/^it added up 3,-6,2\.\d*e-39 where 3,-6,0 is right$/);
    expect(native.resources.size).toBe(size);
  });

  it("finds numbers that are added up to others", async () => {
    const { tensors } = native;
    const doubling = Object.create(tensors, {
      copyInto: {
        value: (target: Tensor, source: Tensor) => {
          tensors.copyInto(target, source);
          if (target.type === "float32") (target.data as Float32Array)[0] = 2;
        },
      },
      make: { value: tensors.make.bind(tensors) },
      take: { value: tensors.take.bind(tensors) },
      ownerOf: { value: tensors.ownerOf.bind(tensors) },
      release: { value: tensors.release.bind(tensors) },
    }) as typeof tensors;
    const failure = await failureOf(tryOutNative({ ...native, tensors: doubling }));
    expect(failure.message).toBe("it added up 4,-6,0 where 3,-6,0 is right");
  });

  it("fails where the thread cannot be started, and says what to do", async () => {
    const runner = new Runner(native.api, "/there/is/no/koffi.cjs");
    const { code, message, hint } = await rejectionOf(tryOutNative({ ...native, runner }));
    expect([code, hint]).toEqual(["E_CRASHED", "Set ONNX_AGR_NATIVE=0 to train without it."]);
    expect(message).toContain("koffi.cjs");
    expect((await rejectionOf(tryOutNative({ ...native, runner }))).code).toBe("E_CRASHED");
  });
});

describe("state in native tensors", () => {
  it.each([
    ["in memory of the CPU", false],
    ["on a device, for which the CPU stands in", true],
  ])("changes places, is read and set, and leaves nothing: %s", async (_, isDevice) => {
    const { size } = native.resources;
    const create = (model: Uint8Array): Promise<NativeSession> => NativeSession.create(native, model, {});
    const state = new NativeState(native.tensors, isDevice ? { name: "Cpu", id: 0, create } : null);
    const session = await create(sum());
    const renewals = [["w", "out"]] as const;
    const given = floats([1, 2]);
    state.set("w", given);
    (given.data as Float32Array)[0] = isDevice ? 1 : 99;
    for (let step = 0; step < 3; step++) {
      await state.prepare();
      await session.run({ a: state.get("w"), b: floats([10, 10]) }, state.targets(renewals));
      if (step < 2) state.commit(renewals);
      else state.discard();
    }
    expect(valuesOf((await state.read(["w"])).get("w"))).toEqual([21, 22]);
    state.set("w", floats([5, 6, 7]));
    await state.prepare();
    await session.run({ a: state.get("w"), b: floats([1, 1, 1]) }, state.targets(renewals));
    state.commit(renewals);
    expect(valuesOf((await state.read(["w"])).get("w"))).toEqual([6, 7, 8]);
    await state.release();
    await session.release();
    expect(native.resources.size).toBe(size);
  });

  it("is what the module makes", () => {
    const { createState } = moduleOf(native);
    expect(createState?.({ name: "cpu" }, {})).toBeInstanceOf(NativeState);
    expect(createState?.({ name: "cuda", deviceId: 1 }, {})).toBeInstanceOf(NativeState);
  });
});
