import { Tensor } from "onnxruntime-common";
import { describe, expect, it } from "vitest";
import { ClassificationSums, RegressionSums } from "../../src/runtime/evaluation/metrics.ts";

const labels = (dims: readonly number[], ...values: readonly number[]): Tensor =>
  new Tensor("int64", BigInt64Array.from(values, BigInt), dims);
const floats = (dims: readonly number[], ...values: readonly number[]): Tensor =>
  new Tensor("float32", Float32Array.from(values), dims);

/** Scores whose largest is the given class of each sample. */
const predicting = (classes: number, ...predicted: readonly number[]): Tensor =>
  floats(
    [predicted.length, classes],
    ...predicted.flatMap((own) => Array.from({ length: classes }, (_, of) => (of === own ? 1 : -of / 10))),
  );

describe("metrics of classes", () => {
  it("are those of scikit-learn's documentation of f1_score", () => {
    const sums = new ClassificationSums(3, 1, null);
    sums.add(labels([6], 0, 1, 2, 0, 1, 2), predicting(3, 0, 2, 1, 0, 0, 1), 1);
    const metrics = sums.metrics();
    expect(metrics).toMatchObject({
      accuracy: 2 / 6,
      top5: null,
      judged: 6,
      confusion: [
        [2, 0, 0],
        [1, 0, 1],
        [0, 2, 0],
      ],
    });
    // f1_score(..., average="macro") is 0.26...: 0.8, 0 and 0.
    expect(metrics?.macroF1).toBeCloseTo(0.8 / 3, 12);
  });

  it("count a label among the five best scores, and leave out what the loss ignores and classes that never occur", () => {
    const sums = new ClassificationSums(7, 1, -100);
    const rising = Array.from({ length: 7 }, (_, of) => of);
    sums.add(labels([3], 2, 1, -100), floats([3, 7], ...rising, ...rising, ...rising), 1);
    expect(sums.metrics()).toMatchObject({ accuracy: 0, top5: 1 / 2, judged: 2, macroF1: 0 });
  });

  it("of parts are those of the whole, once their sums are added", () => {
    const [whole, first, second] = [0, 1, 2].map(() => new ClassificationSums(3, 1, null)) as [
      ClassificationSums,
      ClassificationSums,
      ClassificationSums,
    ];
    first.add(labels([2], 0, 1), predicting(3, 0, 2), 1);
    second.add(labels([3], 2, 2, 0), predicting(3, 2, 1, 0), 1);
    whole.add(labels([5], 0, 1, 2, 2, 0), predicting(3, 0, 2, 2, 1, 0), 1);
    first.sums = first.sums.map((sum, index) => sum + (second.sums[index] ?? 0));
    expect(first.metrics()).toEqual(whole.metrics());
  });

  it.each([
    [1, [2, 3, 2], [9, 0, 0, 2, 8, 1, 0, 5, 5, 0, 9, 9]],
    [2, [2, 2, 3], [9, 1, 0, 0, 9, 5, 0, 5, 0, 0, 9, 1]],
  ])("of tokens, with the classes along axis %i", (axis, dims, scores) => {
    const sums = new ClassificationSums(3, axis, null);
    sums.add(labels([2, 2], 0, 1, 1, 2), floats(dims, ...scores), 1);
    const expected = axis === 1 ? [0, 1, 2, 2] : [0, 1, 1, 1];
    const right = [0, 1, 1, 2].filter((label, index) => label === expected[index]).length;
    expect(sums.metrics()).toMatchObject({ judged: 4, accuracy: right / 4 });
  });

  it("have a perplexity where a sample has several labels: each label counts the same, whatever batch it is in", () => {
    const sums = new ClassificationSums(3, 2, -100, true);
    const scores = floats([1, 3, 3], ...new Array<number>(9).fill(0));
    sums.add(labels([1, 3], 0, -100, -100), scores, Math.log(2));
    sums.add(labels([1, 3], 0, 1, 2), scores, Math.log(4));
    sums.add(labels([1, 3], -100, -100, -100), scores, Number.NaN);
    // The fourth root of 2 * 4 * 4 * 4.
    expect(sums.metrics()?.perplexity).toBeCloseTo(128 ** 0.25, 12);
    const one = new ClassificationSums(3, 1, null);
    one.add(labels([1], 0), floats([1, 3], 1, 0, 0), 1);
    expect(one.metrics()?.perplexity).toBeNull();
  });
});

describe("metrics of numbers", () => {
  it("are those of scikit-learn's documentation of r2_score and mean_absolute_error", () => {
    const sums = new RegressionSums();
    sums.add(floats([4], 3, -0.5, 2, 7), floats([4], 2.5, 0, 2, 8));
    const metrics = sums.metrics();
    expect(metrics).toMatchObject({ task: "regression", meanAbsoluteError: 0.5 });
    expect(metrics?.rootMeanSquareError).toBeCloseTo(Math.sqrt(0.375), 12);
    expect(metrics?.r2).toBeCloseTo(0.948608137, 9);
  });

  it("have a PSNR of pictures from 0 to 1: of a mean square error of 0.01 it is 20 dB, in parts too", () => {
    const [sums, part, both] = [new RegressionSums(), new RegressionSums(), new RegressionSums()];
    sums.add(floats([1, 1, 2, 2], 0, 1, 0.5, 0.25), floats([1, 1, 2, 2], 0.1, 0.9, 0.6, 0.15));
    expect(sums.metrics()?.psnr).toBeCloseTo(20, 5);
    part.add(floats([1, 1, 1, 2], 1, 1), floats([1, 1, 1, 2], 1, 1));
    expect(part.metrics()?.psnr).toBeNull();
    both.sums = sums.sums.map((each, at) => each + (part.sums[at] ?? Number.NaN));
    expect(both.metrics()?.psnr).toBeCloseTo(20 + 10 * Math.log10(6 / 4), 5);
    both.add(floats([1, 1, 1, 1], 1.5), floats([1, 1, 1, 1], 1));
    expect(both.metrics()?.psnr).toBeNull();
    part.add(floats([2], 0, 1), floats([2], 0.5, 1));
    expect(part.metrics()?.psnr).toBeNull();
  });

  it("have no R2 where all targets are the same, and nothing of nothing", () => {
    const sums = new RegressionSums();
    expect(sums.metrics()).toBeNull();
    sums.add(floats([2], 1, 1), floats([2], 1, 2));
    expect(sums.metrics()?.r2).toBeNull();
  });
});
