import { DataType } from "../graph/data-type.ts";
import type { Value } from "../graph/graph.ts";
import { Tensor } from "../graph/tensor.ts";
import type { Builder } from "../ops/builder.ts";

/** Over which elements |g| is summed: one tensor, one slice along the tensor's first axis, or all tensors together. */
export type AgrScope = "tensor" | "channel" | "global";

/** The type |g| is summed in, and its smallest normal number: what the sum is raised to, so that zero stays zero, not 0/0. */
export interface Accumulation {
  readonly dtype: typeof DataType.float | typeof DataType.double;
  readonly smallestNormal: number;
}

/** float64 gradients are summed in float64, all others in float32. */
export function accumulationOf(dtype: number): Accumulation {
  return dtype === DataType.double
    ? { dtype: DataType.double, smallestNormal: 2 ** -1022 }
    : { dtype: DataType.float, smallestNormal: 2 ** -126 };
}

/** Values that every gradient's formula shares. */
export interface AgrConstants {
  readonly one: Value;
  readonly floor: Value;
  readonly strength: Value;
}

/** @param strength of the regularization: a number, or a value that holds it as a scalar of the accumulation's type. */
export function agrConstants(
  build: Builder,
  strength: number | Value,
  { dtype, smallestNormal }: Accumulation,
): AgrConstants {
  const scalar = (value: number, hint: string): Value => build.constant(Tensor.scalar(dtype, value), hint);
  return {
    one: scalar(1, "one"),
    floor: scalar(smallestNormal, "smallest_normal"),
    strength: typeof strength === "number" ? scalar(strength, "strength") : strength,
  };
}

/**
 * Sum of |g| over what `scope` says.
 * @param magnitude |g| in the accumulation's type
 * @returns a scalar; for `channel` one sum per entry of the first axis, shaped to broadcast against the gradient.
 */
export function sumOfMagnitudes(build: Builder, magnitude: Value, scope: AgrScope): Value {
  if (scope !== "channel") return build.reduceSum(magnitude, null, false);
  const int64 = (value: number, hint: string): Value => build.constant(Tensor.scalar(DataType.int64, value), hint);
  /** Size would be shorter, but ONNX's shape inference takes the size of a shape for the product of its dimensions. */
  const rank = build.emit("Squeeze", [build.emit("Shape", [build.emit("Shape", [magnitude])])], { hint: "rank" });
  const one = int64(1, "one_axis");
  const axes = build.emit("Range", [one, rank, one], { hint: "axes" });
  return build.reduceSum(magnitude, axes, true);
}

/**
 * g' = g - strength * alpha * g with alpha = |g| / s, written as g * (1 - |g| / (s / strength)): one pass over memory less,
 * and s / strength is a scalar. arXiv 2407.16944, equation of section 3; s as in the authors' code, guarded against zero.
 * NaN in s stays NaN: the guard is a comparison, not a maximum, which would lose it on some execution providers.
 * @param gradient in the accumulation's type
 * @param magnitude |g|
 * @param sum from `sumOfMagnitudes`
 */
export function regularize(
  build: Builder,
  gradient: Value,
  magnitude: Value,
  sum: Value,
  { one, floor, strength }: AgrConstants,
): Value {
  const isTiny = build.emit("Less", [sum, floor], { hint: "is_tiny" });
  const guarded = build.emit("Where", [isTiny, floor, sum], { hint: "guarded_sum" });
  const unit = build.emit("Div", [guarded, strength], { hint: "unit" });
  const alpha = build.emit("Div", [magnitude, unit], { hint: "alpha" });
  const kept = build.emit("Sub", [one, alpha], { hint: "kept" });
  return build.emit("Mul", [gradient, kept], { hint: "regularized" });
}
