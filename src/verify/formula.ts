import type { AgrScope } from "../optim/agr.ts";

export interface Gradient {
  readonly shape: readonly number[];
  readonly values: Float64Array;
  /** False where AGR leaves the gradient alone. */
  readonly regularized: boolean;
  /** Of one vector of several: each is a gradient by itself. They cover it, in their order. */
  readonly layers?: readonly Omit<Gradient, "values">[];
}

/**
 * AGR in float64: g - strength * |g| / max(s, smallest normal float32) * g, with s as `scope` says; the global sum runs over
 * the regularized gradients.
 */
export function regularizeAll(
  gradients: readonly Gradient[],
  scope: AgrScope,
  strength: number,
): readonly Float64Array[] {
  const sumOf = (values: Float64Array): number => values.reduce((sum, value) => sum + Math.abs(value), 0);
  const all = gradients.filter(({ regularized }) => regularized).reduce((sum, { values }) => sum + sumOf(values), 0);
  return gradients.map(({ shape, values, regularized, layers }) => {
    if (!regularized) return values;
    if (layers !== undefined && scope !== "global") return joined(layers, values, scope, strength);
    const width = scope === "channel" ? values.length / Math.max(shape[0] ?? 1, 1) : values.length;
    const result = values.slice();
    for (let begin = 0; begin < values.length; begin += Math.max(width, 1)) {
      const part = values.subarray(begin, begin + width);
      const sum = Math.max(scope === "global" ? all : sumOf(part), 2 ** -126);
      for (const [index, value] of part.entries())
        result[begin + index] = value - strength * (Math.abs(value) / sum) * value;
    }
    return result;
  });
}

function joined(
  layers: readonly Omit<Gradient, "values">[],
  values: Float64Array,
  scope: AgrScope,
  strength: number,
): Float64Array {
  let at = 0;
  const parts = layers.map((layer) => {
    const size = layer.shape.reduce((product, dim) => product * dim, 1);
    at += size;
    return { ...layer, values: values.subarray(at - size, at) };
  });
  return Float64Array.from(regularizeAll(parts, scope, strength).flatMap((part) => [...part]));
}
