import { InvalidArgumentError } from "commander";
import { wholeNumber } from "./values.ts";

const MOST_SEEDS = 10_000;

/** Parses a number of seeds (5: 1 to 5), or seeds: `3,4,7`, `11-20`. */
export function seedsOf(text: string): readonly number[] {
  const whole = wholeNumber(0);
  const parts = text.split(",").map((part) => part.trim());
  const seeds = parts.flatMap((part): readonly number[] => {
    const [from = "", to] = part.split("-");
    if (to === undefined) return parts.length === 1 ? upTo(1, whole(part)) : [whole(part)];
    return upTo(whole(from), whole(to));
  });
  if (seeds.length > 0 && new Set(seeds).size === seeds.length) return seeds;
  throw new InvalidArgumentError("Give a number of seeds from 1 on, or different seeds: 3,4,7 or 11-20.");
}

function upTo(first: number, last: number): readonly number[] {
  if (last - first >= MOST_SEEDS) throw new InvalidArgumentError(`There may be ${MOST_SEEDS} seeds.`);
  return Array.from({ length: Math.max(0, last - first + 1) }, (_, index) => first + index);
}
