/**
 * How long a training waits for its data: the LeNet of the benchmarks, one epoch per format. What is waited is the time of the epoch
 * that is not that of its steps. Then a folder of very many images: how long until the first step.
 *
 *     npm run bench -- data --shared <folder with data/zoo> [--images 200000]
 */

import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { zipSync } from "fflate";
import { parquetWriteFile } from "hyparquet-writer";
import sharp from "sharp";
import { DataType, GraphTensor } from "../src/entries/graph.ts";
import type { InputSpec } from "../src/entries/training.ts";
import { encodeSafetensors } from "../src/entries/training.ts";
import { buildTrainingArtifacts, readDataset, readModel, TrainingSession, train } from "../src/index.ts";
import { type Row, table } from "./table.ts";

const SAMPLES = 6400;
const BATCH = 32;

interface Samples {
  /** Bytes, [N, 1, side, side]. */
  readonly pixels: Uint8Array;
  readonly labels: Uint8Array;
  readonly sides: readonly [height: number, width: number];
}

function samplesFor(inputs: readonly InputSpec[]): Samples {
  const [, channels, height, width] = inputs.find(({ shape }) => shape?.length === 4)?.shape ?? [];
  if (channels !== 1 || typeof height !== "number" || typeof width !== "number")
    throw new Error("the model takes no grey pictures");
  const pixels = Uint8Array.from({ length: SAMPLES * height * width }, (_, at) => (at * 7919) % 251);
  return { pixels, labels: Uint8Array.from({ length: SAMPLES }, (_, at) => at % 10), sides: [height, width] };
}

const idxHead = (...sizes: readonly number[]): Uint8Array => {
  const head = new DataView(new ArrayBuffer(4 + 4 * sizes.length));
  head.setUint16(2, 0x0800 + sizes.length);
  for (const [axis, size] of sizes.entries()) head.setUint32(4 + 4 * axis, size);
  return new Uint8Array(head.buffer);
};

function npyOf(dims: readonly number[], bytes: Uint8Array): Uint8Array {
  const text = `{'descr': '|u1', 'fortran_order': False, 'shape': (${dims.join(", ")},), }\n`;
  const head = Buffer.from(`\u0093NUMPY\u0001\u0000..${text}`, "latin1");
  head.writeUInt16LE(text.length, 8);
  return Buffer.concat([head, bytes]);
}

/** Pictures of one colour each, in folders of ten classes. */
async function writeImages(folder: string, count: number, side: number): Promise<void> {
  const pictures = await Promise.all(
    Array.from({ length: 16 }, (_, at) =>
      sharp({ create: { width: side, height: side, channels: 3, background: { r: 16 * at, g: 16 * at, b: 16 * at } } })
        .toColourspace("b-w")
        .png()
        .toBuffer(),
    ),
  );
  for (let label = 0; label < 10; label++) mkdirSync(join(folder, String(label)), { recursive: true });
  for (let at = 0; at < count; at++)
    writeFileSync(join(folder, String(at % 10), `${at}.png`), pictures[at % 16] ?? Buffer.alloc(0));
}

/** The same samples in each format, as `--data` takes them. */
async function written(folder: string, { pixels, labels, sides }: Samples): Promise<Readonly<Record<string, string>>> {
  const [height, width] = sides;
  const place = (name: string, ...parts: readonly Uint8Array[]): string => {
    writeFileSync(join(folder, name), Buffer.concat(parts));
    return join(folder, name);
  };
  const dims = [SAMPLES, 1, height, width];
  const area = height * width;
  parquetWriteFile({
    filename: join(folder, "data.parquet"),
    columnData: [
      ...Array.from({ length: area }, (_, column) => ({
        name: `pixel${column}`,
        data: Int32Array.from({ length: SAMPLES }, (_unused, at) => pixels[at * area + column] ?? 0),
      })),
      { name: "label", data: Int32Array.from(labels) },
    ],
    rowGroupSize: 1000,
  });
  await writeImages(join(folder, "images"), SAMPLES, height);
  return {
    IDX: `${place("images.idx", idxHead(SAMPLES, height, width), pixels)},${place("labels.idx", idxHead(SAMPLES), labels)}`,
    npz: place("data.npz", zipSync({ "images.npy": npyOf(dims, pixels), "labels.npy": npyOf([SAMPLES], labels) })),
    safetensors: place(
      "data.safetensors",
      encodeSafetensors([
        { name: "images", tensor: GraphTensor.from(DataType.uint8, dims, pixels) },
        { name: "labels", tensor: GraphTensor.from(DataType.uint8, [SAMPLES], labels) },
      ]),
    ),
    Parquet: join(folder, "data.parquet"),
    images: join(folder, "images"),
  };
}

/** Seconds of an epoch, and those of its steps. */
async function epochOf(session: TrainingSession, specification: string, stream: boolean | undefined): Promise<Row> {
  const began = performance.now();
  const data = await readDataset(session.trainingInputs, specification, stream === undefined ? {} : { stream });
  const opened = performance.now();
  let [steps, count, whole] = [0, 0, 0];
  for await (const event of train(session, data, { batchSize: BATCH, epochs: 2 })) {
    /** The first epoch warms up. */
    if (event.type === "epoch" && event.epoch === 1) whole = event.seconds;
    if (event.type !== "step" || event.epoch !== 1) continue;
    steps += event.seconds;
    count++;
  }
  return {
    "open s": (opened - began) / 1000,
    "step ms": (1000 * steps) / count,
    "waiting ms per step": (1000 * (whole - steps)) / count,
    "waiting %": (100 * (whole - steps)) / whole,
  };
}

async function firstStepOf(session: TrainingSession, folder: string): Promise<Row> {
  const began = performance.now();
  const data = await readDataset(session.trainingInputs, folder);
  const opened = performance.now();
  for await (const _ of train(session, data, { batchSize: BATCH, epochs: 1 })) break;
  return { "open s": (opened - began) / 1000, "first step s": (performance.now() - began) / 1000 };
}

export async function benchData(options: {
  readonly shared: string | null;
  readonly images: number;
}): Promise<readonly Row[]> {
  const model = options.shared === null ? "" : join(options.shared, "data", "zoo", "lenet.onnx");
  if (!existsSync(model)) {
    console.error("data: no LeNet without --shared <folder with data/zoo>");
    return [];
  }
  const artifacts = await buildTrainingArtifacts(await readModel(model), { loss: { kind: "cross-entropy" } });
  const folder = mkdtempSync(join(tmpdir(), "onnx-agr-bench-"));
  const session = await TrainingSession.create(artifacts);
  try {
    const samples = samplesFor(session.trainingInputs);
    const rows: Row[] = [];
    for (const [format, specification] of Object.entries(await written(folder, samples))) {
      const isImages = format === "images";
      for (const stream of isImages ? [undefined] : format === "npz" ? [false] : [false, true]) {
        const how = isImages ? "decoded beside the steps" : stream === true ? "streamed" : "in memory";
        rows.push({ data: `${format}, ${how}`, ...(await epochOf(session, specification, stream)) });
      }
    }
    if (options.images > 0) {
      const many = join(folder, "many");
      await writeImages(many, options.images, samples.sides[0]);
      rows.push({ data: `${options.images} images`, ...(await firstStepOf(session, many)) });
    }
    console.error(table(rows));
    return rows;
  } finally {
    await session.release();
    rmSync(folder, { recursive: true, force: true });
  }
}
