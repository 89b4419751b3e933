import type { RandomGenerator } from "pure-rand/types/RandomGenerator";
import { type Masking, maskTokens } from "./masking.ts";
import type { TokenStore } from "./token-store.ts";
import type { TextTokenizer } from "./tokenizer.ts";

export interface SampleSettings {
  /** Tokens of a sample, with those before and behind a text. */
  readonly length: number;
  /** How tokens are masked; null where the next token is to be found. */
  readonly masking: Masking | null;
  /** Fills up what is shorter. */
  readonly pad: number;
  /** The label of what is not to be found. */
  readonly ignored: number;
}

export interface TextSample {
  readonly tokens: Int32Array;
  readonly labels: Int32Array;
  /** How many of the tokens are no padding. */
  readonly used: number;
}

/** How many tokens of a text a sample holds: the next token needs one more, which is no input. */
export const roomFor = (
  { prefix, suffix }: Pick<TextTokenizer, "prefix" | "suffix">,
  { length, masking }: Pick<SampleSettings, "length" | "masking">,
): number => length + (masking === null ? 1 : 0) - prefix.length - suffix.length;

/** The sample of `count` tokens from `start` on. @param random what masks are drawn by */
export function sampleOf(
  store: TokenStore,
  { start, count }: { readonly start: number; readonly count: number },
  { prefix, suffix, special }: TextTokenizer,
  { length, masking, pad, ignored }: SampleSettings,
  random: RandomGenerator,
): TextSample {
  const content = Array.from({ length: count }, (_, index) => store.at(start + index));
  const whole = [...prefix, ...content, ...suffix];
  const tokens = new Int32Array(length).fill(pad);
  const labels = new Int32Array(length).fill(ignored);
  if (masking === null) {
    tokens.set(whole.slice(0, -1));
    labels.set(whole.slice(1));
    return { tokens, labels, used: whole.length - 1 };
  }
  tokens.set(whole);
  const places = content.flatMap((token, index) => (special.has(token) ? [] : [prefix.length + index]));
  const before = tokens.slice();
  for (const place of maskTokens(tokens, places, masking, random)) labels[place] = before[place] ?? ignored;
  return { tokens, labels, used: whole.length };
}
