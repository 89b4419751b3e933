import type { Value } from "../graph/graph.ts";
import type { Backward } from "./rule.ts";

/**
 * The gradient of an operator that only moves elements, whatever it does: it is applied to the numbers of the places, which then
 * say where each dY belongs.
 */
export function byPlaces(b: Backward, move: (places: Value) => Value): Value {
  const { f } = b;
  const shape = f.shape(b.input(0));
  const size = f.size(b.input(0));
  const places = move(f.reshape(f.range(size), shape));
  return f.reshape(f.scatterAdd(f.reshape(size, [1]), f.flat(places), f.flat(b.dy), 0), shape);
}

/** The node once more, on another tensor. */
export const again = (b: Backward, value: Value): Value => b.f.build.again(b.node, [value, ...b.node.inputs.slice(1)]);
