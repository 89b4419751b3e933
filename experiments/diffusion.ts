/**
 * What is needed of denoising diffusion (Ho et al. 2020): how much noise there is at which of 200 steps, and images of three classes of Fashion-MNIST,
 * trousers, bags and ankle boots, with noise, as data for the network that predicts it.
 */

import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { uniformFloat64 } from "pure-rand/distribution/uniformFloat64";
import { uniformInt } from "pure-rand/distribution/uniformInt";
import { xoroshiro128plus } from "pure-rand/generator/xoroshiro128plus";
import { DataType, GraphTensor, writeFileAtomic } from "../src/entries/graph.ts";
import { encodeSafetensors } from "../src/entries/training.ts";
import { prepareData } from "./data.ts";

const DATA = fileURLToPath(new URL("data", import.meta.url));

export const STEPS = 200;
export const PIXELS = 28 * 28;

/** The variance that each step adds: the thousand steps of the paper, 0.0001 to 0.02, in 200. */
export const BETAS: readonly number[] = Array.from(
  { length: STEPS },
  (_, step) => 5e-4 + ((0.1 - 5e-4) * step) / (STEPS - 1),
);

/** Which share of the image's variance is left after each step. */
export const KEPT: readonly number[] = products(BETAS.map((beta) => 1 - beta));

function products(factors: readonly number[]): readonly number[] {
  let product = 1;
  return factors.map((factor) => {
    product *= factor;
    return product;
  });
}

/** Of images and of labels. */
const HEADERS = { images: 16, labels: 8 } as const;
const CLASSES: readonly number[] = [1, 8, 9];

const PARTS = [
  { name: "train", size: 12_800, seed: 1 },
  { name: "validation", size: 2000, seed: 2 },
] as const;

type PartName = (typeof PARTS)[number]["name"];

/** The images of a part that are of the three classes, a byte a pixel. */
export async function imagesToDraw(part: PartName): Promise<Uint8Array> {
  const read = async (kind: keyof typeof HEADERS): Promise<Uint8Array> =>
    (await readFile(join(DATA, `${part}-${kind}.idx`))).subarray(HEADERS[kind]);
  const [pixels, labels] = [await read("images"), await read("labels")];
  const chosen = [...labels.entries()].flatMap(([index, label]) => (CLASSES.includes(label) ? [index] : []));
  const images = new Uint8Array(chosen.length * PIXELS);
  for (const [at, index] of chosen.entries())
    images.set(pixels.subarray(index * PIXELS, (index + 1) * PIXELS), at * PIXELS);
  return images;
}

/** Standard normal numbers, by Box and Muller. */
export function normals(seed: number): () => number {
  const random = xoroshiro128plus(seed);
  return () => Math.sqrt(-2 * Math.log(1 - uniformFloat64(random))) * Math.cos(2 * Math.PI * uniformFloat64(random));
}

/** Writes the files that are not there yet: image after image, over and over, each time with another step and other noise. */
export async function prepareNoise(): Promise<void> {
  await prepareData();
  for (const { name, size, seed } of PARTS) {
    const path = join(DATA, `noise-${name}.safetensors`);
    if (existsSync(path)) continue;
    const pixels = await imagesToDraw(name);
    const [normal, random] = [normals(seed), xoroshiro128plus(seed + PARTS.length)];
    const [noisy, noise] = [new Float32Array(size * PIXELS), new Float32Array(size * PIXELS)];
    const steps = BigInt64Array.from({ length: size }, () => BigInt(uniformInt(random, 0, STEPS - 1)));
    for (const [sample, step] of steps.entries()) {
      const kept = KEPT[Number(step)] ?? 0;
      for (let at = sample * PIXELS; at < (sample + 1) * PIXELS; at++) {
        const added = normal();
        noise[at] = added;
        noisy[at] = Math.sqrt(kept) * ((pixels[at % pixels.length] ?? 0) / 127.5 - 1) + Math.sqrt(1 - kept) * added;
      }
    }
    const images = (data: Float32Array<ArrayBuffer>): GraphTensor =>
      GraphTensor.from(DataType.float, [size, 1, 28, 28], data);
    const tensors = [
      { name: "noisy", tensor: images(noisy) },
      { name: "step", tensor: GraphTensor.from(DataType.int64, [size], steps) },
      { name: "labels", tensor: images(noise) },
    ];
    await writeFileAtomic(path, encodeSafetensors(tensors));
  }
}
