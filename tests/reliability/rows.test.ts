import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";

const TESTS = fileURLToPath(new URL("..", import.meta.url));

/**
 * Rows of the matrix of bad inputs and faults that concern what there is, each range from its first to its last. There are no
 * image files (64) and no configuration files (78).
 */
const RANGES: readonly (readonly [number, number])[] = [
  [1, 63],
  [65, 77],
  [79, 107],
];

/** What strings of the tests' sources say, titles among them; comments do not count. */
function attackedRows(): ReadonlySet<number> {
  const files = readdirSync(TESTS, { recursive: true, encoding: "utf8" }).filter(
    (name) => name.endsWith(".ts") && !name.endsWith("rows.test.ts"),
  );
  const strings = files.flatMap(
    (file) => readFileSync(join(TESTS, file), "utf8").match(/(["'`])(?:(?!\1).)*\1/g) ?? [],
  );
  const titled = strings.filter((text) => /\brows? \d/.test(text));
  return new Set(
    titled
      .flatMap((text) => [...text.matchAll(/\brows? (\d+)(?:, (\d+))*/g)].flatMap(([all]) => all.match(/\d+/g) ?? []))
      .map(Number),
  );
}

describe("the matrix of bad inputs and faults", () => {
  it("has a test for each of its rows, which names it", () => {
    const attacked = attackedRows();
    const required = RANGES.flatMap(([from, to]) => Array.from({ length: to - from + 1 }, (_, index) => from + index));
    expect(required.filter((row) => !attacked.has(row))).toEqual([]);
  });
});
