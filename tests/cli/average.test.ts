import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { drawDigits } from "../../src/cli/demo/digits.ts";
import { DataType, GraphTensor } from "../../src/entries/graph.ts";
import {
  decodeCheckpoint,
  decodeSafetensors,
  decodeState,
  encodeSafetensors,
  encodeState,
} from "../../src/entries/training.ts";
import { loadRun } from "../../src/index.ts";
import { DIGITS } from "../support/cli.ts";
import { command } from "../support/command.ts";
import { temporaryFolder } from "../support/temporary.ts";

const VALUES = [
  [0.1, 5, -3, 7],
  [0.7, 5, 1e6, -2],
  [0.4, 5, 2.5, 11],
  [-9, 5, 0.25, 0.125],
  [0.2, 5, 1, 3],
] as const;

/** Files of one tensor in float32 and one in float64, with a count that is the same in all. */
function writeFiles(folder: string, values: readonly (readonly number[])[] = VALUES): readonly string[] {
  return values.map((each, index) => {
    const path = join(folder, `${"abcdefgh"[index] ?? index}.safetensors`);
    const tensors = [
      { name: "w", tensor: GraphTensor.from(DataType.float, [2, 2], Float32Array.from(each)) },
      { name: "d", tensor: GraphTensor.from(DataType.double, [4], Float64Array.from(each)) },
      { name: "count", tensor: GraphTensor.from(DataType.int64, [1], BigInt64Array.of(3n)) },
    ];
    writeFileSync(path, encodeSafetensors(tensors, new Map([["made", "by a test"]])));
    return path;
  });
}

function valuesIn(path: string): Readonly<Record<string, readonly number[]>> {
  const { tensors } = decodeSafetensors(readFileSync(path));
  return Object.fromEntries(tensors.map(({ name, tensor }) => [name, Array.from(tensor.values(), Number)]));
}

/** The same by its definition, element by element, in float64. */
const ORACLE: Readonly<Record<string, (values: readonly number[], weights: readonly number[]) => number>> = {
  mean: (values, weights) =>
    values.reduce((sum, value, index) => sum + value * (weights[index] ?? 0), 0) / weights.reduce((a, b) => a + b),
  "trimmed-mean": (values) => {
    const kept = values.toSorted((a, b) => a - b).slice(1, -1);
    return kept.reduce((a, b) => a + b) / kept.length;
  },
  median: (values) => {
    const sorted = values.toSorted((a, b) => a - b);
    const half = Math.floor(sorted.length / 2);
    return sorted.length % 2 === 1 ? (sorted[half] ?? 0) : ((sorted[half - 1] ?? 0) + (sorted[half] ?? 0)) / 2;
  },
};

describe("average", () => {
  it.each([
    ["mean", 5, [1, 1, 1, 1, 1], []],
    ["mean", 2, [100, 300], ["--weights", "100,300"]],
    ["mean", 3, [0, 2.5, 1], ["--weights", "0,2.5,1"]],
    ["trimmed-mean", 5, [], ["--method", "trimmed-mean", "--trim", "0.2"]],
    ["median", 5, [], ["--method", "median"]],
    ["median", 4, [], ["--method", "median"]],
  ] as const)("%s of %i", async (method, count, weights, flags) => {
    const folder = temporaryFolder();
    const paths = writeFiles(folder).slice(0, count);
    const output = join(folder, "out.safetensors");
    const { status, stdout, stderr } = await command(["average", ...paths, ...flags, "-o", output]);
    expect([status, stderr]).toEqual([0, ""]);
    expect(stdout).toBe(`${output}: 2 tensors averaged over ${count} checkpoints, 1 the same in all\n`);
    const column = (index: number, round: (value: number) => number): number[] =>
      VALUES.slice(0, count).map((each) => round(each[index] ?? 0));
    const expected = (round: (value: number) => number): number[] =>
      [0, 1, 2, 3].map((index) => ORACLE[method]?.(column(index, round), weights) ?? Number.NaN);
    const got = valuesIn(output);
    /** One rounding to float32; in float64 the order of the sum. */
    for (const [index, value] of expected(Math.fround).entries())
      expect(Math.abs((got["w"]?.[index] ?? Number.NaN) - value)).toBeLessThanOrEqual(2 ** -24 * Math.abs(value));
    for (const [index, value] of expected((each) => each).entries())
      expect(Math.abs((got["d"]?.[index] ?? Number.NaN) - value)).toBeLessThanOrEqual(2 ** -50 * Math.abs(value));
    expect([got["w"]?.[1], got["d"]?.[1], got["count"]]).toEqual([5, 5, [3]]);
    expect(decodeSafetensors(readFileSync(output)).metadata).toEqual(new Map([["made", "by a test"]]));
  });

  it("of training states and runs: moments too, the most steps, and training goes on from it", async () => {
    const folder = temporaryFolder();
    const data = join(folder, "data.safetensors");
    for (const [index, name] of ["a", "b"].entries()) {
      writeFileSync(data, encodeSafetensors(drawDigits(64, index + 1)));
      const args = [
        "train",
        DIGITS,
        "--data",
        data,
        "--epochs",
        String(index + 1),
        "--checkpoints",
        join(folder, name),
      ];
      expect((await command(args)).status).toBe(0);
    }
    const [a, b] = [await loadRun(join(folder, "a")), await loadRun(join(folder, "b"))];
    const output = join(folder, "c.safetensors");
    const { status, stderr } = await command(["average", join(folder, "a"), join(folder, "b"), "-o", output]);
    expect([status, stderr]).toEqual([0, "they were trained for 2, 4 steps; the average says 4\n"]);
    const averaged = decodeState(readFileSync(output));
    expect(averaged.step).toBe(4);
    expect([...averaged.tensors.keys()]).toEqual([...a.state.tensors.keys()]);
    expect([...averaged.tensors.keys()].some((name) => name.endsWith("/momentum1"))).toBe(true);
    for (const [name, tensor] of averaged.tensors) {
      const [x, y] = [a, b].map(({ state }) => Array.from(state.tensors.get(name)?.values() ?? [], Number));
      expect(Array.from(tensor.values(), Number)).toEqual(
        x?.map((value, at) => Math.fround((value + (y?.[at] ?? 0)) / 2)),
      );
    }
    const onward = ["train", DIGITS, "--data", data, "--init-from", output, "--checkpoints", join(folder, "onward")];
    expect((await command(onward)).status).toBe(0);
    const plain = join(folder, "weights.safetensors");
    const weights = [...averaged.tensors]
      .filter(([name]) => !name.includes("/"))
      .map(([name, tensor]) => ({ name, tensor }));
    writeFileSync(plain, encodeSafetensors(weights));
    const alike = ["train", DIGITS, "--data", data, "--init-from", plain, "--checkpoints", join(folder, "alike")];
    expect((await command(alike)).status).toBe(0);
    expect((await loadRun(join(folder, "alike"))).state).toEqual((await loadRun(join(folder, "onward"))).state);
  });

  it("of ONNX Runtime's checkpoints, with their moments", async () => {
    const folder = temporaryFolder();
    const [data, output] = [join(folder, "data.safetensors"), join(folder, "c")];
    for (const [index, name] of ["a", "b"].entries()) {
      writeFileSync(data, encodeSafetensors(drawDigits(64, index + 1)));
      expect((await command(["train", DIGITS, "--data", data, "-o", join(folder, name)])).status).toBe(0);
    }
    const flags = ["--weights", "1,3", "-o", output];
    expect((await command(["average", join(folder, "a"), join(folder, "b"), ...flags])).status).toBe(0);
    const [a, b, c] = ["a", "b", "c"].map((name) => decodeCheckpoint(readFileSync(join(folder, name))));
    if (a === undefined || b === undefined || c === undefined) throw new Error("a file is missing");
    const every = ({ trainable, optimizerGroups }: typeof a) => [
      ...trainable,
      ...optimizerGroups.flatMap(({ states }) => states.flatMap(({ moments }) => moments)),
    ];
    expect(every(c).length).toBe(3 * c.trainable.length);
    for (const [index, { name, tensor }] of every(c).entries()) {
      const [x, y] = [a, b].map((each) => Array.from(every(each)[index]?.tensor.values() ?? [], Number));
      const expected = x?.map((value, at) => Math.fround(value * 0.25 + (y?.[at] ?? 0) * 0.75));
      expect(Array.from(tensor.values(), Number), name).toEqual(expected);
    }
    expect(c.optimizerGroups[0]?.step).toBe(2n);
  });

  it.each([
    ["other names", { x: [1, 2, 3, 4] }, 8, /b\.safetensors has "x", which .*a\.safetensors has not/],
    ["other shapes", { w: [1, 2] }, 8, /has "w" in the shape \[2\], .*a\.safetensors in \[4\]/],
    ["numbers that are none", { w: [1, Number.NaN, 3, 4] }, 7, /b\.safetensors has NaN in "w"/],
  ] as const)("refuses %s, and writes nothing", async (_, tensors, code, message) => {
    const folder = temporaryFolder();
    const write = (name: string, all: Readonly<Record<string, readonly number[]>>): string => {
      const path = join(folder, name);
      const list = Object.entries(all).map(([key, values]) => ({
        name: key,
        tensor: GraphTensor.from(DataType.float, [values.length], Float32Array.from(values)),
      }));
      writeFileSync(path, encodeSafetensors(list));
      return path;
    };
    const paths = [write("a.safetensors", { w: [1, 2, 3, 4] }), write("b.safetensors", tensors)];
    const output = join(folder, "c.safetensors");
    const { status, stderr } = await command(["average", ...paths, "-o", output]);
    expect([status, stderr]).toEqual([code, expect.stringMatching(message)]);
    expect(() => readFileSync(output)).toThrow("ENOENT");
  });

  it("takes weights whose sum no number holds by their shares", async () => {
    const folder = temporaryFolder();
    const [first = "", second = ""] = writeFiles(folder);
    const outputs = [join(folder, "large.safetensors"), join(folder, "small.safetensors")];
    for (const [index, weights] of ["1e308,3e307,1e308", "100,30,100"].entries()) {
      const args = ["average", first, second, first, "--weights", weights, "-o", outputs[index] ?? ""];
      expect((await command(args)).status).toBe(0);
    }
    const [large, small] = outputs.map((path) => valuesIn(path)["w"] ?? []);
    expect(large).toEqual(small);
    expect(large?.[0]).toBeCloseTo((200 * 0.1 + 30 * 0.7) / 230, 6);
  });

  it("leaves out as many as the share says, whatever its rounding", async () => {
    const folder = temporaryFolder();
    /** 0.07 times 100 is 7.000000000000001, 0.29 times 100 is 28.999999999999996. */
    const paths = writeFiles(
      folder,
      Array.from({ length: 100 }, (_, index) => [index < 29 ? -1e6 : index > 70 ? 1e9 : 1, 0, 0, index]),
    );
    const output = join(folder, "out.safetensors");
    const flags = ["--method", "trimmed-mean", "--trim", "0.29", "-o", output];
    expect((await command(["average", ...paths, ...flags])).status).toBe(0);
    expect(valuesIn(output)["w"]).toEqual([1, 0, 0, 49.5]);
  });

  it("refuses NaN that all have, and keeps infinities that all have", async () => {
    const folder = temporaryFolder();
    const write = (name: string, first: number, mask: number): string => {
      const path = join(folder, name);
      const tensors = [
        { name: "w", tensor: GraphTensor.from(DataType.float, [1], Float32Array.of(first)) },
        { name: "mask", tensor: GraphTensor.from(DataType.float, [2], Float32Array.of(0, mask)) },
      ];
      writeFileSync(path, encodeSafetensors(tensors));
      return path;
    };
    const output = join(folder, "out.safetensors");
    const infinite = [write("a", 1, Number.NEGATIVE_INFINITY), write("b", 2, Number.NEGATIVE_INFINITY)];
    expect((await command(["average", ...infinite, "-o", output])).status).toBe(0);
    expect(valuesIn(output)).toEqual({ w: [1.5], mask: [0, Number.NEGATIVE_INFINITY] });
    const none = [write("c", 1, Number.NaN), write("d", 2, Number.NaN)];
    const { status, stderr } = await command(["average", ...none, "-o", join(folder, "none")]);
    expect([status, stderr]).toEqual([7, expect.stringMatching(/\[E_NOT_FINITE\].*c has NaN in "mask"/)]);
  });

  it("refuses files of two kinds, integers that differ, and options that do not fit", async () => {
    const folder = temporaryFolder();
    const [first = "", second = ""] = writeFiles(folder);
    const output = join(folder, "out");
    const state = join(folder, "state.safetensors");
    const none = { step: 0, tensors: new Map(), nominal: false, initialLearningRate: 0.001, properties: new Map() };
    writeFileSync(state, encodeState(none));
    const counted = join(folder, "counted.safetensors");
    const { tensors } = decodeSafetensors(readFileSync(first));
    const other = GraphTensor.from(DataType.int64, [1], BigInt64Array.of(4n));
    writeFileSync(
      counted,
      encodeSafetensors(tensors.map((each) => (each.name === "count" ? { ...each, tensor: other } : each))),
    );
    const cases = [
      [[first, state], 8, /state\.safetensors is a training state, .*a\.safetensors is tensors alone/],
      [[first, counted], 8, /counted\.safetensors has another "count", which is int64/],
      [[first, second, "--weights", "1,2,3"], 2, /weights must be as many as there are checkpoints, 2/],
      [[first, second, "--weights", "0,0"], 2, /weights must be numbers from 0 on, not all 0/],
      [[first, second, "--weights", "1,-1"], 2, /numbers from 0 on with commas between/],
      [
        [first, second, "--weights", "1,2", "--method", "median"],
        2,
        /weights must be left out: they are for the method mean/,
      ],
      [[first, second, "--trim", "0.2"], 2, /trim must be left out: it is for the method trimmed-mean/],
      [[first, second, "--method", "trimmed-mean", "--trim", "0.5"], 2, /trim must be a number from 0 to below 0\.5/],
      [[first, second, "--method", "trimmed-mean"], 2, /trim 0\.1 of 2 checkpoints leaves none out.*Give three/s],
      [[first, second, first, "--method", "trimmed-mean"], 2, /leaves none out: that is the mean.*Give 0\.334/s],
    ] as const;
    for (const [args, code, message] of cases) {
      const { status, stderr } = await command(["average", ...args, "-o", output]);
      expect([status, stderr]).toEqual([code, expect.stringMatching(message)]);
    }
    expect((await command(["average", first, second, "-o", second])).status).toBe(2);
  });
});
