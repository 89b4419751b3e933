import { describe, expect, it } from "vitest";
import { float, model, Sketch } from "../../../fixtures/sketch.ts";
import { encodeModel } from "../../../src/entries/graph.ts";
import { type Model, Tensor } from "../../../src/index.ts";
import { reachNative } from "../../../src/runtime/ort-native/load.ts";
import { NativeSession } from "../../../src/runtime/ort-native/session.ts";
import { readOptions } from "../../../src/runtime/ort-native/session-options.ts";
import { NativeShards } from "../../../src/runtime/ort-native/shards.ts";
import type { OpenedShards } from "../../../src/runtime/ort-node/shards.ts";

const native = await reachNative();
const TINY = Math.fround(1e-39);

/** `out` = `x` + `x`. */
function doubles(shape: readonly (number | string)[]): Model {
  const sketch = new Sketch("double");
  sketch.input("x", float(shape));
  sketch.node("Add", ["x", "x"], ["out"]);
  sketch.output("out", float(shape));
  return model(sketch.graph, 8, [["", 17]]);
}

/** `all` = what the parts gave, one behind the other. */
function joins(count: number): Uint8Array {
  const sketch = new Sketch("join");
  const names = Array.from({ length: count }, (_, index) => `out/${index}`);
  for (const name of names) sketch.input(name, float([2]));
  sketch.concat(names, 0, "all");
  sketch.output("all", float([2 * count]));
  return encodeModel(model(sketch.graph, 8, [["", 17]]));
}

const floats = (...values: readonly number[]): Tensor =>
  new Tensor("float32", Float32Array.from(values), [values.length]);

/** Runs as many parts as are given, and what joins them, in one call. */
async function joined(parts: readonly Tensor[], options: Readonly<Record<string, unknown>> = {}): Promise<unknown> {
  const shards = await new NativeShards(native, readOptions(options), 4).open(doubles([2]), parts.length);
  const session = await NativeSession.create(native, joins(parts.length), options);
  try {
    return await allOf(session, shards, parts);
  } finally {
    await session.release();
    shards.release();
  }
}

async function allOf(session: NativeSession, shards: OpenedShards, parts: readonly Tensor[]): Promise<unknown> {
  const before = () =>
    shards.prepare(
      parts.map((x) => ({ x })),
      0,
    );
  const { all } = await session.run(shards.results, { all: null }, { before });
  return Array.from(all?.data as Float32Array);
}

describe("runs of one model at the same time", () => {
  it("are as many as are asked for, and come before the run that reads what they made", async () => {
    expect(await joined([floats(1, 2)])).toEqual([2, 4]);
    expect(await joined([floats(1, 2), floats(3, 4)])).toEqual([2, 4, 6, 8]);
    expect(await joined([floats(1, 2), floats(3, 4), floats(5, 6), floats(7, 8)])).toEqual([
      ...[2, 4, 6, 8, 10, 12, 14, 16],
    ]);
  });

  it.each([true, false, true])("all take denormal numbers to be zero: %s", async (flush) => {
    const options = { extra: { session: { set_denormal_as_zero: flush ? "1" : "0" } } };
    const part = floats(TINY, 1);
    const [tiny, one] = [flush ? 0 : 2 * TINY, 2];
    expect(await joined([part, part, part], options)).toEqual([tiny, one, tiny, one, tiny, one]);
  });

  it("are made again after one that failed, whose message is the first part's", async () => {
    const { size } = native.resources;
    const shards = await new NativeShards(native, readOptions({}), 2).open(doubles([2]), 2);
    const session = await NativeSession.create(native, joins(2), {});
    const wrong = new Tensor("int32", Int32Array.of(1, 2), [2]);
    for (let turn = 0; turn < 20; turn++) {
      await expect(allOf(session, shards, [floats(1, 2, 3), wrong])).rejects.toThrow(/dimension/i);
      await expect(allOf(session, shards, [wrong, floats(1, 2, 3)])).rejects.toThrow(/type/i);
      await expect(allOf(session, shards, [floats(1, 2), wrong])).rejects.toThrow(/type/i);
      expect(await allOf(session, shards, [floats(turn, 2), floats(3, 4)])).toEqual([2 * turn, 4, 6, 8]);
    }
    await session.release();
    shards.release();
    expect(native.resources.size).toBe(size);
  });

  it("are refused of models whose results have no known shape, and nothing stays", async () => {
    const { size } = native.resources;
    const shards = new NativeShards(native, readOptions({}), 2);
    await expect(shards.open(doubles(["n"]), 2)).rejects.toThrow('"out" has no known shape');
    expect(native.resources.size).toBe(size);
  });
});
