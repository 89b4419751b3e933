import { appendFileSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { DataType, GraphTensor } from "../../../src/entries/graph.ts";
import { readBatches } from "../../../src/entries/run.ts";
import { encodeSafetensors, type InputSpec } from "../../../src/entries/training.ts";
import { type Dataset, type NamedTensors, readDataset, splitDataset } from "../../../src/index.ts";
import { rejectionOf } from "../../support/errors.ts";
import { temporaryFolder } from "../../support/temporary.ts";

const INPUTS: readonly InputSpec[] = [
  { name: "x", dtype: DataType.float, shape: ["N", 3, 32, 32] },
  { name: "labels", dtype: DataType.int64, shape: ["N"] },
];
const COUNT = 23;
const PIXELS = Uint8Array.from({ length: COUNT * 3072 }, (_, index) => (index * 7919) % 251);
const LABELS = Uint8Array.from({ length: COUNT }, (_, index) => index % 10);
const head = (type: number, ...sizes: readonly number[]): number[] => [
  ...[0, 0, type, sizes.length],
  ...sizes.flatMap((size) => [0, 0, size >> 8, size & 255]),
];

function npyOf(): Uint8Array {
  const text = `{'descr': '|u1', 'fortran_order': False, 'shape': (${COUNT}, 3, 32, 32), }\n`;
  const length = Buffer.alloc(2);
  length.writeUInt16LE(text.length);
  return Buffer.concat([Buffer.from("\u0093NUMPY\u0001\u0000", "latin1"), length, Buffer.from(text), PIXELS]);
}

/** The same samples in every format whose samples are read one by one. */
function written(): Readonly<Record<string, string>> {
  const folder = temporaryFolder();
  const place = (name: string, bytes: Uint8Array): string => {
    writeFileSync(join(folder, name), bytes);
    return join(folder, name);
  };
  const idxLabels = place("labels.idx", Uint8Array.from([...head(8, COUNT), ...LABELS]));
  const floats = Buffer.alloc(4 * PIXELS.length);
  for (const [index, pixel] of PIXELS.entries()) floats.writeFloatBE(pixel / 255, 4 * index);
  const records = Array.from({ length: COUNT }, (_, at) => [
    LABELS.subarray(at, at + 1),
    PIXELS.subarray(at * 3072, (at + 1) * 3072),
  ]).flat();
  return {
    safetensors: place(
      "a.safetensors",
      encodeSafetensors([
        { name: "labels", tensor: GraphTensor.from(DataType.uint8, [COUNT], LABELS) },
        { name: "images", tensor: GraphTensor.from(DataType.uint8, [COUNT, 3, 32, 32], PIXELS) },
      ]),
    ),
    npy: `${place("images.npy", npyOf())},${idxLabels}`,
    IDX: `${place("images.idx", Uint8Array.from([...head(8, COUNT, 3, 32, 32), ...PIXELS]))},${idxLabels}`,
    "IDX of floats": `${place("floats.idx", Buffer.concat([Buffer.from(head(13, COUNT, 3, 32, 32)), floats]))},${idxLabels}`,
    CIFAR: place("b.bin", Buffer.concat(records)),
    "several files": `${place("c.bin", Buffer.concat(records.slice(0, 20)))},${place("d.bin", Buffer.concat(records.slice(20)))}`,
  };
}

const ORDER = { batchSize: 5, shuffle: true, seed: 7, dropLast: false };

async function contentOf(dataset: Dataset, first = 0): Promise<readonly unknown[]> {
  const all: NamedTensors[] = [];
  for await (const feeds of readBatches(dataset, 2, ORDER, first)) all.push(feeds);
  return all.map((feeds) =>
    ["x", "labels"].map((name) => [
      feeds[name]?.type,
      feeds[name]?.dims,
      Buffer.from(Float64Array.from(feeds[name]?.data ?? [], Number).buffer).toString("hex"),
    ]),
  );
}

describe("samples that stay in their files", () => {
  it.each(["safetensors", "npy", "IDX", "IDX of floats", "CIFAR", "several files"])(
    "%s: are bit for bit those of data in memory",
    async (name) => {
      const specification = written()[name] ?? "";
      const options = { normalize: { mean: [0.5], std: [0.25] } };
      const told: string[] = [];
      const memory = await readDataset(INPUTS, specification, { ...options, stream: false });
      const stream = await readDataset(INPUTS, specification, {
        ...options,
        stream: true,
        tell: (note) => told.push(note),
      });
      expect(stream.source?.names).toEqual(["x"]);
      expect(stream.tensors.map((each) => each.name)).toEqual(["labels"]);
      expect(told.join("\n")).toMatch(/samples are read as batches need them/);
      const whole = await contentOf(memory);
      expect(await contentOf(stream)).toEqual(whole);
      expect(await contentOf(stream, 3)).toEqual(whole.slice(3));
      const [apart, same] = [splitDataset(stream, 0.3, 1), splitDataset(memory, 0.3, 1)];
      expect(await contentOf(apart.training)).toEqual(await contentOf(same.training));
      expect(await contentOf(apart.validation)).toEqual(await contentOf(same.validation));
      expect(apart.training.source?.identity).not.toBe(apart.validation.source?.identity);
    },
  );

  it("row 62: of a file that is changed meanwhile are refused by name", async () => {
    const path = written()["safetensors"] ?? "";
    const dataset = await readDataset(INPUTS, path, { stream: true });
    appendFileSync(path, "x");
    const error = await rejectionOf(contentOf(dataset));
    expect([error.code, error.file]).toEqual(["E_FILE_CHANGED", path]);
  });

  it("rows 56, 59, 62: of files that are cut off are refused as those in memory", async () => {
    const files = written();
    for (const [name, size, code] of [
      ["safetensors", 5, "E_SAFETENSORS"],
      ["safetensors", 1000, "E_SAFETENSORS"],
      ["npy", 300, "E_NPY"],
      ["IDX", 300, "E_IDX"],
    ] as const) {
      const [path = ""] = (files[name] ?? "").split(",");
      truncateSync(path, size);
      const [streamed, whole] = await Promise.all(
        [true, false].map((stream) => rejectionOf(readDataset(INPUTS, path, { stream }))),
      );
      expect([streamed?.code, streamed?.file, streamed?.message]).toEqual([code, path, whole?.message]);
    }
  });

  it("are refused of formats that have none one by one, and with moments of all of them", async () => {
    const folder = temporaryFolder();
    writeFileSync(join(folder, "a.csv"), "1,2\n3,4\n");
    expect((await rejectionOf(readDataset(INPUTS, join(folder, "a.csv"), { stream: true }))).message).toMatch(
      /CSV files are not read one by one/,
    );
    const path = written()["CIFAR"] ?? "";
    expect((await rejectionOf(readDataset(INPUTS, path, { stream: true, normalize: "computed" }))).hint).toMatch(
      /Give numbers/,
    );
  });
});
