import { fileURLToPath } from "node:url";
import { uniformInt } from "pure-rand/distribution/uniformInt";
import { xoroshiro128plus } from "pure-rand/generator/xoroshiro128plus";

const NOUNS = ["cat", "dog", "bird", "horse", "teacher", "gardener", "painter", "child"];
const VERBS = ["sees", "follows", "hears", "likes", "paints", "feeds", "waters"];
const KINDS = ["small", "old", "quick", "red", "tall", "sleepy", "unhappy"];

/** Sentences of a small grammar, of words that the tokenizers of `tests/runtime/data/tokenizers` know. */
export function sentences(count: number, seed = 1): readonly string[] {
  const random = xoroshiro128plus(seed);
  const pick = (words: readonly string[]): string => words[uniformInt(random, 0, words.length - 1)] ?? "";
  return Array.from(
    { length: count },
    () => `The ${pick(KINDS)} ${pick(NOUNS)} ${pick(VERBS)} a ${pick(KINDS)} ${pick(NOUNS)}.`,
  );
}

export type TokenizerName = "wordpiece" | "byte-level-bpe" | "unigram" | "wordlevel";

/** The path of a small tokenizer of a kind. */
export const tokenizer = (name: TokenizerName): string =>
  fileURLToPath(new URL(`../runtime/data/tokenizers/${name}.json`, import.meta.url));
