import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { parse } from "yaml";
import { sentenceOf, summaryOf } from "../experiments/agr-effect.ts";
import { withResults } from "../experiments/outcome.ts";
import { resultsDocument } from "../experiments/results.ts";
import type { SampleScores } from "../experiments/samples.ts";
import { comparedRuns } from "../experiments/trained.ts";
import { sha256OfFile } from "../src/entries/graph.ts";

const at = (name: string): URL => new URL(`../experiments/${name}`, import.meta.url);

interface Kept {
  readonly hashes: { readonly model: string };
  readonly seeds: readonly number[];
  readonly weights: string;
  readonly sweeps: readonly { readonly results: readonly { readonly rate: number }[] }[];
}

interface Configuration {
  readonly compare: {
    readonly arguments: string;
    readonly "sweep-lr"?: readonly number[];
    readonly seeds: number | string;
    readonly weights: string;
  };
}

/** A number of seeds from 1 on, or ranges of them. */
const seedsOf = (given: number | string): readonly number[] =>
  (typeof given === "number" ? `1-${given}` : given).split(",").flatMap((range) => {
    const [first = Number.NaN, last = first] = range.split("-").map(Number);
    return Array.from({ length: last - first + 1 }, (_, index) => first + index);
  });

const README = readFileSync(new URL("../README.md", import.meta.url), "utf8").replace(/\s+/g, " ");

describe("the experiments", () => {
  it("have a page with the numbers of their results and no others", () => {
    expect(readFileSync(at("README.md"), "utf8")).toBe(resultsDocument());
  });

  it.each(["vit", "vgg", "resnet", "convnext", "ddpm", "albert", "order"])(
    "of %s are in the README word for word",
    (name) => {
      const sentence = sentenceOf(name);
      expect(sentence).toMatch(/seeds: .* of (accuracy|loss) /);
      expect(README).toContain(sentence);
    },
  );

  it("are summed up in the README word for word", () => {
    expect(README).toContain(summaryOf());
  });

  it("scored images of networks that were compared, by a classifier that was, and their differences are those of pairs", () => {
    const { runs, contrasts, classifier } = JSON.parse(readFileSync(at("ddpm/samples.json"), "utf8")) as SampleScores;
    const compared = comparedRuns("ddpm").map(({ arm, seed }) => `${arm} ${seed}`);
    for (const { arm, seed } of runs) expect(compared).toContain(`${arm} ${seed}`);
    expect(comparedRuns(classifier.name)).toContainEqual(
      expect.objectContaining({ arm: classifier.arm, seed: classifier.seed }),
    );
    for (const { arm, against, frechet } of contrasts) {
      const of = (name: string): readonly number[] =>
        runs
          .filter((run) => run.arm === name)
          .toSorted((a, b) => a.seed - b.seed)
          .map((run) => run.frechet);
      const [left, right] = [of(arm), of(against)];
      const mean = left.reduce((sum, value, index) => sum + value - (right[index] ?? 0), 0) / left.length;
      expect(frechet?.pairs).toBe(left.length);
      expect(frechet?.mean).toBeCloseTo(mean, 9);
    }
  });

  it.each(withResults())("%s was run with the model and the configuration that are there", async (name) => {
    const { hashes, seeds, weights, sweeps } = JSON.parse(readFileSync(at(`${name}/comparison.json`), "utf8")) as Kept;
    const { compare } = parse(readFileSync(at(`${name}/onnx-agr.config.yaml`), "utf8")) as Configuration;
    expect(hashes.model).toBe(await sha256OfFile(at(`${name}/${compare.arguments}`).pathname));
    expect([seeds, weights]).toEqual([seedsOf(compare.seeds), compare.weights]);
    for (const { results } of sweeps) expect(results.map(({ rate }) => rate)).toEqual(compare["sweep-lr"]);
    expect(sweeps.length > 0).toBe(compare["sweep-lr"] !== undefined);
  });
});
