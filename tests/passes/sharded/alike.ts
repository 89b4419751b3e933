import { attribute, DataType, GraphTensor } from "../../../src/entries/graph.ts";
import type { SmallStep } from "../../support/small-steps.ts";
import { BATCH, casesOf, type RuleCase, samples } from "./case.ts";

/** [6, 4] that every part has all of, whose rows are alike. */
const spread = (s: SmallStep): string => s.op("Expand", [s.state([1, 4]), s.ints(BATCH, 4)]);
const axis = (number: number) => attribute.int("axis", number);
const order = (...axes: readonly number[]) => attribute.ints("perm", axes);

/** Rows of one constant. */
const rows = (...numbers: readonly number[]): GraphTensor =>
  GraphTensor.floats([BATCH, numbers.length / BATCH], numbers);

const added = (what: string, lies: string, make: (s: SmallStep) => string): readonly RuleCase[] =>
  casesOf("Add", [what, lies, (s) => s.op("Add", [samples(s, 4), make(s)])]);

/** What all parts have and lies in pieces where its entries are equal along the axis of the batch, whatever the state is. */
export const ALIKE_CASES: readonly RuleCase[] = [
  ...added("rows that are spread", "axis 0", spread),
  ...added("rows that are spread and scaled", "axis 0", (s) => s.op("Mul", [spread(s), s.op("Exp", [s.state([4])])])),
  ...added("rows that are spread, and others", "refused", (s) => s.op("Mul", [spread(s), s.state([BATCH, 4])])),
  ...added("rows that are spread, with a number each", "refused", (s) => s.op("Mul", [spread(s), s.state([BATCH, 1])])),
  ...added("a constant of equal rows", "axis 0", (s) =>
    s.constant(rows(...Array.from({ length: BATCH * 4 }, (_, at) => at % 4))),
  ),
  ...added("a constant of rows, the last of which is another", "refused", (s) =>
    s.constant(rows(...Array.from({ length: BATCH * 4 }, (_, at) => (at === BATCH * 4 - 2 ? 9 : at % 4)))),
  ),
  ...added("a constant of equal columns", "refused", (s) =>
    s.constant(rows(...Array.from({ length: BATCH * 4 }, (_, at) => Math.floor(at / 4)))),
  ),
  ...added("entries of a table at places that are spread", "axis 0", (s) =>
    s.op("Gather", [s.state([9, 4]), s.op("Expand", [s.ints(7), s.ints(BATCH)])]),
  ),
  ...added("entries of a table at other places", "refused", (s) =>
    s.op("Gather", [s.state([9, 4]), s.ints(1, 1, 1, 1, 1, 2)]),
  ),
  ...added("entries of what is spread", "axis 0", (s) => s.op("Gather", [spread(s), s.ints(3, 0, 1, 1)], axis(1))),
  ...added("entries of a table in front of what is spread", "axis 0", (s) =>
    s.op("Squeeze", [s.op("Gather", [s.op("Unsqueeze", [spread(s), s.ints(0)]), s.ints(0)]), s.ints(0)]),
  ),
  ...added("turned twice", "axis 0", (s) =>
    s.op("Transpose", [s.op("Sin", [s.op("Transpose", [spread(s)])])], order(1, 0)),
  ),
  ...added("spread along the other axis", "refused", (s) =>
    s.op("Transpose", [s.op("Expand", [s.state([1, BATCH]), s.ints(4, BATCH)])]),
  ),
  ...added("reshaped with its axis as it was", "axis 0", (s) =>
    s.op("Reshape", [s.op("Reshape", [spread(s), s.ints(1, BATCH, 2, 2)]), s.ints(BATCH, 4)]),
  ),
  ...added("reshaped to other rows", "refused", (s) =>
    s.op("Reshape", [s.op("Expand", [s.state([1, 3]), s.ints(8, 3)]), s.ints(BATCH, 4)]),
  ),
  ...added("equal numbers, reshaped", "axis 0", (s) =>
    s.op("Reshape", [s.op("Expand", [s.state([1, 1]), s.ints(8, 3)]), s.ints(BATCH, 4)]),
  ),
  ...added("repeated", "axis 0", (s) => s.op("Tile", [s.state([1, 2]), s.ints(BATCH, 2)])),
  ...added("other rows, repeated", "refused", (s) => s.op("Tile", [s.state([3, 4]), s.ints(2, 1)])),
  ...added("a part of what is spread", "axis 0", (s) =>
    s.op("Slice", [s.op("Expand", [s.state([1, 9]), s.ints(8, 9)]), s.ints(1, 2), s.ints(7, 6)]),
  ),
  ...added("columns side by side", "axis 0", (s) =>
    s.op(
      "Concat",
      [
        s.op("Expand", [s.state([1, 1]), s.ints(BATCH, 1)]),
        s.op("Slice", [spread(s), s.ints(1), s.ints(4), s.ints(1)]),
      ],
      axis(-1),
    ),
  ),
  ...added("rows under each other", "refused", (s) =>
    s.op(
      "Concat",
      [s.op("Expand", [s.state([1, 4]), s.ints(3, 4)]), s.op("Expand", [s.state([1, 4]), s.ints(3, 4)])],
      axis(-2),
    ),
  ),
  ...added("sums of what is spread", "axis 0", (s) => s.op("ReduceSum", [spread(s), s.ints(1)])),
  ...added("sums of other rows", "refused", (s) => s.op("ReduceSum", [s.state([BATCH, 4]), s.ints(1)])),
  ...added("sums of what is spread, without their axis", "refused", (s) =>
    s.op(
      "ReduceSum",
      [s.op("Expand", [s.state([4, 1, 4]), s.ints(4, BATCH, 4)]), s.ints(1)],
      attribute.int("keepdims", 0),
    ),
  ),
  ...added("a choice between what is spread", "axis 0", (s) =>
    s.op("Where", [
      s.op("Cast", [s.state([4])], attribute.int("to", DataType.bool)),
      spread(s),
      s.op("Neg", [spread(s)]),
    ]),
  ),
  ...added("joined again many times", "axis 0", (s) => {
    let value = spread(s);
    for (let turn = 0; turn < 40; turn++) value = s.op("Mean", [value, s.op("Neg", [value]), value]);
    return value;
  }),
];
