import { attribute } from "../../../src/entries/graph.ts";
import { BATCH, casesOf, columns, type RuleCase, samples, stretches, summed } from "./case.ts";

const kernel = attribute.ints("kernel_shape", [2, 3]);
const axis = (number: number) => attribute.int("axis", number);

const pools = ["AveragePool", "LpPool", "MaxPool"].flatMap((op) =>
  casesOf(
    op,
    [
      "samples",
      "axis 0",
      (s) =>
        s.op(
          op,
          [samples(s, 2, 5, 4)],
          kernel,
          attribute.ints("strides", [2, 1]),
          attribute.ints("pads", [1, 1, 0, 1]),
        ),
    ],
    [
      "channels",
      "axis 1",
      (s) =>
        s.op(
          op,
          [s.op("Transpose", [samples(s, 2, 5, 4)], attribute.ints("perm", [1, 0, 2, 3]))],
          kernel,
          attribute.int("ceil_mode", 1),
        ),
    ],
    ["places", "refused", (s) => s.op(op, [s.op("Transpose", [samples(s, 2, 5, 4)])], kernel)],
    ["a sum", "left out", (s) => s.op(op, [s.op("Unsqueeze", [summed(s), s.ints(0, 1)])], kernel)],
  ),
);

const whole = ["GlobalAveragePool", "GlobalMaxPool"].flatMap((op) =>
  casesOf(
    op,
    ["samples", "axis 0", (s) => s.op(op, [samples(s, 2, 5, 4)])],
    ["places", "refused", (s) => s.op(op, [s.op("Transpose", [samples(s, 2, 5, 4)])])],
  ),
);

const alongOne = ["Hardmax", "LogSoftmax", "Softmax"].flatMap((op) =>
  casesOf(
    op,
    ["each sample", "axis 0", (s) => s.op(op, [samples(s, 3, 4)])],
    ["each sample, another axis", "axis 0", (s) => s.op(op, [samples(s, 3, 4)], axis(1))],
    ["columns", "axis 1", (s) => s.op(op, [columns(s)], axis(-2))],
    ["the batch", "refused", (s) => s.op(op, [samples(s, 3)], axis(0))],
    ["the batch, the last axis", "refused", (s) => s.op(op, [columns(s)])],
    ["stretches", "refused", (s) => s.op(op, [stretches(s)])],
    ["all axes from one on, as before opset 13", "axis 0", (s) => s.op(op, [samples(s, 3, 4)]), { opset: 12 }],
    ["all axes, as before opset 13", "refused", (s) => s.op(op, [samples(s, 3, 4)], axis(0)), { opset: 12 }],
    [
      "an axis behind the first of all",
      "refused",
      (s) => s.op(op, [s.op("Transpose", [samples(s, 3, 4)])], axis(1)),
      { opset: 12 },
    ],
    ["a sum", "left out", (s) => s.op(op, [summed(s)])],
  ),
);

const norms = ["LayerNormalization", "RMSNormalization"].flatMap((op) => {
  const opset = op === "RMSNormalization" ? { opset: 23 } : {};
  return casesOf(
    op,
    ["each row", "axis 0", (s) => s.op(op, [samples(s, 3, 4), s.state([4])]), opset],
    ["each sample", "axis 0", (s) => s.op(op, [samples(s, 3, 4), s.state([3, 4])], axis(1)), opset],
    ["a scale per row of all samples", "axis 0", (s) => s.op(op, [samples(s, 3, 4), s.state([1, 3, 4])]), opset],
    ["a scale per sample", "refused", (s) => s.op(op, [samples(s, 3, 4), s.state([BATCH, 1, 4])]), opset],
    ["the batch", "refused", (s) => s.op(op, [samples(s, 3, 4), s.state([BATCH, 3, 4])], axis(-3)), opset],
    ["a sum", "left out", (s) => s.op(op, [summed(s), s.state([5])]), opset],
  );
});

export const NETWORK_CASES: readonly RuleCase[] = [
  ...pools,
  ...whole,
  ...alongOne,
  ...norms,
  ...casesOf("MaxPool", [
    "with places of the whole tensor",
    "refused",
    (s) => s.ops("MaxPool", [samples(s, 2, 5, 4)], 2, kernel)[1] ?? "",
  ]),
  ...casesOf("AveragePool", [
    "pads that count",
    "axis 0",
    (s) =>
      s.op(
        "AveragePool",
        [samples(s, 2, 5, 4)],
        kernel,
        attribute.int("count_include_pad", 1),
        attribute.string("auto_pad", "SAME_LOWER"),
      ),
  ]),
  ...casesOf(
    "BatchNormalization",
    [
      "running statistics",
      "axis 0",
      (s) =>
        s.op("BatchNormalization", [
          samples(s, 3, 4),
          s.state([3]),
          s.state([3]),
          s.state([3]),
          s.state([3], [0.5, 2]),
        ]),
    ],
    [
      "of the batch",
      "refused",
      (s) =>
        s.ops(
          "BatchNormalization",
          [samples(s, 3, 4), s.state([3]), s.state([3]), s.state([3]), s.state([3], [0.5, 2])],
          3,
          attribute.int("training_mode", 1),
        )[0] ?? "",
    ],
    [
      "pieces of channels",
      "refused",
      (s) => s.op("BatchNormalization", [columns(s), ...[1, 2, 3, 4].map(() => s.state([BATCH], [0.5, 2]))]),
    ],
  ),
  ...casesOf(
    "GroupNormalization",
    [
      "samples",
      "axis 0",
      (s) => s.op("GroupNormalization", [samples(s, 4, 5), s.state([4]), s.state([4])], attribute.int("num_groups", 2)),
    ],
    [
      "pieces of channels",
      "refused",
      (s) =>
        s.op(
          "GroupNormalization",
          [s.op("Unsqueeze", [columns(s), s.ints(2)]), s.state([BATCH]), s.state([BATCH])],
          attribute.int("num_groups", 2),
        ),
    ],
  ),
  ...casesOf(
    "InstanceNormalization",
    ["samples", "axis 0", (s) => s.op("InstanceNormalization", [samples(s, 4, 5), s.state([4]), s.state([4])])],
    [
      "a scale of samples",
      "refused",
      (s) => s.op("InstanceNormalization", [s.state([2, BATCH, 5]), samples(s), s.state([BATCH])]),
    ],
  ),
  ...casesOf(
    "LayerNormalization",
    [
      "an offset per sample",
      "refused",
      (s) => s.op("LayerNormalization", [samples(s, 3, 4), s.state([4]), s.state([BATCH, 1, 4])]),
    ],
    [
      "its statistics",
      "axis 0",
      (s) => s.ops("LayerNormalization", [samples(s, 3, 4), s.state([4])], 3)[2] ?? "",
      { opset: 17 },
    ],
  ),
  ...casesOf(
    "Dropout",
    ["that drops nothing", "axis 0", (s) => s.op("Dropout", [samples(s, 4), s.filled([], 0.5)])],
    ["what it says of that", "axis 1", (s) => s.ops("Dropout", [columns(s)], 2)[1] ?? ""],
    ["a sum", "sum", (s) => s.op("Dropout", [summed(s)])],
    ["what it says of a sum", "left out", (s) => s.ops("Dropout", [summed(s)], 2)[1] ?? ""],
    [
      "that drops",
      "refused",
      (s) => s.op("Dropout", [s.state([4]), s.filled([], 0.5), s.op("Greater", [s.filled([], 1), s.filled([], 0)])]),
    ],
  ),
];
