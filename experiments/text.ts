/**
 * Makes samples of the text in Debian's package fortunes.
 *
 * Masked letters: 16 characters a sample, of the 62 most frequent; 15 % of them are masked, and are what is to be found. Every 30th sample is one to
 * compare by; of the others every second, up to 51,200, is one to train with.
 *
 * Sentence order, of the 4,094 most frequent words: the first six words of each fortune and the last six, of shorter ones its halves, in both orders, which are to be told apart.
 * Texts without lines of "%" between are taken line by line. Every tenth fortune is one to compare by; the first 4,000 others are to train with.
 */

import { existsSync, readdirSync, statSync } from "node:fs";
import { mkdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { uniformInt } from "pure-rand/distribution/uniformInt";
import { xoroshiro128plus } from "pure-rand/generator/xoroshiro128plus";
import { DataType, GraphTensor, writeFileAtomic } from "../src/entries/graph.ts";
import { encodeSafetensors } from "../src/entries/training.ts";

const DATA = fileURLToPath(new URL("data", import.meta.url));
const FORTUNES = process.env["FORTUNES"] ?? "/usr/share/games/fortunes";

/** Of letters and of words, with the unknown and the masked. */
const [LETTERS, WORDS] = [64, 4096];
const [LENGTH, UNKNOWN, MASK, IGNORED] = [16, 0, 1, -100];
const MASKED_PERCENT = 15;
const APART = 30;
const TRAINED = 51_200;
const SEED = 1;

const [HALF, LEAST_HALF, FORTUNES_APART, MOST_FORTUNES] = [6, 3, 10, 4000];
const PAIR = 2 * HALF + 3;
/** What stands between the halves, and what fills up a short one: numbers behind those of words. */
const [MARK, PADDING] = [WORDS, WORDS + 1];

/** Indices and links to texts are none. */
const textsIn = (folder: string): readonly string[] =>
  readdirSync(folder)
    .filter((name) => !/\.(dat|u8)$/.test(name) && statSync(join(folder, name)).isFile())
    .toSorted();

export const hasText = (): boolean => existsSync(FORTUNES) && textsIn(FORTUNES).length > 0;

/** Writes the files of masked letters that are not there yet. */
export async function prepareMasked(): Promise<void> {
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
      sample.map((letter) => ({ letter, isMasked: uniformInt(random, 0, 99) < MASKED_PERCENT })),
    );
    const tensor = (of: (each: { readonly letter: number; readonly isMasked: boolean }) => number): GraphTensor =>
      GraphTensor.from(
        DataType.int64,
        [part.length, LENGTH],
        BigInt64Array.from(masked.flat(), (each) => BigInt(of(each))),
      );
    const tensors = [
      { name: "input", tensor: tensor(({ letter, isMasked }) => (isMasked ? MASK : letter)) },
      { name: "labels", tensor: tensor(({ letter, isMasked }) => (isMasked && letter !== UNKNOWN ? letter : IGNORED)) },
    ];
    await writeFileAtomic(path, encodeSafetensors(tensors));
  }
}

async function readText(): Promise<string> {
  const texts = await Promise.all(textsIn(FORTUNES).map((name) => readFile(join(FORTUNES, name), "utf8")));
  return texts.join("\n");
}

/** Writes the files of sentence order that are not there yet. */
export async function prepareOrder(): Promise<void> {
  const paths = ["train", "validation"].map((part) => join(DATA, `order-${part}.safetensors`));
  if (paths.every((path) => existsSync(path))) return;
  const text = await readText();
  const ids = idsOf(wordsOf(text), WORDS);
  const fortunes = text.split(/^%$/m.test(text) ? /^%$/m : "\n").flatMap((fortune) => {
    const words = wordsOf(fortune).map((word) => ids.get(word) ?? UNKNOWN);
    const middle = words.length >> 1;
    const halves = [words.slice(0, middle).slice(0, HALF), words.slice(middle).slice(-HALF)] as const;
    return middle < LEAST_HALF ? [] : [halves];
  });
  await mkdir(DATA, { recursive: true });
  for (const [at, path] of paths.entries()) {
    const part = fortunes.filter((_, index) => (index % FORTUNES_APART === 0) === (at === 1)).slice(0, MOST_FORTUNES);
    const rows = part.flatMap(([first, second]) => [pairOf(first, second), pairOf(second, first)]);
    const tensors = [
      { name: "input", tensor: integers([rows.length, PAIR], rows.flat()) },
      {
        name: "labels",
        tensor: integers(
          [rows.length],
          rows.map((_, index) => index % 2),
        ),
      },
    ];
    await writeFileAtomic(path, encodeSafetensors(tensors));
  }
}

/** Two halves, each filled up to six words, with a mark before each and behind the last. */
function pairOf(first: readonly number[], second: readonly number[]): readonly number[] {
  const filled = (words: readonly number[]): readonly number[] =>
    Array.from({ length: HALF }, (_, at) => words[at] ?? PADDING);
  return [MARK, ...filled(first), MARK, ...filled(second), MARK];
}

const integers = (dims: readonly number[], values: readonly number[]): GraphTensor =>
  GraphTensor.from(DataType.int64, dims, BigInt64Array.from(values, BigInt));

const wordsOf = (text: string): readonly string[] => text.toLowerCase().match(/[\p{L}\p{N}']+|[.,!?;:%"]/gu) ?? [];

/** Every run of white space is one space. */
const lettersOf = (text: string): readonly string[] => [...text.toLowerCase().replace(/\s+/g, " ")];

/** Numbers below `count` for the most frequent, from 2 on. */
function idsOf(parts: readonly string[], count: number): ReadonlyMap<string, number> {
  const counts = new Map<string, number>();
  for (const part of parts) counts.set(part, (counts.get(part) ?? 0) + 1);
  const frequent = [...counts].toSorted(([a, m], [b, n]) => n - m || (a < b ? -1 : 1)).slice(0, count - 2);
  return new Map(frequent.map(([part], index) => [part, index + 2]));
}

function samplesOf(text: string): readonly (readonly number[])[] {
  const letters = lettersOf(text);
  const ids = idsOf(letters, LETTERS);
  return Array.from({ length: Math.floor(letters.length / LENGTH) }, (_, at) =>
    letters.slice(at * LENGTH, (at + 1) * LENGTH).map((letter) => ids.get(letter) ?? UNKNOWN),
  );
}
