import { attribute } from "../../../src/entries/graph.ts";
import type { SmallStep } from "../../support/small-steps.ts";
import { averaged, BATCH, casesOf, columns, type RuleCase, samples, stretches, summed } from "./case.ts";

const transA = attribute.int("transA", 1);
const transB = attribute.int("transB", 1);

/** [3, 6, 4] and [3, 4, 6], in pieces of the axis of six. */
const planes = (s: SmallStep): string => s.op("Transpose", [samples(s, 3, 4)], attribute.ints("perm", [1, 0, 2]));
const turned = (s: SmallStep): string => s.op("Transpose", [samples(s, 3, 4)], attribute.ints("perm", [1, 2, 0]));

const MATRICES = casesOf(
  "MatMul",
  ["rows", "axis 0", (s) => s.op("MatMul", [samples(s, 4), s.state([4, 3])])],
  ["columns", "axis 1", (s) => s.op("MatMul", [s.state([3, 4]), columns(s)])],
  ["over pieces", "sum", (s) => s.op("MatMul", [columns(s), samples(s, 5)])],
  ["over pieces of planes", "sum", (s) => s.op("MatMul", [turned(s), planes(s)])],
  ["rows by columns", "refused", (s) => s.op("MatMul", [samples(s, 4), columns(s)])],
  ["over pieces of one alone", "refused", (s) => s.op("MatMul", [columns(s), s.state([BATCH, 5])])],
  ["over pieces of the other alone", "refused", (s) => s.op("MatMul", [s.state([4, BATCH]), samples(s, 5)])],
  ["a product per sample", "axis 0", (s) => s.op("MatMul", [samples(s, 3, 4), samples(s, 4, 2)])],
  ["a product per sample with one for all", "axis 0", (s) => s.op("MatMul", [samples(s, 3, 4), s.state([4, 2])])],
  ["one for all with a product per sample", "axis 0", (s) => s.op("MatMul", [s.state([1, 3, 4]), samples(s, 4, 2)])],
  ["a product per sample and head", "axis 0", (s) => s.op("MatMul", [samples(s, 1, 3, 4), s.state([2, 4, 5])])],
  ["heads of all before rows of samples", "axis 1", (s) => s.op("MatMul", [samples(s, 4), s.state([2, 4, 5])])],
  ["planes by heads, each with its rows", "axis 1", (s) => s.op("MatMul", [planes(s), s.state([3, 4, 5])])],
  [
    "a product per sample with numbers for all",
    "refused",
    (s) => s.op("MatMul", [samples(s, 3, 4), s.state([BATCH, 4, 2])]),
  ],
  [
    "a product per sample with equal numbers",
    "axis 0",
    (s) => s.op("MatMul", [samples(s, 3, 4), s.filled([BATCH, 4, 2], 0.5)]),
  ],
  ["per sample by rows", "refused", (s) => s.op("MatMul", [samples(s, 3, 4), s.op("Transpose", [samples(s, 4)])])],
  ["a vector", "refused", (s) => s.op("MatMul", [samples(s, 4), s.state([4])])],
  [
    "stretches",
    "sum",
    (s) =>
      s.op("MatMul", [s.op("Reshape", [stretches(s), s.ints(1, 24)]), s.op("Reshape", [stretches(s), s.ints(24, 1)])]),
  ],
  [
    "stretches by pieces",
    "refused",
    (s) => s.op("MatMul", [s.op("Reshape", [stretches(s), s.ints(1, 24)]), s.fed([24, 1])]),
  ],
  ["a sum", "sum", (s) => s.op("MatMul", [summed(s), s.state([5, 2])])],
  ["a mean", "mean", (s) => s.op("MatMul", [s.state([2, 1]), averaged(s)])],
  ["sums", "left out", (s) => s.op("MatMul", [summed(s), s.op("Transpose", [summed(s)])])],
  ["a sum and pieces", "refused", (s) => s.op("MatMul", [samples(s, 4), summed(s)])],
);

const WITH_ADDEND = casesOf(
  "Gemm",
  [
    "rows",
    "axis 0",
    (s) =>
      s.op(
        "Gemm",
        [samples(s, 4), s.state([3, 4]), s.state([3])],
        transB,
        attribute.float("alpha", 0.5),
        attribute.float("beta", 2),
      ),
  ],
  ["rows, turned", "axis 0", (s) => s.op("Gemm", [columns(s), s.state([4, 3]), s.state([1, 3])], transA)],
  ["columns", "axis 1", (s) => s.op("Gemm", [s.state([3, 4]), samples(s, 4), s.state([3, 1])], transB)],
  ["over pieces", "sum", (s) => s.op("Gemm", [samples(s, 4), samples(s, 5)], transA, attribute.float("alpha", 3))],
  [
    "over pieces, both turned",
    "sum",
    (s) => s.op("Gemm", [samples(s, 4), s.op("Transpose", [samples(s, 5)])], transA, transB),
  ],
  [
    "over pieces and something added",
    "refused",
    (s) => s.op("Gemm", [samples(s, 4), samples(s, 5), s.state([5])], transA),
  ],
  ["over pieces of one alone", "refused", (s) => s.op("Gemm", [samples(s, 4), s.state([BATCH, 5])], transA)],
  ["pieces are added", "axis 0", (s) => s.op("Gemm", [samples(s, 4), s.state([4, 3]), samples(s, 3)])],
  ["a number per sample is added", "axis 0", (s) => s.op("Gemm", [samples(s, 4), s.state([4, 3]), samples(s, 1)])],
  [
    "a number per sample is added to each column",
    "axis 1",
    (s) => s.op("Gemm", [s.state([3, 4]), columns(s), samples(s)]),
  ],
  [
    "pieces are added to what all have",
    "refused",
    (s) => s.op("Gemm", [s.state([BATCH, 4]), s.state([4, 3]), samples(s, 3)]),
  ],
  ["numbers of all are added", "refused", (s) => s.op("Gemm", [samples(s, 4), s.state([4, 3]), s.state([BATCH, 1])])],
  ["equal numbers are added", "axis 0", (s) => s.op("Gemm", [samples(s, 4), s.state([4, 3]), s.filled([BATCH, 3], 2)])],
  ["a number is added", "axis 0", (s) => s.op("Gemm", [samples(s, 4), s.state([4, 3]), s.state([])])],
  [
    "pieces of columns are added to rows",
    "refused",
    (s) => s.op("Gemm", [s.fed([BATCH, 4]), s.state([4, BATCH]), samples(s)]),
  ],
  ["rows and columns", "refused", (s) => s.op("Gemm", [samples(s, 4), samples(s, 4)], transB)],
  ["a sum", "sum", (s) => s.op("Gemm", [summed(s), s.state([5, 2])])],
  ["a sum with something added", "left out", (s) => s.op("Gemm", [summed(s), s.state([5, 2]), s.state([2])])],
  ["a sum is added", "left out", (s) => s.op("Gemm", [s.state([4, 3]), s.state([3, 5]), summed(s)])],
);

/** [4, 6, 5], in pieces of its channels, or what are kernels' depth. */
const deep = (s: SmallStep, ...shape: readonly number[]): string =>
  s.op("Transpose", [samples(s, ...shape)], attribute.ints("perm", [1, 0, ...shape.slice(1).map((_, at) => at + 2)]));
/** [4, 24, 5], in pieces of each of four stretches of its channels. */
const deepGroups = (s: SmallStep): string => {
  const turned = s.op("Transpose", [samples(s, 4, 4, 5)], attribute.ints("perm", [2, 1, 0, 3]));
  return s.op("Reshape", [turned, s.ints(4, 24, 5)]);
};

const group = (number: number) => attribute.int("group", number);

const convolutions = (op: "Conv" | "ConvTranspose"): readonly RuleCase[] => {
  const isTurned = op === "ConvTranspose";
  const kernels = (from: number, to: number, ...size: readonly number[]) => [
    ...(isTurned ? [from, to] : [to, from]),
    ...size,
  ];
  return casesOf(
    op,
    [
      "samples",
      "axis 0",
      (s) =>
        s.op(
          op,
          [samples(s, 2, 5, 4), s.state(kernels(2, 3, 3, 2)), s.state([3])],
          attribute.ints("strides", [2, 1]),
          attribute.ints("pads", [1, 0, 0, 1]),
        ),
    ],
    [
      "samples, pads by the operator's own rule",
      "axis 0",
      (s) =>
        s.op(
          op,
          [samples(s, 2, 5), s.state(kernels(2, 3, 3))],
          attribute.string("auto_pad", "SAME_UPPER"),
          attribute.ints("strides", [2]),
        ),
    ],
    [
      "samples in groups",
      "axis 0",
      (s) => s.op(op, [samples(s, 4, 5), s.state(isTurned ? [4, 3, 2] : [6, 2, 2]), s.state([6])], group(2)),
    ],
    ["kernels of each sample", "refused", (s) => s.op(op, [samples(s, BATCH, 5), samples(s, BATCH, 2)])],
    ["over channels", "sum", (s) => s.op(op, [deep(s, 4, 5), isTurned ? samples(s, 3, 2) : deep(s, 3, 2)])],
    ["over channels of one alone", "refused", (s) => s.op(op, [deep(s, 4, 5), s.state(kernels(BATCH, 3, 2))])],
    [
      "over channels, and something added",
      "refused",
      (s) => s.op(op, [deep(s, 4, 5), isTurned ? samples(s, 3, 2) : deep(s, 3, 2), s.state([3])]),
    ],
    [
      "a group per sample",
      "axis 1",
      (s) => s.op(op, [deep(s, 4, 5), isTurned ? samples(s, 2, 3) : samples(s, 1, 3)], group(BATCH)),
    ],
    [
      "groups of several samples",
      "axis 1",
      (s) => s.op(op, [deep(s, 4, 5), isTurned ? samples(s, 2, 3) : samples(s, 3, 3)], group(2)),
      { counts: [2] },
    ],
    [
      "fewer groups than parts",
      "refused",
      (s) => s.op(op, [deep(s, 4, 5), isTurned ? samples(s, 2, 3) : samples(s, 3, 3)], group(2)),
      { counts: [3, 6] },
    ],
    [
      "over the channels of each group",
      isTurned ? "refused" : "sum",
      (s) => s.op(op, [deepGroups(s), deep(s, 8, 3)], group(4)),
    ],
    [
      "places of the plane",
      "refused",
      (s) => s.op(op, [s.op("Transpose", [samples(s, 2, 3)]), s.state(kernels(2, 3, 1))]),
    ],
    [
      "a sum of samples",
      "sum",
      (s) => s.op(op, [s.op("Unsqueeze", [summed(s), s.ints(0)]), s.state(kernels(4, 3, 2))]),
    ],
    [
      "a sum of kernels",
      "sum",
      (s) => s.op(op, [s.state([2, isTurned ? 4 : 5, 3]), s.op("Unsqueeze", [summed(s), s.ints(2)])]),
    ],
    [
      "a sum and something added",
      "left out",
      (s) => s.op(op, [s.op("Unsqueeze", [summed(s), s.ints(0)]), s.state(kernels(4, 3, 2)), s.state([3])]),
    ],
  );
};

export const PRODUCT_CASES: readonly RuleCase[] = [
  ...MATRICES,
  ...WITH_ADDEND,
  ...convolutions("Conv"),
  ...convolutions("ConvTranspose"),
];
