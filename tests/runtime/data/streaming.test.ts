import { appendFileSync, readdirSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parquetWriteBuffer } from "hyparquet-writer";
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
      const identities = await Promise.all([apart.training, apart.validation].map(({ source }) => source?.identity()));
      expect(identities[0]).not.toBe(identities[1]);
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

  it.each(["safetensors", "IDX", "CIFAR", "several files"])(
    "%s: have the mean and deviation of all, bit for bit those of data in memory",
    async (name) => {
      const specification = written()[name] ?? "";
      const told: string[] = [];
      const memory = await readDataset(INPUTS, specification, { normalize: "computed", stream: false });
      const options = { normalize: "computed", stream: true, tell: (note: string) => told.push(note) } as const;
      const stream = await readDataset(INPUTS, specification, options);
      expect(await contentOf(stream)).toEqual(await contentOf(memory));
      expect(stream.normalization).toEqual(memory.normalization);
      for (const channel of [0, 1, 2]) {
        const own = Array.from({ length: COUNT }, (_, at) =>
          Array.from(
            PIXELS.subarray(at * 3072 + channel * 1024, at * 3072 + (channel + 1) * 1024),
            (byte) => byte / 255,
          ),
        ).flat();
        const mean = own.reduce((sum, value) => sum + value, 0) / own.length;
        const square = own.reduce((sum, value) => sum + (value - mean) ** 2, 0) / own.length;
        /** Pixels are rounded to float32 before. */
        expect(stream.normalization?.mean[channel]).toBeCloseTo(mean, 7);
        expect(stream.normalization?.std[channel]).toBeCloseTo(Math.sqrt(square), 7);
      }
      expect(told.join("\n")).toMatch(
        /mean and deviation are those of all 23 samples.*\n.*for other data: --normalize "0\.\d+ /,
      );
    },
  );

  it("are refused of formats that have none one by one", async () => {
    const folder = temporaryFolder();
    writeFileSync(join(folder, "a.npz"), "1,2\n3,4\n");
    writeFileSync(join(folder, "a.csv.gz"), "1,2\n3,4\n");
    for (const [name, kind] of [
      ["a.npz", "NumPy archive"],
      ["a.csv.gz", "gzipped"],
    ] as const) {
      const error = await rejectionOf(readDataset(INPUTS, join(folder, name), { stream: true }));
      expect([error.code, error.message]).toEqual(["E_OPTION", expect.stringContaining(`${kind} files are not read`)]);
    }
  });
});

const COLUMNS: readonly InputSpec[] = [
  { name: "x", dtype: DataType.float, shape: ["N", 3] },
  { name: "labels", dtype: DataType.int64, shape: ["N"] },
];
const ROWS = Array.from({ length: 1000 }, (_, row) => ({
  cells: [row / 7, -row, Math.fround(Math.sin(row))],
  word: ["emu", "cat", "dog"][(row * 7) % 3] ?? "",
}));

/** The same rows in every format that is a table; of Parquet in row groups of 300. */
function tables(rows = ROWS): Readonly<Record<string, string>> {
  const folder = temporaryFolder();
  const text = (separator: string): string =>
    ["a,b,c,label".replaceAll(",", separator), ...rows.map(({ cells, word }) => [...cells, word].join(separator))].join(
      "\n",
    );
  const column = (at: number): number[] => rows.map(({ cells }) => cells[at] ?? Number.NaN);
  const parquet = parquetWriteBuffer({
    columnData: [
      { name: "a", data: column(0), type: "DOUBLE" },
      { name: "b", data: column(1), type: "DOUBLE" },
      { name: "c", data: column(2), type: "FLOAT" },
      { name: "label", data: rows.map(({ word }) => word), type: "STRING" },
    ],
    rowGroupSize: 300,
  });
  return Object.fromEntries(
    Object.entries({ csv: text(","), tsv: text("\t"), parquet: new Uint8Array(parquet) }).map(([kind, content]) => {
      writeFileSync(join(folder, `t.${kind}`), content);
      return [kind, join(folder, `t.${kind}`)];
    }),
  );
}

describe("tables whose features stay in a temporary file", () => {
  it.each(["csv", "tsv", "parquet"])("%s: are bit for bit those of tables in memory", async (kind) => {
    const path = tables()[kind] ?? "";
    const told: string[] = [];
    const memory = await readDataset(COLUMNS, path, { scale: 0.5, stream: false });
    const stream = await readDataset(COLUMNS, path, { scale: 0.5, stream: true, tell: (note) => told.push(note) });
    expect([stream.source?.names, stream.classes]).toEqual([["x"], ["cat", "dog", "emu"]]);
    expect(told.join("\n")).toMatch(
      /samples are read as batches need them, from a temporary file of .* GiB in .*TMPDIR/,
    );
    const whole = await contentOf(memory);
    expect(whole).toHaveLength(200);
    expect(await contentOf(stream)).toEqual(whole);
    const [apart, same] = [splitDataset(stream, 0.3, 1), splitDataset(memory, 0.3, 1)];
    expect(await contentOf(apart.validation)).toEqual(await contentOf(same.validation));
    await expect.poll(() => readdirSync(tmpdir()).filter((name) => name.startsWith("onnx-agr-data-"))).toEqual([]);
  });

  it("have the mean and deviation of each column, bit for bit those of tables in memory", async () => {
    for (const path of Object.values(tables())) {
      const memory = await readDataset(COLUMNS, path, { normalize: "computed", stream: false });
      const stream = await readDataset(COLUMNS, path, { normalize: "computed", stream: true });
      expect(await contentOf(stream)).toEqual(await contentOf(memory));
      expect(stream.normalization?.mean[1]).toBeCloseTo(-499.5, 9);
      expect(stream.normalization?.std[1]).toBeCloseTo(Math.sqrt((1000 ** 2 - 1) / 12), 9);
    }
  });

  it("row 57: have the errors of tables in memory, with the same places", async () => {
    const damaged = tables(ROWS.map((row, at) => (at === 700 ? { ...row, cells: [1, Number.NaN, 2] } : row)));
    for (const [kind, place] of [
      ["csv", "702:2: "],
      ["tsv", "702:2: "],
      ["parquet", "row 701, column 2: "],
    ] as const) {
      const path = damaged[kind] ?? "";
      const [streamed, whole] = await Promise.all(
        [true, false].map((stream) => rejectionOf(readDataset(COLUMNS, path, { stream }))),
      );
      expect(streamed?.message).toContain(`${place}"NaN" is no finite number`);
      expect([streamed?.code, streamed?.file, streamed?.message]).toEqual(["E_TABLE", path, whole?.message]);
    }
    const labels = [{ ...(COLUMNS[1] as InputSpec), range: { least: 0, greatest: 2, ignored: null, of: "3 classes" } }];
    const path = join(temporaryFolder(), "u.csv");
    writeFileSync(path, "a,b,c,label\n1,2,3,0\n4,5,6,7\n");
    const errors = await Promise.all(
      [true, false].map((stream) => rejectionOf(readDataset([COLUMNS[0] as InputSpec, ...labels], path, { stream }))),
    );
    expect(errors.map(({ code }) => code)).toEqual(["E_INDEX", "E_INDEX"]);
    expect(errors[0]?.message).toMatch(/u\.csv:3:4: "labels" of sample 1 is 7/);
    expect(errors[0]?.message).toBe(errors[1]?.message);
  });
});
