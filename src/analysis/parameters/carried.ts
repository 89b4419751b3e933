import { holdsOnly } from "./contents.ts";
import { type Reading, sourceOf } from "./readings.ts";

/** What a Loop reads before what it carries: how often, and whether. */
const LOOP_HEAD = 2;

/**
 * Whether a Loop begins with an initializer and gives another value to the next round: zeros, or a number that is stretched. What is
 * carried as it is, weights as JAX writes them, is none.
 * @param reading by a Loop
 */
export function isInitialState({
  node,
  index,
  initializer,
}: Reading & { readonly initializer: Reading["value"] }): boolean {
  const body = node.attributes.get("body");
  if (body?.kind !== "graph" || index < LOOP_HEAD) return false;
  const { inputs, outputs } = body.value;
  const [given, next] = [inputs[index], outputs[index - LOOP_HEAD + 1]];
  if (given === undefined || next === undefined || sourceOf(next) === given) return false;
  return initializer.tensor?.dims.length === 0 || holdsOnly(initializer, 0);
}
