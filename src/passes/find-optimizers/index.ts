import type { Model } from "../../graph/model.ts";
import { ortSequence } from "./ort-sequence.ts";
import type { Dialect, Found } from "./site.ts";

/** Every form of optimizer that is recognised, in the order in which they are tried. */
export const DIALECTS: readonly Dialect[] = [ortSequence];

/** Finds the optimizers of a model, and says of each node that looked like one why it was not taken. */
export function findOptimizers(model: Model): Found {
  const found = DIALECTS.map((dialect) => dialect.find(model));
  return { sites: found.flatMap(({ sites }) => sites), refusals: found.flatMap(({ refusals }) => refusals) };
}
