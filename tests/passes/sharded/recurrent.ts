import { attribute, DataType } from "../../../src/entries/graph.ts";
import type { SmallStep } from "../../support/small-steps.ts";
import { BATCH, casesOf, type RuleCase, samples } from "./case.ts";

const STEPS = 5;

const second = (names: readonly string[]): string => names[1] ?? "";
const zeros = (s: SmallStep, ...shape: readonly number[]): string => s.op("ConstantOfShape", [s.ints(...shape)]);

export const RECURRENT_CASES: readonly RuleCase[] = [
  ...Object.entries({ GRU: 3, LSTM: 4, RNN: 1 }).flatMap(([op, gates]) => {
    const entries = (s: SmallStep): string =>
      s.op("Transpose", [samples(s, STEPS, 2)], attribute.ints("perm", [1, 0, 2]));
    const states = (s: SmallStep): string => s.op("Unsqueeze", [samples(s, 3), s.ints(0)]);
    const weights = (s: SmallStep, ways = 1): string[] => [
      ...[s.state([ways, gates * 3, 2]), s.state([ways, gates * 3, 3]), s.state([ways, 2 * gates * 3])],
    ];
    const size = attribute.int("hidden_size", 3);
    const lengths = (s: SmallStep): string =>
      s.op("Cast", [s.places([BATCH], STEPS)], attribute.int("to", DataType.int32));
    return casesOf(
      op,
      ["all states", "axis 2", (s) => s.op(op, [entries(s), ...weights(s)], size)],
      ["the last ones", "axis 1", (s) => second(s.ops(op, [entries(s), ...weights(s)], 2, size))],
      ["from samples' states", "axis 2", (s) => s.op(op, [entries(s), ...weights(s), "", states(s)], size)],
      ["from zeros", "axis 2", (s) => s.op(op, [entries(s), ...weights(s), "", zeros(s, 1, BATCH, 3)], size)],
      ["from what all have", "refused", (s) => s.op(op, [entries(s), ...weights(s), "", s.state([1, BATCH, 3])], size)],
      ["of lengths", "axis 2", (s) => s.op(op, [entries(s), ...weights(s), lengths(s)], size)],
      [
        "both ways",
        "axis 2",
        (s) => s.op(op, [entries(s), ...weights(s, 2)], size, attribute.string("direction", "bidirectional")),
      ],
      ["steps over the batch", "refused", (s) => s.op(op, [samples(s, STEPS, 2), ...weights(s)], size)],
      [
        "weights of pieces",
        "refused",
        (s) =>
          s.op(
            op,
            [
              entries(s),
              ...weights(s).slice(0, 2),
              s.op("Flatten", [s.op("Transpose", [samples(s, gates)])], attribute.int("axis", 0)),
            ],
            size,
          ),
      ],
    );
  }),
];
