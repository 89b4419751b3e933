import { describe, expect, it, vi } from "vitest";
import { float, model, Sketch } from "../../../fixtures/sketch.ts";
import { encodeModel } from "../../../src/entries/graph.ts";
import { encodeState } from "../../../src/entries/training.ts";
import { Tensor } from "../../../src/index.ts";
import { CallerThread } from "../../../src/runtime/ort-native/caller-thread.ts";
import { moduleOf, reachNative } from "../../../src/runtime/ort-native/load.ts";
import type { Native } from "../../../src/runtime/ort-native/native.ts";
import { NativeSession } from "../../../src/runtime/ort-native/session.ts";
import { OrtNodeSession } from "../../../src/runtime/ort-node/session.ts";
import { programsOf } from "../../../src/session-programs.ts";
import { agr, feeds as batch, setOf } from "../../support/optimizer-cases.ts";

const native = await reachNative();
const TINY = Math.fround(1e-39);

/** The same, and which thread makes the calls: `h`ere or `e`lsewhere. */
function watched(): Native & { readonly made: string[] } {
  const { callerThread, runner } = native;
  if (callerThread === null) throw new Error("no call is made in the caller's thread");
  const made: string[] = [];
  const call: CallerThread["call"] = (given) => {
    made.push("h");
    return callerThread.call(given);
  };
  return {
    ...native,
    callerThread: {
      call,
      takes: (given) => callerThread.takes(given),
      isDue: () => callerThread.isDue(),
      turn: () => callerThread.turn(),
      load: (key, share) => callerThread.load(key, share),
      drop: (key) => callerThread.drop(key),
    },
    runner: {
      close: () => runner.close(),
      call: (given) => {
        if (given.name === "Run") made.push("e");
        return runner.call(given);
      },
      hire: (count) => runner.hire(count),
      load: (share) => runner.load(share),
      drop: (key) => runner.drop(key),
    },
    made,
  };
}

/** `out` = `x` times itself, `times` times; `rows` = the rows of `x` that `which` names. */
function powers(times: number): Uint8Array {
  const sketch = new Sketch("powers");
  sketch.input("x", float(["n", "n"]));
  for (let each = 0; each < times; each++)
    sketch.node("MatMul", [each === 0 ? "x" : `p${each}`, "x"], [each === times - 1 ? "out" : `p${each + 1}`]);
  sketch.output("out", float(["n", "n"]));
  return encodeModel(model(sketch.graph, 8, [["", 17]]));
}

/** `out` = four numbers in the shape that is fed. */
function reshapes(): Uint8Array {
  const sketch = new Sketch("reshape");
  sketch.input("x", float([4]));
  sketch.input("shape", { kind: "tensor", dtype: 7, shape: [2] });
  sketch.node("Reshape", ["x", "shape"], ["out"]);
  sketch.output("out", float(["rows", "columns"]));
  return encodeModel(model(sketch.graph, 8, [["", 17]]));
}

const shaped = (rows: number, columns: number): Record<string, Tensor> => ({
  x: new Tensor("float32", Float32Array.of(1, 2, 3, rows), [4]),
  shape: new Tensor("int64", BigInt64Array.of(BigInt(rows), BigInt(columns)), [2]),
});

const diagonal = (size: number, value: number): Tensor => {
  const data = new Float32Array(size * size);
  for (let at = 0; at < size; at++) data[at * (size + 1)] = value;
  return new Tensor("float32", data, [size, size]);
};
const first = ({ data }: Tensor): number => Number(data[0]);

describe("calls in the caller's thread", () => {
  it("are those that are known to be short: the shapes were fed before", async () => {
    const watching = watched();
    const session = await NativeSession.create(watching, powers(1), { intraOpNumThreads: 1 });
    const run = async (size: number, value: number): Promise<number> => {
      const { out } = await session.run({ x: diagonal(size, value) }, { out: null });
      return first(out as Tensor);
    };
    const sizes = [2, 2, 2, 3, 3, 3, 2];
    for (const [index, size] of sizes.entries()) expect(await run(size, index)).toBe(index * index);
    /** A busy machine may make a run a long one, but none of a new shape a short one. */
    expect(watching.made.join("")).toMatch(/^e[eh][eh]e[eh][eh]e$/);
    for (let turn = 0; turn < 50; turn++) await run(2, 1);
    expect(watching.made).toContain("h");
    await session.release();
  });

  it("are none of those that take long", async () => {
    const watching = watched();
    const session = await NativeSession.create(watching, powers(40), { intraOpNumThreads: 1 });
    const x = diagonal(256, 1);
    for (let turn = 0; turn < 4; turn++) expect(first((await session.run({ x }))["out"] as Tensor)).toBe(1);
    expect(watching.made.join("")).toBe("eeee");
    await session.release();
  });

  it.each([true, false])(
    "take denormal numbers to be zero where that is asked for, and there alone: %s",
    async (flush) => {
      const watching = watched();
      const extra = { session: { set_denormal_as_zero: flush ? "1" : "0" } };
      const session = await NativeSession.create(watching, powers(1), { extra, intraOpNumThreads: 1 });
      const x = new Tensor("float32", Float32Array.of(TINY, 1, 1, 0), [2, 2]);
      for (let turn = 0; turn < 50; turn++) {
        const { out } = await session.run({ x }, { out: null });
        expect(Array.from(out?.data as Float32Array)).toEqual([1, flush ? 0 : TINY, flush ? 0 : TINY, 1]);
        expect(Float64Array.of(Number.MIN_VALUE)[0]).toBeGreaterThan(0);
        expect(TINY * 0.5).toBeGreaterThan(0);
      }
      expect(watching.made).toContain("h");
      await session.release();
    },
  );

  it("say what went wrong, and go on", async () => {
    const { size } = native.resources;
    const watching = watched();
    const session = await NativeSession.create(watching, reshapes(), {});
    for (let turn = 0; turn < 50; turn++) {
      expect((await session.run(shaped(2, 2), { out: null }))["out"]?.dims).toEqual([2, 2]);
      await expect(session.run(shaped(3, 2), { out: null })).rejects.toThrow(/reshape/i);
    }
    expect(watching.made).toContain("h");
    await session.release();
    expect(native.resources.size).toBe(size);
  });

  it("leave the event loop its turns", async () => {
    const session = await NativeSession.create(native, powers(1), { intraOpNumThreads: 1 });
    const x = diagonal(2, 1);
    let ticks = 0;
    const timer = setInterval(() => ticks++, 2);
    for (const began = performance.now(); performance.now() - began < 200; ) await session.run({ x }, { out: null });
    clearInterval(timer);
    expect(ticks).toBeGreaterThan(5);
    await session.release();
  });

  it("go on where a test has timers of its own", async () => {
    const session = await NativeSession.create(native, powers(1), { intraOpNumThreads: 1 });
    const x = diagonal(2, 1);
    vi.useFakeTimers({ toFake: ["setImmediate", "setTimeout"] });
    try {
      for (const began = performance.now(); performance.now() - began < 50; ) await session.run({ x }, { out: null });
    } finally {
      vi.useRealTimers();
    }
    await session.release();
  });

  it("give the numbers of the runner's thread, bit for bit, updates and all", async () => {
    const set = await setOf({ optimizer: { name: "adamw" }, agr }, 5);
    const programs = programsOf(set, { learningRate: 0.01 }, { block: null, parts: 1 });
    const trained = async (on: Native): Promise<unknown> => {
      const way = { name: "native", providers: ["cpu"], load: async () => moduleOf(on) } as const;
      const session = await OrtNodeSession.create([way], programs, { threads: 2 });
      const losses: unknown[] = [];
      for (let turn = 0; turn < 20; turn++) {
        losses.push(await session.trainSteps([batch(turn)]), await session.trainSteps([batch(turn), batch(turn + 1)]));
        losses.push(Array.from((await session.runTrainStep(batch(turn)))["loss"]?.data as Float32Array));
        await session.runOptimizerStep();
        await session.lazyResetGrad();
      }
      const state = encodeState(await session.getState());
      await session.release();
      return { losses, state };
    };
    const watching = watched();
    const made = await trained(watching);
    expect(watching.made.filter((where) => where === "h").length).toBeGreaterThan(20);
    expect(made).toEqual(await trained({ ...native, callerThread: null }));
  });
});

describe("outputs that are lent", () => {
  const lends = { lends: true } as const;

  it("lie in the same memory as long as what is fed has the same shapes", async () => {
    const { size } = native.resources;
    const session = await NativeSession.create(native, powers(1), { intraOpNumThreads: 1 });
    const run = async (of: number, value: number): Promise<Tensor> =>
      (await session.run({ x: diagonal(of, value) }, { out: null }, lends))["out"] as Tensor;
    const kept = [first(await run(2, 1)), await run(2, 2), await run(2, 3)] as const;
    expect([kept[0], first(kept[1]), first(kept[2]), kept[1] === kept[2]]).toEqual([1, 9, 9, true]);
    for (const [side, value] of [
      [3, 4],
      [3, 5],
      [2, 6],
    ] as const) {
      const made = await run(side, value);
      expect([first(made), ...made.dims]).toEqual([value * value, side, side]);
    }
    const { out } = await session.run({ x: diagonal(2, 7) }, { out: null });
    expect([first(out as Tensor), first(await run(2, 8)), first(out as Tensor)]).toEqual([49, 64, 49]);
    await session.release();
    expect(native.resources.size).toBe(size);
  });

  it("are made anew where their shape depends on what the inputs hold", async () => {
    const { size } = native.resources;
    const session = await NativeSession.create(native, reshapes(), {});
    const sizes = [
      [2, 2],
      [2, 2],
      [1, 4],
      [4, 1],
      [3, 2],
      [2, 2],
    ] as const;
    const made = await Promise.all(
      sizes.map(([rows, columns]) =>
        session.run(shaped(rows, columns), { out: null }, lends).then(
          ({ out }) => [...(out?.dims ?? []), out?.data[3]],
          ({ message }: Error) => /reshape/i.test(message),
        ),
      ),
    );
    expect(made).toEqual([[2, 2, 2], [2, 2, 2], [1, 4, 1], [4, 1, 4], true, [2, 2, 2]]);
    await session.release();
    expect(native.resources.size).toBe(size);
  });
});

describe("the caller's thread", () => {
  it("makes no calls where its denormal numbers stay as they are", () => {
    const { api } = native;
    const none = (): null => null;
    const deaf = { load: () => ({ func: () => none }) } as never;
    expect(CallerThread.reach(api, deaf)).toBeNull();
  });
});
