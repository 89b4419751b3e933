import { attribute, DataType, GraphTensor } from "../../../src/entries/graph.ts";
import type { SmallStep } from "../../support/small-steps.ts";
import { averaged, BATCH, casesOf, columns, type RuleCase, samples, stretches, summed } from "./case.ts";

const axis = (number: number) => attribute.int("axis", number);
const ints = (name: string, ...numbers: readonly number[]) => attribute.ints(name, numbers);
const mode = (name: string) => attribute.string("mode", name);
const scales = (s: SmallStep, ...numbers: readonly number[]) =>
  s.constant(GraphTensor.floats([numbers.length], numbers));
const number = (s: SmallStep, of: number) =>
  s.constant(GraphTensor.from(DataType.int64, [], BigInt64Array.of(BigInt(of))));
const second = (names: readonly string[]): string => names[1] ?? "";

export const ARRANGING_CASES: readonly RuleCase[] = [
  ...casesOf(
    "Reshape",
    ["rows", "axis 0", (s) => s.op("Reshape", [samples(s, 3, 4), s.ints(BATCH * 3, 4)])],
    ["a size that is told by the others", "axis 0", (s) => s.op("Reshape", [samples(s, 3, 4), s.ints(0, -1)])],
    ["rows of the last axis", "axis 0", (s) => s.op("Reshape", [samples(s, 12), s.ints(-1, 3)])],
    ["rows taken apart", "axis 0", (s) => s.op("Reshape", [samples(s, 4), s.ints(3, 2, 4)]), { counts: [3] }],
    [
      "rows taken apart into fewer than parts",
      "refused",
      (s) => s.op("Reshape", [samples(s, 4), s.ints(3, 2, 4)]),
      { counts: [2, 6] },
    ],
    ["an axis of one before", "axis 1", (s) => s.op("Reshape", [samples(s, 4), s.ints(1, BATCH, 4)])],
    ["all in one", "axis 0", (s) => s.op("Reshape", [samples(s, 4), s.ints(-1)])],
    ["columns in one", "axis 0 in 4", stretches],
    ["stretches taken apart", "axis 1", (s) => s.op("Reshape", [stretches(s), s.ints(4, BATCH)])],
    ["stretches partly taken apart", "axis 1 in 2", (s) => s.op("Reshape", [stretches(s), s.ints(2, 12)])],
    ["stretches taken apart another way", "refused", (s) => s.op("Reshape", [stretches(s), s.ints(3, 8)])],
    [
      "columns behind rows",
      "axis 0 in 4",
      (s) => s.op("Reshape", [s.op("Transpose", [samples(s, 4, 2)], ints("perm", 1, 0, 2)), s.ints(24, 2)]),
    ],
    [
      "sizes of nought",
      "refused",
      (s) => s.op("Reshape", [samples(s, 0), s.ints(0, BATCH)], attribute.int("allowzero", 1)),
    ],
    ["a sum", "sum", (s) => s.op("Reshape", [summed(s), s.ints(-1, 2)])],
    ["a mean", "mean", (s) => s.op("Reshape", [averaged(s), s.ints(5)])],
  ),
  ...casesOf(
    "Flatten",
    ["samples", "axis 0", (s) => s.op("Flatten", [samples(s, 3, 4)])],
    ["rows", "axis 0", (s) => s.op("Flatten", [samples(s, 3, 4)], axis(-1))],
    ["all", "axis 1", (s) => s.op("Flatten", [samples(s, 4)], axis(0))],
    ["columns", "axis 1", (s) => s.op("Flatten", [columns(s)])],
    ["columns and rows", "axis 0 in 4", (s) => s.op("Flatten", [columns(s)], axis(2))],
    ["a sum", "sum", (s) => s.op("Flatten", [summed(s)], axis(0))],
  ),
  ...casesOf(
    "Squeeze",
    ["axes", "axis 0", (s) => s.op("Squeeze", [samples(s, 1, 4), s.ints(-2)])],
    ["an axis before", "axis 0", (s) => s.op("Squeeze", [s.op("Transpose", [samples(s, 1)]), s.ints(0)])],
    ["all axes of one", "refused", (s) => s.op("Squeeze", [samples(s, 1, 4)])],
    [
      "axes that are an attribute",
      "axis 0",
      (s) => s.op("Squeeze", [samples(s, 1, 4)], ints("axes", 1)),
      { opset: 12 },
    ],
    ["a mean", "mean", (s) => s.op("Squeeze", [averaged(s), s.ints(0)])],
  ),
  ...casesOf(
    "Unsqueeze",
    ["before", "axis 1", (s) => s.op("Unsqueeze", [samples(s, 4), s.ints(0)])],
    ["before and behind", "axis 1", (s) => s.op("Unsqueeze", [samples(s, 4), s.ints(0, -1)])],
    ["an attribute", "axis 0", (s) => s.op("Unsqueeze", [samples(s, 4)], ints("axes", 1)), { opset: 12 }],
    ["a sum", "sum", (s) => s.op("Unsqueeze", [summed(s), s.ints(1)])],
  ),
  ...casesOf(
    "Transpose",
    ["turned round", "axis 2", (s) => s.op("Transpose", [samples(s, 3, 4)])],
    ["by an order", "axis 1", (s) => s.op("Transpose", [samples(s, 3, 4)], ints("perm", 2, 0, 1))],
    [
      "stretches",
      "axis 1 in 2",
      (s) => s.op("Transpose", [s.op("Reshape", [stretches(s), s.ints(2, 12)])], ints("perm", 0, 1)),
    ],
    ["a sum", "sum", (s) => s.op("Transpose", [summed(s)])],
  ),
  ...casesOf(
    "Expand",
    ["another axis", "axis 0", (s) => s.op("Expand", [samples(s, 1, 4), s.ints(BATCH, 3, 4)])],
    ["an axis before", "axis 1", (s) => s.op("Expand", [samples(s, 4), s.ints(3, BATCH, 4)])],
    ["to fewer axes", "axis 0", (s) => s.op("Expand", [samples(s, 1, 4), s.ints(3, 1)])],
    ["to one where the batch is", "axis 0", (s) => s.op("Expand", [samples(s, 1), s.ints(1, 4)])],
    ["a sum", "sum", (s) => s.op("Expand", [summed(s), s.ints(2, 1, 1)])],
    ["a mean to the size of the batch", "mean", (s) => s.op("Expand", [averaged(s), s.ints(BATCH, 5)])],
  ),
  ...casesOf(
    "Concat",
    ["columns", "axis 0", (s) => s.op("Concat", [samples(s, 4), samples(s, 2)], axis(-1))],
    ["equal numbers", "axis 0", (s) => s.op("Concat", [samples(s, 4), s.filled([BATCH, 1], 1)], axis(1))],
    ["a token that all have", "refused", (s) => s.op("Concat", [s.state([BATCH, 1, 4]), samples(s, 2, 4)], axis(1))],
    [
      "a token that is spread over samples",
      "axis 0",
      (s) => s.op("Concat", [s.op("Expand", [s.state([1, 1, 4]), s.ints(BATCH, 1, 4)]), samples(s, 2, 4)], axis(1)),
    ],
    ["batches", "axis 0 in 2", (s) => s.op("Concat", [samples(s, 4), samples(s, 4)], axis(0))],
    ["batches of stretches", "axis 0 in 8", (s) => s.op("Concat", [stretches(s), stretches(s)], axis(0))],
    [
      "batches of two sizes",
      "refused",
      (s) => s.op("Concat", [samples(s, 4), s.op("Reshape", [samples(s, 8), s.ints(12, 4)])], axis(0)),
    ],
    [
      "pieces of two axes",
      "refused",
      (s) => s.op("Concat", [s.fed([BATCH, BATCH]), s.op("Transpose", [s.fed([BATCH, BATCH])])], axis(0)),
    ],
    ["sums", "sum", (s) => s.op("Concat", [summed(s), summed(s)], axis(0))],
    ["a sum and what all have", "left out", (s) => s.op("Concat", [summed(s), s.state([4, 5])], axis(0))],
    ["a sum and a mean", "left out", (s) => s.op("Concat", [summed(s), averaged(s)], axis(0))],
  ),
  ...casesOf(
    "Split",
    ["columns", "axis 0", (s) => second(s.ops("Split", [samples(s, 5), s.ints(2, 3)], 2, axis(1)))],
    [
      "columns of one size",
      "axis 0",
      (s) => second(s.ops("Split", [samples(s, 4)], 2, axis(-1), attribute.int("num_outputs", 2))),
    ],
    [
      "columns of sizes that are an attribute",
      "axis 0",
      (s) => second(s.ops("Split", [samples(s, 5)], 2, axis(1), ints("split", 2, 3))),
      { opset: 12 },
    ],
    ["the batch", "refused", (s) => second(s.ops("Split", [samples(s, 5), s.ints(2, 4)], 2))],
    [
      "the batch in halves",
      "refused",
      (s) => second(s.ops("Split", [samples(s, 5)], 2, attribute.int("num_outputs", 2))),
    ],
    [
      "batches",
      "axis 0",
      (s) => second(s.ops("Split", [s.op("Concat", [samples(s, 4), samples(s, 4)], axis(0)), s.ints(BATCH, BATCH)], 2)),
    ],
    [
      "batches, in halves",
      "axis 0",
      (s) =>
        second(
          s.ops("Split", [s.op("Concat", [samples(s, 4), samples(s, 4)], axis(0))], 2, attribute.int("num_outputs", 2)),
        ),
    ],
    ["stretches", "axis 0 in 2", (s) => second(s.ops("Split", [stretches(s), s.ints(12, 12)], 2))],
    ["stretches of two sizes", "refused", (s) => second(s.ops("Split", [stretches(s), s.ints(BATCH, 18)], 2))],
    ["a sum", "sum", (s) => second(s.ops("Split", [summed(s), s.ints(1, 4)], 2, axis(1)))],
  ),
  ...casesOf(
    "Slice",
    ["columns", "axis 0", (s) => s.op("Slice", [samples(s, 5), s.ints(-1), s.ints(-6), s.ints(-1), s.ints(-2)])],
    ["the batch", "refused", (s) => s.op("Slice", [samples(s, 5), s.ints(1), s.ints(3)])],
    [
      "columns, and all of the batch",
      "axis 0",
      (s) => s.op("Slice", [samples(s, 5), s.ints(0, 1), s.ints(BATCH, 4), "", s.ints(1, 2)]),
    ],
    [
      "all of the batch up to the end of any",
      "axis 0",
      (s) => s.op("Slice", [samples(s, 5), s.ints(0), s.ints(2 ** 40), s.ints(-2)]),
    ],
    [
      "every second of the batch",
      "refused",
      (s) => s.op("Slice", [samples(s, 5), s.ints(0), s.ints(9), s.ints(0), s.ints(2)]),
    ],
    ["all but one of the batch", "refused", (s) => s.op("Slice", [samples(s, 5), s.ints(0), s.ints(-1)])],
    [
      "the batch turned round",
      "refused",
      (s) => s.op("Slice", [samples(s, 5), s.ints(-1), s.ints(-9), "", s.ints(-1)]),
    ],
    [
      "the batch and columns",
      "refused",
      (s) => s.op("Slice", [samples(s, 5), s.ints(0, 1), s.ints(3, 4), s.ints(0, 1)]),
    ],
    ["the batch, the last axis", "refused", (s) => s.op("Slice", [columns(s), s.ints(1), s.ints(3), s.ints(-1)])],
    [
      "places that are computed",
      "refused",
      (s) =>
        s.op("Slice", [
          columns(s),
          s.op("Cast", [s.state([1], [0, 0.5])], attribute.int("to", DataType.int64)),
          s.ints(3),
        ]),
    ],
    ["a sum", "sum", (s) => s.op("Slice", [summed(s), s.ints(1), s.ints(3)])],
  ),
  ...casesOf(
    "Pad",
    ["columns", "axis 0", (s) => s.op("Pad", [samples(s, 4), s.ints(0, 1, 0, 2), s.filled([], 7)])],
    [
      "columns, as they are at the border",
      "axis 0",
      (s) => s.op("Pad", [samples(s, 4), s.ints(0, 1, 0, 2)], mode("reflect")),
    ],
    ["columns that are named", "axis 0", (s) => s.op("Pad", [samples(s, 4), s.ints(1, 2), "", s.ints(-1)])],
    ["less of columns", "axis 0", (s) => s.op("Pad", [samples(s, 4), s.ints(0, -1, 0, 0)])],
    ["before the batch", "refused", (s) => s.op("Pad", [samples(s, 4), s.ints(1, 0, 0, 0)])],
    ["behind the batch", "refused", (s) => s.op("Pad", [samples(s, 4), s.ints(0, 0, 1, 0)])],
    ["the batch that is named", "refused", (s) => s.op("Pad", [samples(s, 4), s.ints(1, 1), "", s.ints(-2)])],
    ["a sum", "sum", (s) => s.op("Pad", [summed(s), s.ints(1, 0, 0, 1)])],
    ["a sum, with a number", "left out", (s) => s.op("Pad", [summed(s), s.ints(1, 0, 0, 1), s.filled([], 7)])],
    ["a sum, as it is at the border", "left out", (s) => s.op("Pad", [summed(s), s.ints(1, 0, 0, 1)], mode("edge"))],
  ),
  ...casesOf(
    "Tile",
    ["columns", "axis 0", (s) => s.op("Tile", [samples(s, 4), s.ints(1, 3)])],
    ["the batch", "refused", (s) => s.op("Tile", [samples(s, 4), s.ints(2, 1)])],
    ["a sum", "sum", (s) => s.op("Tile", [summed(s), s.ints(2, 3)])],
  ),
  ...casesOf(
    "Trilu",
    ["each sample", "axis 0", (s) => s.op("Trilu", [samples(s, 3, 4), number(s, 1)], attribute.int("upper", 0))],
    ["the batch", "refused", (s) => s.op("Trilu", [samples(s, 4)])],
    ["a sum", "sum", (s) => s.op("Trilu", [summed(s)])],
  ),
  ...casesOf(
    "CumSum",
    [
      "each sample",
      "axis 0",
      (s) => s.op("CumSum", [samples(s, 4), number(s, -1)], attribute.int("exclusive", 1), attribute.int("reverse", 1)),
    ],
    ["the batch", "refused", (s) => s.op("CumSum", [samples(s, 4), number(s, -2)])],
    ["a sum", "sum", (s) => s.op("CumSum", [summed(s), number(s, 0)])],
  ),
  ...["DepthToSpace", "SpaceToDepth"].flatMap((op) =>
    casesOf(
      op,
      ["samples", "axis 0", (s) => s.op(op, [samples(s, 8, 4, 2)], attribute.int("blocksize", 2))],
      [
        "channels",
        "refused",
        (s) =>
          s.op(op, [s.op("Transpose", [samples(s, 2, 4, 4)], ints("perm", 1, 0, 2, 3))], attribute.int("blocksize", 1)),
        { counts: [2] },
      ],
    ),
  ),
  ...casesOf(
    "Resize",
    ["by scales", "axis 0", (s) => s.op("Resize", [samples(s, 2, 3, 4), "", scales(s, 1, 1, 2, 1.5)])],
    [
      "by sizes",
      "axis 0",
      (s) => s.op("Resize", [samples(s, 2, 3, 4), "", "", s.ints(BATCH, 2, 5, 7)], mode("linear")),
    ],
    [
      "of axes that are named",
      "refused",
      (s) => s.op("Resize", [samples(s, 2, 3, 4), "", "", s.ints(5, 7)], ints("axes", 2, 3)),
    ],
    [
      "in one ratio with the batch",
      "refused",
      (s) =>
        s.op(
          "Resize",
          [samples(s, 2, 4, 5), "", "", s.ints(BATCH, 2, 9, 7)],
          attribute.string("keep_aspect_ratio_policy", "not_smaller"),
        ),
    ],
    [
      "the batch, to its own size by another scale",
      "refused",
      (s) => s.op("Resize", [samples(s, 4), "", scales(s, 1.15, 2)], mode("linear")),
    ],
    ["the batch, by scales", "refused", (s) => s.op("Resize", [samples(s, 4), "", scales(s, 2, 1)])],
    ["the batch, by sizes", "refused", (s) => s.op("Resize", [samples(s, 4), "", "", s.ints(3, 4)])],
    ["scales that are computed", "refused", (s) => s.op("Resize", [samples(s, 4), "", s.state([2], [1, 1])])],
    [
      "a part that is cut out",
      "refused",
      (s) =>
        s.op(
          "Resize",
          [samples(s, 4), scales(s, 0.2, 0, 1, 1), "", s.ints(BATCH, 8)],
          mode("linear"),
          attribute.string("coordinate_transformation_mode", "tf_crop_and_resize"),
        ),
    ],
  ),
];
