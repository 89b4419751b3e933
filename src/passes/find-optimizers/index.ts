import { Node } from "../../graph/graph.ts";
import type { Model } from "../../graph/model.ts";
import { onnxTraining } from "./onnx-training.ts";
import { ortSequence } from "./ort-sequence.ts";
import { ortTensor } from "./ort-tensor.ts";
import type { Dialect, Found } from "./site.ts";

/** Every form of optimizer that is recognised, in the order in which they are tried. */
export const DIALECTS: readonly Dialect[] = [ortSequence, ortTensor, onnxTraining];

/**
 * Finds the optimizers of a model, and says of each node that looked like one why it was not taken. What one dialect refuses
 * and another takes is not refused.
 */
export function findOptimizers(model: Model): Found {
  const found = DIALECTS.map((dialect) => dialect.find(model));
  const sites = found.flatMap((each) => each.sites);
  const taken = new Set(sites.flatMap(({ edges }) => edges.flatMap(({ uses }) => uses.map(({ user }) => user))));
  const refusals = found.flatMap((each) => each.refusals);
  return { sites, refusals: refusals.filter(({ node }) => !(node instanceof Node && taken.has(node))) };
}
