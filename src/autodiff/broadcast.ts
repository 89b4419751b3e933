import type { Value } from "../graph/graph.ts";
import type { Dimension } from "../graph/value-type.ts";
import type { Formula } from "../ops/formula.ts";
import { SizeMath } from "../ops/sizes.ts";
import { shapeOf } from "../ops/value-types.ts";

/**
 * Sums a gradient over the axes that broadcasting added to an input or stretched. Nothing is emitted where the shapes say that
 * there are none; sizes known only by different names may differ when the graph runs, which then finds out.
 * @param from the gradient's shape
 */
export function unbroadcast(f: Formula, gradient: Value, from: readonly Dimension[] | null, input: Value): Value {
  const to = shapeOf(input);
  if (from === null || to === null) return f.sumTo(gradient, f.shape(input));
  const missing = from.length - to.length;
  const isOpen = to.some((dim, axis) => typeof dim !== "number" && (dim === null || dim !== from[axis + missing]));
  if (isOpen) return f.sumTo(gradient, f.shape(input));
  const added = Array.from({ length: missing }, (_, axis) => axis);
  const stretched = to.flatMap((dim, axis) => (dim === 1 && from[axis + missing] !== 1 ? [axis + missing] : []));
  if (added.length + stretched.length === 0) return gradient;
  if (stretched.length === 0) return f.sum(gradient, added, false);
  const summed = f.sum(gradient, [...added, ...stretched], true);
  return added.length === 0 ? summed : f.reshape(summed, new SizeMath(f).target(input));
}
