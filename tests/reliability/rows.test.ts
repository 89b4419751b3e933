import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";

const TESTS = fileURLToPath(new URL("..", import.meta.url));

/** The rows of the matrix of bad inputs and faults, from the first to the last. */
const [FIRST, LAST] = [1, 107];

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
    const required = Array.from({ length: LAST - FIRST + 1 }, (_, index) => FIRST + index);
    expect(required.filter((row) => !attacked.has(row))).toEqual([]);
  });
});
