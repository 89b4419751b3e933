import { float, type Sketch, tensor } from "../../../fixtures/sketch.ts";
import { attribute, DataType } from "../../../src/entries/graph.ts";
import type { SmallStep } from "../../support/small-steps.ts";
import { BATCH, casesOf, type RuleCase, samples, summed } from "./case.ts";

/** Of one output [4]. */
const choice = (s: SmallStep, branch: (inner: Sketch, made: string) => void): string => {
  const branches = ["then_branch", "else_branch"].map((name) =>
    attribute.graph(
      name,
      s.body(name, (inner) => {
        branch(inner, `${name}/made`);
        inner.output(`${name}/made`, float([4]));
      }),
    ),
  );
  return s.op("If", [s.op("Greater", [s.state([]), s.filled([], 0)])], ...branches);
};

/** What has no rule, for all that its operands lie anywhere. */
export const CONTROL_CASES: readonly RuleCase[] = [
  ...casesOf(
    "If",
    [
      "of what all have",
      "all",
      (s) => {
        const w = s.state([4]);
        return choice(s, (inner, made) => {
          inner.outer(s.sketch, w);
          inner.node("Neg", [w], [made]);
        });
      },
    ],
    [
      "of pieces",
      "refused",
      (s) => {
        const x = s.op("ReduceMax", [samples(s, 4), s.ints(1)], attribute.int("keepdims", 0));
        return choice(s, (inner, made) => {
          inner.outer(s.sketch, x);
          inner.node("Neg", [x], [made]);
        });
      },
    ],
    [
      "of a sum",
      "left out",
      (s) => {
        const sum = s.op("ReduceSum", [samples(s, 4), s.ints(0)], attribute.int("keepdims", 0));
        return choice(s, (inner, made) => {
          inner.outer(s.sketch, sum);
          inner.node("Neg", [sum], [made]);
        });
      },
    ],
    [
      "of chance",
      "refused",
      (s) => choice(s, (inner, made) => inner.node("RandomNormal", [], [made], [attribute.ints("shape", [4])])),
    ],
    [
      "by a sum",
      "left out",
      (s) => {
        const constant = (name: string, number: number) =>
          attribute.graph(
            name,
            s.body(name, (inner) => {
              inner.node("Constant", [], [`${name}/made`], [attribute.floats("value_floats", [number])]);
              inner.output(`${name}/made`, float([1]));
            }),
          );
        const isLarge = s.op("Greater", [
          s.op("ReduceSum", [samples(s, 4)], attribute.int("keepdims", 0)),
          s.filled([], 0),
        ]);
        return s.op("If", [isLarge], constant("then_branch", 1), constant("else_branch", 2));
      },
    ],
  ),
  ...casesOf(
    "Loop",
    [
      "of what all have",
      "all",
      (s) => {
        const body = s.body("turn", (inner) => {
          inner.input("turn", tensor(DataType.int64, []));
          inner.input("goes", tensor(DataType.bool, []));
          inner.input("state", float([4]));
          inner.node("Identity", ["goes"], ["goes_on"]);
          inner.node("Tanh", ["state"], ["next"]);
          inner.output("goes_on", tensor(DataType.bool, []));
          inner.output("next", float([4]));
        });
        return s.op("Loop", [s.ints(3), "", s.state([4])], attribute.graph("body", body));
      },
    ],
    [
      "of pieces",
      "refused",
      (s) => {
        const body = s.body("turn", (inner) => {
          inner.input("turn", tensor(DataType.int64, []));
          inner.input("goes", tensor(DataType.bool, []));
          inner.input("state", float([BATCH, 4]));
          inner.node("Identity", ["goes"], ["goes_on"]);
          inner.node("Tanh", ["state"], ["next"]);
          inner.output("goes_on", tensor(DataType.bool, []));
          inner.output("next", float([BATCH, 4]));
        });
        return s.op("Loop", [s.ints(3), "", samples(s, 4)], attribute.graph("body", body));
      },
    ],
  ),
  ...casesOf("RandomNormalLike", ["chance", "refused", (s) => s.op("RandomNormalLike", [s.state([4])])]),
  ...casesOf(
    "Shape",
    ["of pieces", "refused", (s) => s.op("Shape", [samples(s, 4)])],
    ["of a sum", "left out", (s) => s.op("Shape", [summed(s)])],
  ),
  ...casesOf("Unique", ["that has no rule", "refused", (s) => s.op("Unique", [samples(s, 4)])]),
];
