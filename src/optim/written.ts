import type { Value } from "../graph/graph.ts";
import type { Names } from "../graph/names.ts";
import type { Builder } from "../ops/builder.ts";
import type { ParameterGroup } from "./parameter-groups.ts";

/** A trainable parameter and its gradient, as values of the graph an optimizer is written into. */
export interface Trained {
  readonly name: string;
  readonly parameter: Value;
  readonly gradient: Value;
  /** Where the gradient was taken, and the slot that says so; absent: at the parameter. */
  readonly point?: GradientPoint;
}

/** What a lookahead makes of one parameter: a new input that holds the offset, and the parameter moved by its share. */
export interface GradientPoint {
  readonly value: Value;
  readonly offset: Value;
}

/** The graph an optimizer is written into. */
export interface OptimizerTarget {
  readonly build: Builder;
  readonly names: Names;
  readonly opset: number;
  /** float32 [1]. */
  readonly learningRate: Value;
  /** int64 [1], counted from 1. */
  readonly step: Value;
  readonly trained: readonly Trained[];
  /** Parameters that are trained in a way of their own. */
  readonly groups: readonly ParameterGroup[];
}

export interface Slot {
  /** `<parameter>/<transform>/<slot>`. */
  readonly name: string;
  /** A new graph input. */
  readonly input: Value;
  readonly next: Value;
  /** Whether it is one number, and not of its parameter's shape. Default false. */
  readonly isScalar?: boolean;
}

export interface WrittenUpdate {
  readonly name: string;
  /** What the optimizer reads as the gradient: after clipping, where there is clipping. */
  readonly gradient: Value;
  readonly next: Value;
  readonly slots: readonly Slot[];
}

/** An optimizer written out, parameter by parameter. */
export interface WrittenOptimizer {
  readonly transform: string;
  readonly updates: readonly WrittenUpdate[];
}
