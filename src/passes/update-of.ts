import { GRADIENTS_METADATA } from "../analysis/find-optimizers/portable.ts";
import { namesMetadata } from "../edits/json-metadata.ts";
import type { Node } from "../graph/graph.ts";
import type { Model } from "../graph/model.ts";

/** The nodes of a step that compute with its gradients: the update of its parameters. */
export function updateOf(model: Model): Set<Node> {
  const begins = new Set(namesMetadata(model, GRADIENTS_METADATA)?.keys());
  const nodes = new Set<Node>();
  for (const node of model.graph) {
    const follows = node.inputs.some(
      (value) => value !== null && (begins.has(value.name) || (value.producer !== null && nodes.has(value.producer))),
    );
    if (follows) nodes.add(node);
  }
  return nodes;
}
