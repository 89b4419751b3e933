import { float, type Sketch } from "../../../fixtures/sketch.ts";
import { type Attribute, attribute } from "../../../src/entries/graph.ts";
import type { SmallStep } from "../../support/small-steps.ts";
import { BATCH, casesOf, type RuleCase, samples } from "./case.ts";

const STEPS = 5;
const count = (number: number) => attribute.int("num_scan_inputs", number);

/** [5, 6, 4], in pieces of its second axis. */
const sequence = (s: SmallStep): string => s.op("Transpose", [samples(s, STEPS, 4)], attribute.ints("perm", [1, 0, 2]));

const zeros = (s: SmallStep, ...shape: readonly number[]): string => s.op("ConstantOfShape", [s.ints(...shape)]);

type Step = (body: Sketch) => void;

/** Inputs "state" [6, 4] and "entry" [6, 4]; a step makes "next" of them, and "seen" [6, 4]. */
const recurrent = (s: SmallStep, step: Step): Attribute => {
  const body = s.body("step", (inner) => {
    inner.input("state", float([BATCH, 4]));
    inner.input("entry", float([BATCH, 4]));
    step(inner);
    inner.output("next", float([BATCH, 4]));
    inner.output("seen", float([BATCH, 4]));
  });
  return attribute.graph("body", body);
};

const gated =
  (weight: string, s: SmallStep): Step =>
  (body) => {
    body.outer(s.sketch, weight);
    body.node("MatMul", ["state", weight], ["product"]);
    body.node("Add", ["product", "entry"], ["sum"]);
    body.node("Tanh", ["sum"], ["next"]);
    body.node("Sigmoid", ["sum"], ["seen"]);
  };

/** The last state, and what was seen on the way. */
const scanned = (
  s: SmallStep,
  first: string,
  entries: string,
  step: Step,
  ...attributes: readonly Attribute[]
): readonly string[] => s.ops("Scan", [first, entries], 2, recurrent(s, step), count(1), ...attributes);

const second = (names: readonly string[]): string => names[1] ?? "";
const first = (names: readonly string[]): string => names[0] ?? "";

export const LOOP_CASES: readonly RuleCase[] = [
  ...casesOf(
    "Scan",
    ["the last state", "axis 0", (s) => first(scanned(s, samples(s, 4), sequence(s), gated(s.state([4, 4]), s)))],
    ["what was seen", "axis 1", (s) => second(scanned(s, samples(s, 4), sequence(s), gated(s.state([4, 4]), s)))],
    [
      "from zeros that all have",
      "axis 0",
      (s) => first(scanned(s, zeros(s, BATCH, 4), sequence(s), gated(s.state([4, 4]), s))),
    ],
    [
      "from what all have",
      "refused",
      (s) => first(scanned(s, s.state([BATCH, 4]), sequence(s), gated(s.state([4, 4]), s))),
    ],
    [
      "backwards",
      "axis 1",
      (s) =>
        second(
          scanned(
            s,
            samples(s, 4),
            sequence(s),
            gated(s.state([4, 4]), s),
            attribute.ints("scan_input_directions", [1]),
            attribute.ints("scan_output_directions", [1]),
          ),
        ),
    ],
    [
      "entries of a middle axis",
      "axis 0",
      (s) =>
        second(
          scanned(
            s,
            samples(s, 4),
            samples(s, STEPS, 4),
            gated(s.state([4, 4]), s),
            attribute.ints("scan_input_axes", [1]),
            attribute.ints("scan_output_axes", [-1]),
          ),
        ),
    ],
    [
      "entries of the last axis",
      "axis 0",
      (s) =>
        second(
          scanned(
            s,
            samples(s, 4),
            samples(s, 4, STEPS),
            gated(s.state([4, 4]), s),
            attribute.ints("scan_input_axes", [-1]),
            attribute.ints("scan_output_axes", [1]),
          ),
        ),
    ],
    [
      "steps over the batch",
      "refused",
      (s) => {
        const body = s.body("step", (inner) => {
          inner.input("state", float([4]));
          inner.input("entry", float([4]));
          inner.node("Add", ["state", "entry"], ["next"]);
          inner.output("next", float([4]));
        });
        return s.op("Scan", [s.state([4]), samples(s, 4)], attribute.graph("body", body), count(1));
      },
    ],
    [
      "a state that turns",
      "refused",
      (s) => {
        const body = s.body("step", (inner) => {
          inner.input("state", float([BATCH, BATCH]));
          inner.input("row", float([BATCH]));
          inner.node("Transpose", ["state"], ["turned"]);
          inner.node("Add", ["turned", "row"], ["next"]);
          inner.output("next", float([BATCH, BATCH]));
        });
        return s.op("Scan", [samples(s, BATCH), s.state([STEPS, BATCH])], attribute.graph("body", body), count(1));
      },
    ],
    [
      "a state that every step leaves in other pieces than the first",
      "refused",
      (s) => {
        const body = s.body("step", (inner) => {
          inner.input("state", float([BATCH, BATCH]));
          inner.input("entry", float([BATCH, BATCH]));
          inner.node("Transpose", ["entry"], ["next"]);
          inner.output("next", float([BATCH, BATCH]));
        });
        const entries = s.op("Unsqueeze", [samples(s, BATCH), s.ints(0)]);
        return s.op("Scan", [samples(s, BATCH), entries], attribute.graph("body", body), count(1));
      },
    ],
    [
      "states of which one is every part's",
      "axis 0",
      (s) => {
        const one = s.filled([1], 1);
        const body = s.body("step", (inner) => {
          inner.input("time", float([1]));
          inner.input("state", float([BATCH, 4]));
          inner.input("entry", float([BATCH, 4]));
          inner.outer(s.sketch, one);
          inner.node("Add", ["time", one], ["later"]);
          inner.node("Div", ["entry", "later"], ["share"]);
          inner.node("Add", ["state", "share"], ["next"]);
          inner.output("later", float([1]));
          inner.output("next", float([BATCH, 4]));
        });
        return second(
          s.ops("Scan", [s.state([1]), samples(s, 4), sequence(s)], 2, attribute.graph("body", body), count(1)),
        );
      },
    ],
    [
      "sums over the batch, added up on the way",
      "refused",
      (s) => {
        const axes = s.ints(0);
        const body = s.body("step", (inner) => {
          inner.outer(s.sketch, axes);
          inner.input("state", float([1, 4]));
          inner.input("entry", float([BATCH, 4]));
          inner.node("ReduceSum", ["entry", axes], ["sum"]);
          inner.node("Add", ["state", "sum"], ["next"]);
          inner.output("next", float([1, 4]));
        });
        return s.op("Scan", [zeros(s, 1, 4), sequence(s)], attribute.graph("body", body), count(1));
      },
    ],
    [
      "means over the batch, which every step has to have whole",
      "refused",
      (s) =>
        first(
          scanned(s, samples(s, 4), sequence(s), (inner) => {
            inner.node("ReduceMean", ["entry"], ["mean"]);
            inner.node("Sub", ["state", "mean"], ["next"]);
            inner.node("Tanh", ["next"], ["seen"]);
          }),
        ),
    ],
    [
      "a sum of the parts that it reads",
      "refused",
      (s) => {
        const sum = s.op("ReduceSum", [samples(s, 4), s.ints(0)]);
        return first(
          scanned(s, samples(s, 4), sequence(s), (inner) => {
            inner.outer(s.sketch, sum);
            inner.node("Mul", ["state", sum], ["next"]);
            inner.node("Tanh", ["entry"], ["seen"]);
          }),
        );
      },
    ],
    [
      "what it makes itself, cut to the size of a piece",
      "axis 1",
      (s) => {
        const shape = s.ints(BATCH, 4);
        return second(
          scanned(s, samples(s, 4), sequence(s), (inner) => {
            inner.outer(s.sketch, shape);
            inner.node("ConstantOfShape", [shape], ["zeros"]);
            inner.node("Max", ["state", "zeros"], ["next"]);
            inner.node("Add", ["entry", "next"], ["seen"]);
          }),
        );
      },
    ],
    [
      "chance",
      "refused",
      (s) =>
        first(
          scanned(s, samples(s, 4), sequence(s), (inner) => {
            inner.node("RandomNormalLike", ["state"], ["noise"]);
            inner.node("Add", ["state", "noise"], ["next"]);
            inner.node("Tanh", ["entry"], ["seen"]);
          }),
        ),
    ],
  ),
];
