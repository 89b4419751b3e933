import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import type { CorpusStep } from "../../fixtures/step-corpus/index.ts";
import { CORPUS, corpusTable, verdictOf, withTable } from "../support/step-corpus.ts";

/** Of each optimizer every so many-th variant, a different one to begin with: `npm run docs` runs all of them. */
const STRIDE = 18;

const places = (part: "optimizer" | "variant"): ReadonlyMap<string, number> =>
  new Map([...new Set(CORPUS.map((step) => step[part]))].map((name, index) => [name, index]));
const [optimizers, variants] = [places("optimizer"), places("variant")];
const distance = ({ optimizer, variant }: CorpusStep): number =>
  (variants.get(variant) ?? 0) - (optimizers.get(optimizer) ?? 0);

describe("row 106: the corpus of train steps, against AGR by hand", () => {
  const sample = CORPUS.filter((step) => distance(step) % STRIDE === 0);

  it("has at least 100 steps, and the sample every optimizer and every variant", () => {
    expect(CORPUS.length).toBeGreaterThanOrEqual(100);
    for (const part of ["optimizer", "variant"] as const)
      expect(new Set(sample.map((step) => step[part]))).toEqual(new Set(CORPUS.map((step) => step[part])));
  });

  it("is the table of docs/forms.md", () => {
    const text = readFileSync(new URL("../../docs/forms.md", import.meta.url), "utf8");
    expect(text).toBe(withTable(text, corpusTable(new Map(CORPUS.map((step) => [step, "right"])))));
  });

  it.each(sample)("$optimizer, $variant", { timeout: 20_000 }, async (step) => {
    expect(await verdictOf(step)).toBe("right");
  });

  it.each(["clipped by value", "clipped by norm", "adaptive clipping", "centralized"] as const)(
    "%s, --at raw",
    async (variant) => {
      expect(await verdictOf({ optimizer: "momentum", variant }, { at: "raw" })).toBe("right");
    },
  );
});
