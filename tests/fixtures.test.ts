import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { makeDigitsArtifacts } from "../fixtures/digits/make.ts";
import { drawDigits } from "../src/cli/demo/digits.ts";
import { encodeModel } from "../src/entries/graph.ts";
import { ARTIFACT_FILES } from "../src/entries/training.ts";
import { readArtifacts } from "../src/index.ts";

const FOLDER = fileURLToPath(new URL("../fixtures/digits/", import.meta.url));

describe("the digits artifacts", () => {
  it("are what their script makes, byte for byte", () => {
    const made = makeDigitsArtifacts();
    for (const kind of ["trainingModel", "evalModel", "optimizerModel"] as const) {
      const model = made[kind];
      if (model === null) throw new Error(`${kind} is missing`);
      expect(Buffer.compare(readFileSync(FOLDER + ARTIFACT_FILES[kind]), encodeModel(model)), kind).toBe(0);
    }
    expect(Buffer.compare(readFileSync(`${FOLDER}checkpoint`), made.checkpoint ?? new Uint8Array())).toBe(0);
  });

  it("are read as a whole set", async () => {
    const artifacts = await readArtifacts(FOLDER);
    const { prefix, checkpointData, ...files } = artifacts;
    expect([prefix, checkpointData]).toEqual(["", null]);
    expect(Object.values(files).includes(null)).toBe(false);
  });
});

describe("the digits", () => {
  it("are the same for the same seed, of all ten kinds, and not blank", () => {
    const [images, labels] = drawDigits(200, 3).map(({ tensor }) => tensor.values());
    expect(drawDigits(200, 3).map(({ tensor }) => tensor.values())).toEqual([images, labels]);
    expect(new Set(labels as BigInt64Array).size).toBe(10);
    const brightest = Array.from({ length: 200 }, (_, sample) =>
      Math.max(...(images as Float32Array).subarray(sample * 256, sample * 256 + 256)),
    );
    expect(Math.min(...brightest)).toBeGreaterThan(0.5);
  });
});
