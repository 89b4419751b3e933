import { uniformInt } from "pure-rand/distribution/uniformInt";
import type { RandomGenerator } from "pure-rand/types/RandomGenerator";
import { uniform } from "../augment.ts";

export interface Masking {
  /** Of each token to be one that is to be found. */
  readonly probability: number;
  /** The token that stands for those that are to be found. */
  readonly mask: number;
  /** The largest number that a token has. */
  readonly greatest: number;
}

/** Of the tokens to be found, so many are masked, and so many others are another token; the rest stays as it is. */
const [MASKED, CHANGED] = [0.8, 0.1];

/**
 * Masks tokens in place, as BERT does (Devlin et al. 2019, A.1): of those that are to be found, 80 % become the mask, 10 % any token,
 * 10 % stay. At least one of a sample is to be found.
 * @param places of the tokens that may be chosen
 * @returns the places of those that are to be found
 */
export function maskTokens(
  tokens: Int32Array,
  places: readonly number[],
  { probability, mask, greatest }: Masking,
  random: RandomGenerator,
): readonly number[] {
  const drawn = places.filter(() => uniform(random) < probability);
  const one = places[drawn.length > 0 || places.length === 0 ? -1 : uniformInt(random, 0, places.length - 1)];
  const chosen = one === undefined ? drawn : [one];
  for (const place of chosen) {
    const kind = uniform(random);
    const other = uniformInt(random, 0, greatest);
    if (kind < MASKED) tokens[place] = mask;
    else if (kind < MASKED + CHANGED) tokens[place] = other;
  }
  return chosen;
}
