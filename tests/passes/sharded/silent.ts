import { float } from "../../../fixtures/sketch.ts";
import { attribute, DataType, GraphTensor } from "../../../src/entries/graph.ts";
import { BATCH, casesOf, counted, samples, summed } from "./case.ts";

const int64 = (...n: number[]) => GraphTensor.from(DataType.int64, [], BigInt64Array.from(n, BigInt));

export const SILENT = [
  ...casesOf(
    "Div",
    ["ints", "left out", (s) => s.op("Div", [counted(s), s.constant(int64(2))])],
    ["floats", "sum", (s) => s.op("Div", [summed(s), s.state([4, 5])])],
  ),
  ...casesOf(
    "ReduceMean",
    [
      "ints",
      "refused",
      (s) =>
        s.op("ReduceMean", [s.op("Cast", [s.places([BATCH, 5], 9)], attribute.int("to", DataType.int32)), s.ints(0)]),
    ],
    [
      "partial ints",
      "left out",
      (s) => s.op("ReduceMean", [s.op("Cast", [counted(s)], attribute.int("to", DataType.int64)), s.ints(0)]),
    ],
  ),
  ...casesOf(
    "CastLike",
    ["like a batch", "all", (s) => s.op("CastLike", [s.state([3]), samples(s, 4)])],
    ["like a batch, of its size", "all", (s) => s.op("CastLike", [s.state([6, 4]), samples(s, 4)])],
    ["of a batch", "axis 0", (s) => s.op("CastLike", [samples(s, 4), s.state([3])])],
    ["like sums", "axis 0", (s) => s.op("CastLike", [samples(s, 4), summed(s)])],
  ),
  ...casesOf(
    "Resize",
    [
      "sizes that keep the ratio",
      "refused",
      (s) =>
        s.op(
          "Resize",
          [samples(s, 2, 4, 5), "", "", s.ints(6, 2, 9, 7)],
          attribute.string("keep_aspect_ratio_policy", "not_larger"),
        ),
    ],
    [
      "scale of the batch above 1",
      "refused",
      (s) =>
        s.op(
          "Resize",
          [samples(s, 4), "", s.constant(GraphTensor.floats([2], [1.15, 2]))],
          attribute.string("mode", "linear"),
        ),
    ],
    [
      "crop",
      "refused",
      (s) =>
        s.op(
          "Resize",
          [samples(s, 4), s.constant(GraphTensor.floats([4], [0.2, 0, 1, 1])), "", s.ints(6, 8)],
          attribute.string("mode", "linear"),
          attribute.string("coordinate_transformation_mode", "tf_crop_and_resize"),
        ),
    ],
  ),
  ...casesOf(
    "LayerNormalization",
    ["scale per sample", "refused", (s) => s.op("LayerNormalization", [samples(s, 3, 4), s.state([BATCH, 1, 4])])],
    ["scale per sample among one", "axis 0", (s) => s.op("LayerNormalization", [samples(s, 3, 4), s.state([1, 3, 4])])],
    [
      "bias per sample",
      "refused",
      (s) => s.op("LayerNormalization", [samples(s, 3, 4), s.state([4]), s.state([BATCH, 1, 4])]),
    ],
  ),
  ...casesOf(
    "Scan",
    [
      "state that turns",
      "refused",
      (s) => {
        const first = samples(s, 6);
        const body = s.body("turn", (b) => {
          b.input("state", float([6, 6]));
          b.input("row", float([6]));
          b.node("Transpose", ["state"], ["turned"]);
          b.node("Add", ["turned", "row"], ["next"]);
          b.output("next", float([6, 6]));
        });
        return s.op(
          "Scan",
          [first, s.state([5, 6])],
          attribute.graph("body", body),
          attribute.int("num_scan_inputs", 1),
        );
      },
    ],
    [
      "state in other pieces",
      "refused",
      (s) => {
        const x = s.op("Unsqueeze", [samples(s, 6), s.ints(0)]);
        const first = samples(s, 6);
        const body = s.body("turn", (b) => {
          b.input("state", float([6, 6]));
          b.input("entry", float([6, 6]));
          b.node("Transpose", ["entry"], ["turned"]);
          b.node("Identity", ["turned"], ["next"]);
          b.output("next", float([6, 6]));
        });
        return s.op("Scan", [first, x], attribute.graph("body", body), attribute.int("num_scan_inputs", 1));
      },
    ],
  ),
  ...casesOf("If", [
    "chance inside",
    "refused",
    (s) => {
      const branch = (name: string) =>
        s.body(name, (b) => {
          b.node("RandomNormal", [], [`${name}_drawn`], [attribute.ints("shape", [4])]);
          b.output(`${name}_drawn`, float([4]));
        });
      const condition = s.op("Greater", [s.state([]), s.filled([], 0)]);
      const [made = ""] = s.ops(
        "If",
        [condition],
        1,
        attribute.graph("then_branch", branch("then")),
        attribute.graph("else_branch", branch("else")),
      );
      return s.op("Add", [samples(s, 4), made]);
    },
  ]),
];
