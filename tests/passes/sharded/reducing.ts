import { attribute, DataType } from "../../../src/entries/graph.ts";
import type { SmallStep } from "../../support/small-steps.ts";
import { averaged, BATCH, casesOf, columns, counted, type RuleCase, samples, stretches, summed } from "./case.ts";

const flat = attribute.int("keepdims", 0);
const axis = (number: number) => attribute.int("axis", number);

/** Over axes that are an input, as from opset 18 on all have them. */
const over =
  (op: string, ...axes: readonly number[]) =>
  (s: SmallStep) =>
    s.op(op, [s.fed([BATCH, 3, 4], [0.1, 2]), s.ints(...axes)]);

/** Of a sum of parts nothing is known of its own numbers. */
const byItself = (op: string): readonly RuleCase[] =>
  casesOf(
    op,
    ["each sample", "axis 0", over(op, 1, -1)],
    ["over the batch", "refused", over(op, 0)],
    [
      "axes that are an attribute",
      "axis 0",
      (s) => s.op(op, [s.fed([BATCH, 3], [0.1, 2])], attribute.ints("axes", [-1])),
      {
        opset: 12,
      },
    ],
    ["a sum", "left out", (s) => s.op(op, [summed(s)])],
  );

const ARGUMENTS = ["ArgMax", "ArgMin"].flatMap((op) =>
  casesOf(
    op,
    ["of a sample", "axis 0", (s) => s.op(op, [samples(s, 4)], axis(-1))],
    ["of a sample, without the axis", "axis 0", (s) => s.op(op, [columns(s)], axis(0), flat)],
    ["of the batch", "refused", (s) => s.op(op, [samples(s, 4)])],
    ["of the batch, the last axis", "refused", (s) => s.op(op, [columns(s)], axis(-1))],
    ["of a sum", "left out", (s) => s.op(op, [summed(s)])],
  ),
);

const sizes = ["ReduceL1", "ReduceSumSquare"].flatMap((op) =>
  casesOf(
    op,
    ["each sample", "axis 0", over(op, 1, -1)],
    ["the batch", "sum", over(op, 0)],
    ["all", "sum", (s) => s.op(op, [samples(s, 3, 4)], flat)],
    ["a sum", "left out", (s) => s.op(op, [summed(s)])],
    ["whole numbers", "sum", (s) => s.op(op, [s.places([BATCH, 5], 9)])],
  ),
);

export const REDUCING_CASES: readonly RuleCase[] = [
  ...sizes,
  ...["ReduceLogSum", "ReduceLogSumExp", "ReduceL2", "ReduceMax", "ReduceMin", "ReduceProd"].flatMap(byItself),
  ...ARGUMENTS,
  ...casesOf(
    "ReduceSum",
    ["all", "sum", (s) => s.op("ReduceSum", [samples(s, 3, 4)], flat)],
    ["the batch", "sum", over("ReduceSum", 0)],
    ["the batch and others", "sum", over("ReduceSum", -3, 2)],
    ["each sample", "axis 0", over("ReduceSum", 1)],
    ["an axis before, which goes", "axis 0", (s) => s.op("ReduceSum", [columns(s), s.ints(0)], flat)],
    ["an axis before, which stays", "axis 1", (s) => s.op("ReduceSum", [columns(s), s.ints(-2)])],
    ["stretches", "sum", (s) => s.op("ReduceSum", [stretches(s)])],
    ["nothing", "refused", (s) => s.op("ReduceSum", [samples(s, 4)], attribute.int("noop_with_empty_axes", 1))],
    ["no axes", "sum", (s) => s.op("ReduceSum", [samples(s, 4), s.ints()])],
    [
      "axes that are an attribute",
      "sum",
      (s) => s.op("ReduceSum", [samples(s, 4)], attribute.ints("axes", [0])),
      { opset: 12 },
    ],
    [
      "axes that are computed",
      "refused",
      (s) =>
        s.op("ReduceSum", [samples(s, 4), s.op("Cast", [s.state([1], [0, 0.5])], attribute.int("to", DataType.int64))]),
    ],
    ["a sum", "sum", (s) => s.op("ReduceSum", [summed(s), s.ints(1)])],
    ["a mean", "mean", (s) => s.op("ReduceSum", [averaged(s)], flat)],
    ["whole numbers", "sum", (s) => s.op("ReduceSum", [s.places([BATCH, 5], 9)])],
  ),
  ...casesOf(
    "ReduceMean",
    ["all", "mean", (s) => s.op("ReduceMean", [samples(s, 3, 4)], flat)],
    ["the batch", "mean", over("ReduceMean", 0)],
    ["each sample", "axis 0", over("ReduceMean", 2, 1)],
    ["stretches", "mean", (s) => s.op("ReduceMean", [stretches(s)])],
    ["a sum", "sum", (s) => s.op("ReduceMean", [summed(s), s.ints(0)])],
    [
      "axes that are an attribute",
      "mean",
      (s) => s.op("ReduceMean", [samples(s, 4)], attribute.ints("axes", [0])),
      { opset: 17 },
    ],
    [
      "whole numbers, which are rounded",
      "refused",
      (s) =>
        s.op("ReduceMean", [s.op("Cast", [s.places([BATCH, 5], 9)], attribute.int("to", DataType.int32)), s.ints(0)]),
    ],
    ["a sum of whole numbers", "left out", (s) => s.op("ReduceMean", [counted(s), s.ints(0)])],
  ),
];
