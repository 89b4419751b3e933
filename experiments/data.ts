/**
 * Takes the samples of the experiments out of Fashion-MNIST (Xiao et al. 2017), as Debian's package dataset-fashion-mnist has it:
 * the first 12,800 of its training images to train with, the last 5,000 of them to compare by. The test images are not used. For `smoke` fewer.
 */

import { existsSync } from "node:fs";
import { mkdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { gunzipSync } from "node:zlib";
import { uniformInt } from "pure-rand/distribution/uniformInt";
import { xoroshiro128plus } from "pure-rand/generator/xoroshiro128plus";
import { writeFileAtomic } from "../src/entries/graph.ts";

/** Where the samples lie for the configurations. */
const DATA = fileURLToPath(new URL("data", import.meta.url));

/** Where the package is, or another folder that has the same files. */
const FASHION = process.env["FASHION_MNIST"] ?? "/usr/share/datasets/fashion-mnist";

const CLASSES = 10;
const SEED = 1;

const FILES = { images: "train-images-idx3-ubyte", labels: "train-labels-idx1-ubyte" } as const;

interface Part {
  readonly name: string;
  /** Behind the last sample where it is negative, as `slice` has it. */
  readonly from: number;
  readonly to?: number;
  /** How many labels of a hundred are drawn anew from all classes. Default: none. */
  readonly drawnAnew?: number;
}

const PARTS: readonly Part[] = [
  { name: "train", from: 0, to: 12_800 },
  { name: "validation", from: -5000 },
  { name: "noisy-train", from: 0, to: 12_800, drawnAnew: 40 },
  { name: "smoke-train", from: 0, to: 1024 },
  { name: "smoke-validation", from: -512 },
];

export const hasFashion = (): boolean => existsSync(join(FASHION, `${FILES.images}.gz`));

/** Writes the files that are not there yet. */
export async function prepareData(): Promise<void> {
  for (const [kind, file] of Object.entries(FILES)) {
    const parts = PARTS.filter(({ drawnAnew }) => drawnAnew === undefined || kind === "labels");
    const missing = parts.filter(({ name }) => !existsSync(join(DATA, `${name}-${kind}.idx`)));
    if (missing.length === 0) continue;
    const bytes = gunzipSync(await readFile(join(FASHION, `${file}.gz`)));
    await mkdir(DATA, { recursive: true });
    for (const part of missing) await writeFileAtomic(join(DATA, `${part.name}-${kind}.idx`), samplesOf(bytes, part));
  }
}

/** The file with some of its samples: IDX has the number of axes in its fourth byte, then their sizes, big-endian. */
function samplesOf(bytes: Uint8Array, { from, to, drawnAnew = 0 }: Part): Uint8Array {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const header = 4 + 4 * view.getUint8(3);
  const count = view.getUint32(4);
  const size = (bytes.length - header) / count;
  const indices = Array.from({ length: count }, (_, index) => index).slice(from, to);
  const [first = 0] = indices;
  const cut = new Uint8Array(header + indices.length * size);
  cut.set(bytes.subarray(0, header));
  cut.set(bytes.subarray(header + first * size, header + (first + indices.length) * size), header);
  new DataView(cut.buffer).setUint32(4, indices.length);
  const random = xoroshiro128plus(SEED);
  for (let at = header; drawnAnew > 0 && at < cut.length; at++) {
    if (uniformInt(random, 0, 99) < drawnAnew) cut[at] = uniformInt(random, 0, CLASSES - 1);
  }
  return cut;
}
