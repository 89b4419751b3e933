import { existsSync, readFileSync } from "node:fs";
import { Tensor } from "onnxruntime-common";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { DataType } from "../../../src/graph/data-type.ts";
import { Graph, Node, Value } from "../../../src/graph/graph.ts";
import { Model } from "../../../src/graph/model.ts";
import { encodeModel } from "../../../src/graph/serde/encode.ts";
import { tensorType } from "../../../src/graph/value-type.ts";
import { reachNative } from "../../../src/runtime/ort-native/load.ts";
import type { Native } from "../../../src/runtime/ort-native/native.ts";
import { NativeSession } from "../../../src/runtime/ort-native/session.ts";
import { NativeUpdates } from "../../../src/runtime/ort-native/updates.ts";

const SIZE = "/sys/kernel/mm/transparent_hugepage/hpage_pmd_size";
const page = existsSync(SIZE) ? Number(readFileSync(SIZE, "utf8")) : 0;
/** More than anything else in this process asks huge pages for. */
const ROOM = 200 * 2 ** 20;

/** Bytes of the largest mapping of this process that huge pages were asked for, as the kernel has it. */
function largestAsked(): number {
  const mappings = readFileSync("/proc/self/smaps", "utf8").split(/^(?=[0-9a-f]+-[0-9a-f]+ )/m);
  const sizes = mappings
    .filter((mapping) => /^VmFlags:.* hg( |$)/m.test(mapping))
    .map((mapping) => {
      const [start = "0", end = "0"] = mapping.split(/[- ]/, 2);
      return Number(BigInt(`0x${end}`) - BigInt(`0x${start}`));
    });
  return Math.max(0, ...sizes);
}

/** out = (in + in) + in */
function triple(): Uint8Array {
  const graph = new Graph("triple");
  const model = new Model(8, graph);
  model.opsets.set("", 17);
  const [input, twice, output] = ["in", "twice", "out"].map((name) => new Value(name, tensorType(DataType.float, [4])));
  if (input === undefined || twice === undefined || output === undefined) throw new Error("three values");
  graph.inputs.push(input);
  graph.append(new Node("Add", [input, input], [twice]), new Node("Add", [twice, input], [output]));
  graph.addOutput(output);
  return encodeModel(model);
}

describe.skipIf(page === 0)("memory on huge pages", () => {
  let native: Native;
  beforeAll(async () => {
    native = await reachNative();
  });
  let session: NativeSession | null = null;
  afterAll(() => session?.release());

  const feeds = { in: new Tensor("float32", Float32Array.of(1, 2, 3, 4), [4]) };
  const runs = async (made: NativeSession): Promise<readonly number[]> => {
    const { out } = await made.run(feeds);
    return [...((out?.data ?? []) as Float32Array)];
  };

  it("is asked for in one piece as long as the session lives, and makes no other numbers", async () => {
    const before = native.resources.size;
    session = await NativeSession.create(native, triple(), {});
    const made = native.resources.size;
    session.reserve(ROOM);
    expect(native.resources.size).toBe(made);
    expect(largestAsked()).toBeGreaterThan(ROOM - 2 * page);
    expect(await runs(session)).toEqual([3, 6, 9, 12]);
    await session.release();
    expect(native.resources.size).toBe(before);
    expect(largestAsked()).toBeLessThan(ROOM - 2 * page);
  });

  it("is not to be had where there is not so much address space: the session runs as it would", async () => {
    session = await NativeSession.create(native, triple(), {});
    session.reserve(2 ** 52);
    expect(await runs(session)).toEqual([3, 6, 9, 12]);
    expect(largestAsked()).toBeLessThan(ROOM - 2 * page);
  });

  /** Last, since WebAssembly gives its memory back late. */
  it("is asked for what updates work with", async () => {
    const update = new Graph("update");
    const [state, next] = ["s", "next"].map((name) => new Value(name, tensorType(DataType.float, [ROOM / 4])));
    if (state === undefined || next === undefined) throw new Error("two values");
    update.inputs.push(state);
    update.append(new Node("Add", [state, state], [next]));
    update.addOutput(next);
    const updates = new NativeUpdates(native, 1);
    const opened = await updates.open(new Model(8, update), { state: [["s", "next"]], losses: [] });
    expect(opened?.state.get("s")?.byteLength).toBe(ROOM);
    expect(largestAsked()).toBeGreaterThan(ROOM - 2 * page);
    await opened?.release();
    updates.release();
  });
});
