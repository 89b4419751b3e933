import { attribute } from "../../../src/entries/graph.ts";
import type { SmallStep } from "../../support/small-steps.ts";

/** Samples of a batch. */
export const BATCH = 6;

/** An operator between inputs of a batch, and where what it gives lies then. */
export interface RuleCase {
  readonly op: string;
  readonly what: string;
  /** `axis 1`, `axis 0 in 4` stretches, `sum`, `mean`, `all`; `left out` of the parts; `refused` */
  readonly lies: string;
  /** Default: the newest that ONNX Runtime has. */
  readonly opset?: number;
  /** Default: 2, 3, 6. */
  readonly counts?: readonly number[];
  /** @returns the value that is told where it lies */
  readonly make: (step: SmallStep) => string;
}

type Made = Omit<RuleCase, "op" | "what" | "lies" | "make">;

/** Rows of a table of cases. */
export const casesOf = (
  op: string,
  ...rows: readonly (readonly [what: string, lies: string, make: RuleCase["make"], more?: Made])[]
): readonly RuleCase[] => rows.map(([what, lies, make, more]) => ({ op, what, lies, make, ...more }));

/** [6, ...shape], in pieces of its first axis. */
export const samples = (step: SmallStep, ...shape: readonly number[]): string => step.fed([BATCH, ...shape]);

/** [4, 6], in pieces of its second axis. */
export const columns = (step: SmallStep): string => step.op("Transpose", [samples(step, 4)]);

/** [24], in pieces of each of four stretches. */
export const stretches = (step: SmallStep): string => step.op("Reshape", [columns(step), step.ints(24)]);

/** [4, 5], which the parts have to add up. */
export const summed = (step: SmallStep): string => step.op("MatMul", [columns(step), samples(step, 5)]);

/** [1, 5], of which the parts have to take the mean. */
export const averaged = (step: SmallStep): string => step.op("ReduceMean", [samples(step, 5), step.ints(0)]);

/** [5] of int64, which the parts have to add up. */
export const counted = (step: SmallStep): string =>
  step.op("ReduceSum", [step.places([BATCH, 5], 9), step.ints(0)], attribute.int("keepdims", 0));
