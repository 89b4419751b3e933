import { describe, expect, it } from "vitest";
import { DataType, GraphTensor } from "../../../src/entries/graph.ts";
import { type Augmentation, readBatches } from "../../../src/entries/run.ts";
import type { Dataset, NamedTensors } from "../../../src/index.ts";
import { drawAll } from "../../../src/runtime/data/augment.ts";
import { rejectionOf } from "../../support/errors.ts";

const SIDE = 6;
const COUNT = 200;
/** Every pixel says which sample, row and column it is. */
const PIXELS = Array.from({ length: COUNT * SIDE * SIDE }, (_, index) => index + 1);
const dataset = (targets: GraphTensor): Dataset => ({
  tensors: [
    { name: "x", tensor: GraphTensor.floats([COUNT, 1, SIDE, SIDE], PIXELS) },
    { name: "y", tensor: targets },
  ],
  size: COUNT,
});
const FLOATS = dataset(
  GraphTensor.floats(
    [COUNT],
    Array.from({ length: COUNT }, (_, at) => at),
  ),
);

const numbersOf = (tensor: NamedTensors[string] | undefined): readonly number[] =>
  Array.from(tensor?.data ?? [], Number);

/** The image of each sample, by its number. */
async function samplesOf(
  augment: Augmentation,
  { epoch = 0, seed = 1, batchSize = 7, shuffle = true, data = FLOATS } = {},
): Promise<ReadonlyMap<number, readonly number[]>> {
  const images = new Map<number, readonly number[]>();
  const plain: number[] = [];
  const options = { batchSize, shuffle, seed, dropLast: false };
  for await (const { y } of readBatches(data, epoch, options)) plain.push(...numbersOf(y));
  let at = 0;
  for await (const { x } of readBatches(data, epoch, { ...options, augment })) {
    const values = [...numbersOf(x)];
    for (let start = 0; start < values.length; start += SIDE * SIDE)
      images.set(plain[at++] ?? -1, values.slice(start, start + SIDE * SIDE));
  }
  return images;
}

const imageOf = (sample: number): readonly number[] => PIXELS.slice(sample * SIDE * SIDE, (sample + 1) * SIDE * SIDE);
const rowsOf = (image: readonly number[]): readonly (readonly number[])[] =>
  Array.from({ length: SIDE }, (_, row) => image.slice(row * SIDE, (row + 1) * SIDE));

describe("augmentation", () => {
  it("turns half of the images left to right, and leaves the others", async () => {
    let turned = 0;
    for (const [sample, image] of await samplesOf({ flip: true })) {
      const mirror = rowsOf(imageOf(sample)).flatMap((row) => row.toReversed());
      if (image.join() !== imageOf(sample).join()) {
        expect(image).toEqual(mirror);
        turned++;
      }
    }
    // Binomial(200, 1/2): 5 deviations of 7.07 around 100.
    expect(Math.abs(turned - 100)).toBeLessThan(36);
  });

  it("moves images by every distance up to that asked for, with zeros from outside", async () => {
    const seen = new Set<string>();
    for (const [sample, image] of await samplesOf({ crop: 1 })) {
      const rows = rowsOf(imageOf(sample));
      const found = [-1, 0, 1]
        .flatMap((down) => [-1, 0, 1].map((right) => [down, right] as const))
        .filter(
          ([down, right]) =>
            rows.flatMap((row, y) => row.map((_, x) => rows[y - down]?.[x - right] ?? 0)).join() === image.join(),
        );
      expect(found).toHaveLength(1);
      seen.add(String(found[0]));
    }
    expect(seen.size).toBe(9);
  });

  it("cuts one square out, smaller at the border", async () => {
    const sizes = new Set<number>();
    for (const [sample, image] of await samplesOf({ cutout: 2 })) {
      const cut = [...image.keys()].filter((at) => image[at] === 0);
      for (const [at, value] of image.entries()) if (value !== 0) expect(value).toBe(imageOf(sample)[at]);
      const [rows, columns] = [new Set(cut.map((at) => Math.floor(at / SIDE))), new Set(cut.map((at) => at % SIDE))];
      expect(cut).toHaveLength(rows.size * columns.size);
      sizes.add(cut.length);
    }
    expect([...sizes].sort()).toEqual([1, 2, 4]);
  });

  it("mixes images and targets by one share", async () => {
    const options = { batchSize: 50, shuffle: false, seed: 3, dropLast: false, augment: { mixup: 0.5 } };
    let changed = 0;
    let sample = 0;
    for await (const { x, y } of readBatches(FLOATS, 0, options)) {
      const [images, targets] = [numbersOf(x), numbersOf(y)];
      for (const [at, target] of targets.entries()) {
        // Pixel 0 of sample n is 36 n + 1: image and target are the same mixture of numbers n.
        expect(((images[at * SIDE * SIDE] ?? 0) - 1) / 36).toBeCloseTo(target, 3);
        if (target !== sample++) changed++;
      }
    }
    expect(changed).toBeGreaterThan(COUNT / 2);
  });

  it.each([0.2, 1, 4])("draws shares with the moments of Beta(%s, itself)", (mixup) => {
    const count = 20_000;
    const samples = Uint32Array.from({ length: count }, (_, at) => at);
    const shares = drawAll({ mixup }, samples, 5, 1).map(({ share }) => share);
    const mean = shares.reduce((sum, share) => sum + share, 0) / count;
    const variance = shares.reduce((sum, share) => sum + (share - mean) ** 2, 0) / count;
    const expected = 1 / (4 * (2 * mixup + 1));
    // Five standard errors: of a mean, and of a variance that is at most that of two points.
    expect(Math.abs(mean - 0.5)).toBeLessThan(5 * Math.sqrt(expected / count));
    expect(Math.abs(variance - expected)).toBeLessThan((5 * 0.125) / Math.sqrt(count));
  });

  it("of a sample is a function of seed, epoch and sample, whatever the batches and the order", async () => {
    const all = { flip: true, crop: 2, cutout: 2 };
    const one = await samplesOf(all);
    expect(await samplesOf(all, { batchSize: 31 })).toEqual(one);
    expect(new Map([...(await samplesOf(all, { shuffle: false }))].toSorted(([a], [b]) => a - b))).toEqual(
      new Map([...one].toSorted(([a], [b]) => a - b)),
    );
    for (const other of [{ epoch: 1 }, { seed: 2 }]) {
      const changed = await samplesOf(all, other);
      const same = [...one].filter(([sample, image]) => changed.get(sample)?.join() === image.join());
      expect(same.length).toBeLessThan(COUNT / 10);
    }
  });

  it("is refused where it has no meaning", async () => {
    const classes = dataset(
      GraphTensor.from(
        DataType.int64,
        [COUNT],
        BigInt64Array.from({ length: COUNT }, () => 1n),
      ),
    );
    const options = { batchSize: 5, shuffle: false, seed: 0, dropLast: false };
    const first = (data: Dataset, augment: Augmentation) => readBatches(data, 0, { ...options, augment }).next();
    expect((await rejectionOf(first(classes, { mixup: 0.2 }))).message).toMatch(/"y" holds whole numbers/);
    const flat = { ...FLOATS, tensors: FLOATS.tensors.slice(1) };
    expect((await rejectionOf(first(flat, { flip: true }))).message).toMatch(/one input of images .* there are none/);
  });
});
