import { attribute } from "../../../src/entries/graph.ts";
import type { SmallStep } from "../../support/small-steps.ts";
import { BATCH, casesOf, columns, type RuleCase, samples, summed } from "./case.ts";

const axis = (number: number) => attribute.int("axis", number);
const reduction = (kind: string) => attribute.string("reduction", kind);
const zeros = (s: SmallStep, ...shape: readonly number[]): string => s.op("ConstantOfShape", [s.ints(...shape)]);

export const SELECTING_CASES: readonly RuleCase[] = [
  ...casesOf(
    "Gather",
    ["rows of a table", "axis 0", (s) => s.op("Gather", [s.state([9, 4]), s.places([BATCH, 3], 9)])],
    ["columns of a table", "axis 1", (s) => s.op("Gather", [s.state([4, 9]), s.places([BATCH], 9)], axis(-1))],
    ["entries of each sample", "axis 0", (s) => s.op("Gather", [samples(s, 5), s.ints(0, 3, -1)], axis(1))],
    [
      "one entry of an axis before",
      "axis 0",
      (s) => s.op("Gather", [columns(s), s.op("Squeeze", [s.ints(2), s.ints(0)])]),
    ],
    [
      "a table of entries of an axis before",
      "axis 2",
      (s) => s.op("Gather", [columns(s), s.op("Reshape", [s.ints(2, 0, 3, 1), s.ints(2, 2)])]),
    ],
    ["samples", "refused", (s) => s.op("Gather", [samples(s, 5), s.ints(0, 3)])],
    ["samples by places of samples", "refused", (s) => s.op("Gather", [samples(s, 5), s.places([BATCH], BATCH)])],
    [
      "each sample's by places of samples",
      "refused",
      (s) => s.op("Gather", [samples(s, 5), s.places([BATCH], 5)], axis(1)),
    ],
    ["a sum", "sum", (s) => s.op("Gather", [summed(s), s.ints(2, 2)])],
    ["a sum by places of samples", "refused", (s) => s.op("Gather", [summed(s), s.places([BATCH], 4)])],
  ),
  ...casesOf(
    "GatherElements",
    [
      "an entry of each sample",
      "axis 0",
      (s) => s.op("GatherElements", [samples(s, 5), s.places([BATCH, 1], 5)], axis(1)),
    ],
    ["of columns", "axis 1", (s) => s.op("GatherElements", [columns(s), s.op("Transpose", [s.places([BATCH, 2], 4)])])],
    ["samples", "refused", (s) => s.op("GatherElements", [samples(s, 5), s.places([BATCH, 5], BATCH)])],
    [
      "a table that all have",
      "refused",
      (s) => s.op("GatherElements", [s.state([BATCH, 5]), s.places([BATCH, 1], 5)], axis(1)),
    ],
    [
      "the first of more rows",
      "refused",
      (s) =>
        s.op(
          "GatherElements",
          [s.op("Concat", [samples(s, 5), samples(s, 5)], axis(0)), s.places([BATCH, 1], 5)],
          axis(1),
        ),
    ],
    [
      "a sum",
      "left out",
      (s) => s.op("GatherElements", [summed(s), s.op("Reshape", [s.ints(2, 0, 3, 1, 1), s.ints(1, 5)])]),
    ],
  ),
  ...casesOf(
    "ScatterElements",
    [
      "entries of each sample",
      "axis 0",
      (s) =>
        s.op("ScatterElements", [samples(s, 5), s.places([BATCH, 2], 5), samples(s, 2)], axis(1), reduction("add")),
    ],
    [
      "entries of each sample, one replaced",
      "axis 0",
      (s) => s.op("ScatterElements", [samples(s, 5), s.places([BATCH, 1], 5), samples(s, 1)], axis(-1)),
    ],
    [
      "into zeros of each sample",
      "axis 0",
      (s) => s.op("ScatterElements", [zeros(s, BATCH, 5), s.places([BATCH, 1], 5), s.filled([BATCH, 1], 2)], axis(1)),
    ],
    [
      "into what all have",
      "refused",
      (s) => s.op("ScatterElements", [s.state([BATCH, 5]), s.places([BATCH, 1], 5), samples(s, 1)], axis(1)),
    ],
    [
      "added to zeros",
      "sum",
      (s) =>
        s.op("ScatterElements", [zeros(s, 9, 2), s.places([BATCH, 2], 9), samples(s, 2)], axis(0), reduction("add")),
    ],
    [
      "equal numbers added to zeros",
      "sum",
      (s) =>
        s.op(
          "ScatterElements",
          [s.op("Expand", [zeros(s, 1), s.ints(9, 2)]), s.places([BATCH, 2], 9), s.filled([BATCH, 2], 3)],
          reduction("add"),
        ),
    ],
    [
      "added to what all have",
      "refused",
      (s) => s.op("ScatterElements", [s.state([9, 2]), s.places([BATCH, 2], 9), samples(s, 2)], reduction("add")),
    ],
    [
      "added to ones",
      "refused",
      (s) => s.op("ScatterElements", [s.filled([9, 2], 1), s.places([BATCH, 2], 9), samples(s, 2)], reduction("add")),
    ],
    [
      "the largest",
      "refused",
      (s) => s.op("ScatterElements", [zeros(s, 9, 2), s.places([BATCH, 2], 9), samples(s, 2)], reduction("max")),
    ],
    [
      "replaced",
      "refused",
      (s) =>
        s.op("ScatterElements", [zeros(s, 9, 2), s.op("Add", [s.places([BATCH, 2], 1), s.ints(1)]), samples(s, 2)]),
    ],
    [
      "into the first of more rows",
      "refused",
      (s) => s.op("ScatterElements", [zeros(s, 12, 5), s.places([BATCH, 1], 5), samples(s, 1)], axis(1)),
    ],
    [
      "numbers that all have",
      "refused",
      (s) => s.op("ScatterElements", [zeros(s, 9, 2), s.places([BATCH, 2], 9), s.state([BATCH, 2])], reduction("add")),
    ],
  ),
  ...casesOf(
    "GatherElements",
    [
      "one entry of each sample, the same of all",
      "axis 0",
      (s) => s.op("GatherElements", [samples(s, 5), s.op("Expand", [s.ints(3), s.ints(BATCH, 1)])], axis(1)),
    ],
    [
      "one entry of each sample, that all parts know",
      "refused",
      (s) =>
        s.op("GatherElements", [samples(s, 5), s.op("Reshape", [s.ints(0, 1, 2, 3, 4, 0), s.ints(BATCH, 1)])], axis(1)),
    ],
  ),
  ...casesOf(
    "ScatterElements",
    [
      "rows of a sequence into zeros",
      "axis 1",
      (s) =>
        s.op(
          "ScatterElements",
          [zeros(s, 5, BATCH), s.op("Expand", [s.ints(-1), s.ints(1, BATCH)]), s.fed([BATCH, 1])].map((each, index) =>
            index === 2 ? s.op("Transpose", [each]) : each,
          ),
          reduction("add"),
        ),
    ],
    [
      "rows of a sequence at places of each sample that all parts know",
      "refused",
      (s) =>
        s.op(
          "ScatterElements",
          [
            zeros(s, 5, BATCH),
            s.op("Reshape", [s.ints(0, 1, 2, 3, 4, 0), s.ints(1, BATCH)]),
            s.op("Transpose", [s.fed([BATCH, 1])]),
          ],
          reduction("add"),
        ),
    ],
    [
      "samples added at one place",
      "sum",
      (s) =>
        s.op(
          "ScatterElements",
          [zeros(s, 5), s.op("Expand", [s.ints(2), s.ints(BATCH)]), samples(s)],
          reduction("add"),
        ),
    ],
    [
      "samples added at places that all parts know",
      "refused",
      (s) => s.op("ScatterElements", [zeros(s, 5), s.ints(0, 1, 2, 3, 4, 0), samples(s)], reduction("add")),
    ],
  ),
  ...casesOf(
    "ScatterND",
    [
      "rows added to zeros",
      "sum",
      (s) => s.op("ScatterND", [zeros(s, 9, 4), s.places([BATCH, 1], 9), samples(s, 4)], reduction("add")),
    ],
    [
      "rows of steps added to zeros",
      "sum",
      (s) =>
        s.op(
          "ScatterND",
          [
            zeros(s, 9, 4),
            s.op("Transpose", [s.places([BATCH, 3, 1], 9)], attribute.ints("perm", [1, 0, 2])),
            s.op("Transpose", [samples(s, 3, 4)], attribute.ints("perm", [1, 0, 2])),
          ],
          reduction("add"),
        ),
    ],
    [
      "rows added to what all have",
      "refused",
      (s) => s.op("ScatterND", [s.state([9, 4]), s.places([BATCH, 1], 9), samples(s, 4)], reduction("add")),
    ],
    ["rows replaced", "refused", (s) => s.op("ScatterND", [zeros(s, 9, 4), s.places([BATCH, 1], 9), samples(s, 4)])],
    [
      "rows multiplied",
      "refused",
      (s) => s.op("ScatterND", [zeros(s, 9, 4), s.places([BATCH, 1], 9), samples(s, 4)], reduction("mul")),
    ],
    [
      "places as long as the batch",
      "refused",
      (s) =>
        s.op(
          "ScatterND",
          [
            s.op("Reshape", [zeros(s, 64), s.ints(2, 2, 2, 2, 2, 2)]),
            s.op("Transpose", [s.places([BATCH, 3], 2)]),
            s.fed([3]),
          ],
          reduction("add"),
        ),
    ],
  ),
];
