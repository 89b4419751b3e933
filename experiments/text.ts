/**
 * Makes masked words of the text in Debian's package fortunes: 64 words a sample, of the 4,094 most frequent; 15 % of them are masked, and are
 * what is to be found. Every 30th sample is one to compare by; of the others every second, up to 3,840, is one to train with.
 */

import { existsSync } from "node:fs";
import { mkdir, readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { uniformInt } from "pure-rand/distribution/uniformInt";
import { xoroshiro128plus } from "pure-rand/generator/xoroshiro128plus";
import { DataType, GraphTensor, writeFileAtomic } from "../src/entries/graph.ts";
import { encodeSafetensors } from "../src/entries/training.ts";

const DATA = fileURLToPath(new URL("data", import.meta.url));
const FORTUNES = process.env["FORTUNES"] ?? "/usr/share/games/fortunes";

const [LENGTH, WORDS, UNKNOWN, MASK, IGNORED] = [64, 4096, 0, 1, -100];
const MASKED_PERCENT = 15;
const APART = 30;
const TRAINED = 3840;
const SEED = 1;

export const hasText = (): boolean => existsSync(join(FORTUNES, "computers"));

/** Writes the files that are not there yet. */
export async function prepareText(): Promise<void> {
  const paths = ["train", "validation"].map((part) => join(DATA, `masked-${part}.safetensors`));
  if (paths.every((path) => existsSync(path))) return;
  const samples = samplesOf(await readText());
  await mkdir(DATA, { recursive: true });
  const parts = [
    samples.filter((_, index) => index % APART !== 0 && index % 2 === 1).slice(0, TRAINED),
    samples.filter((_, index) => index % APART === 0),
  ];
  const random = xoroshiro128plus(SEED);
  for (const [at, path] of paths.entries()) {
    const part = parts[at] ?? [];
    const masked = part.map((sample) =>
      sample.map((word) => ({ word, isMasked: uniformInt(random, 0, 99) < MASKED_PERCENT })),
    );
    const tensor = (of: (each: { readonly word: number; readonly isMasked: boolean }) => number): GraphTensor =>
      GraphTensor.from(
        DataType.int64,
        [part.length, LENGTH],
        BigInt64Array.from(masked.flat(), (each) => BigInt(of(each))),
      );
    const tensors = [
      { name: "input", tensor: tensor(({ word, isMasked }) => (isMasked ? MASK : word)) },
      { name: "labels", tensor: tensor(({ word, isMasked }) => (isMasked && word !== UNKNOWN ? word : IGNORED)) },
    ];
    await writeFileAtomic(path, encodeSafetensors(tensors));
  }
}

async function readText(): Promise<string> {
  const names = (await readdir(FORTUNES)).filter((name) => !name.includes(".")).toSorted();
  const texts = await Promise.all(names.map((name) => readFile(join(FORTUNES, name), "utf8")));
  return texts.join("\n");
}

function samplesOf(text: string): readonly (readonly number[])[] {
  const words = text.toLowerCase().match(/[\p{L}\p{N}']+|[.,!?;:%"]/gu) ?? [];
  const counts = new Map<string, number>();
  for (const word of words) counts.set(word, (counts.get(word) ?? 0) + 1);
  const frequent = [...counts].toSorted(([a, m], [b, n]) => n - m || (a < b ? -1 : 1)).slice(0, WORDS - 2);
  const ids = new Map(frequent.map(([word], index) => [word, index + 2]));
  return Array.from({ length: Math.floor(words.length / LENGTH) }, (_, at) =>
    words.slice(at * LENGTH, (at + 1) * LENGTH).map((word) => ids.get(word) ?? UNKNOWN),
  );
}
