import { uniformInt } from "pure-rand/distribution/uniformInt";
import { xoroshiro128plus } from "pure-rand/generator/xoroshiro128plus";

/** Numbers that depend on the run's seed and the input's number alone. */
export class Random {
  readonly #generator;

  constructor(seed: number, index: number) {
    this.#generator = xoroshiro128plus((Math.imul(seed, 0x9e3779b1) ^ Math.imul(index + 1, 0x85ebca6b)) | 0);
    this.below(2 ** 30);
  }

  /** A whole number from 0 to `limit` - 1. */
  below(limit: number): number {
    return limit <= 1 ? 0 : uniformInt(this.#generator, 0, limit - 1);
  }

  of<T>(items: readonly T[]): T {
    return items[this.below(items.length)] as T;
  }

  chance(one: number): boolean {
    return this.below(one) === 0;
  }
}
