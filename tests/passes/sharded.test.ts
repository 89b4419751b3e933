import { describe, expect, it } from "vitest";
import { SHARDING_RULES } from "../../src/passes/sharded/rules/table.ts";
import { placedAlike } from "../support/sharded-parts.ts";
import { SmallStep } from "../support/small-steps.ts";
import type { RuleCase } from "./sharded/case.ts";
import { ALL_CASES } from "./sharded/index.ts";

/** A batch that two, three and six parts have equal pieces of, the last of one sample each. */
const COUNTS = [2, 3, 6];

async function where({ make, opset }: RuleCase, count: number): Promise<string> {
  const small = new SmallStep(opset);
  const value = make(small);
  const found = await placedAlike(small.step({}), small.feeds, count);
  return found === null ? "refused" : (found.get(value) ?? "not there");
}

describe("parts have what the whole has", () => {
  it.each(ALL_CASES.map((each) => [each.op, each.what, each] as const))("%s: %s", async (_, __, each) => {
    for (const count of each.counts ?? COUNTS) expect(await where(each, count), `${count} parts`).toBe(each.lies);
  });
});

it("has a test of every rule", () => {
  const tried = new Set(ALL_CASES.map(({ op }) => op));
  expect([...SHARDING_RULES.keys()].filter((op) => !tried.has(op))).toEqual([]);
});
