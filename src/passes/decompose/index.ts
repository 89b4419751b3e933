import { OnnxAgrError } from "../../errors.ts";
import type { Graph, Node } from "../../graph/graph.ts";
import { type Model, subgraphsOf, walkGraphs } from "../../graph/model.ts";
import { Names } from "../../graph/names.ts";
import { TypeInference } from "../../ops/inference/inference.ts";
import { replaceByParts } from "../lower-training-ops/replace.ts";
import { type Compound, Decomposed, keyOf, loweringOfCompound } from "./compound.ts";
import { COMPOUNDS } from "./table.ts";

/**
 * Writes operators that are made of others (attention, fused operators of ONNX Runtime's optimizers) in those, so that their
 * gradients are those of their parts.
 * @param compounds the operators, with their parts. Default: all that have no gradient of their own
 * @param onRefusal takes the error of a node that cannot be written in its parts, and stays as it is. Default: it is thrown
 * @returns how many nodes of each operator, by `domain.operator`
 * @throws GradientError `E_NO_GRADIENT` for a node with inputs or attributes that the parts do not know
 */
export function decompose(
  model: Model,
  compounds: readonly Compound[] = COMPOUNDS,
  onRefusal?: (node: Node, error: OnnxAgrError) => void,
): Readonly<Record<string, number>> {
  const byName = new Map(compounds.map((each) => [keyOf(each.domain, each.op), each]));
  const compoundOf = (node: Node): Compound | null => {
    const compound = byName.get(keyOf(node.domain, node.opType));
    return compound !== undefined && compound.when?.(node) !== false ? compound : null;
  };
  if (![...walkGraphs(model.graph)].some((graph) => graph.nodes.some((node) => compoundOf(node) !== null))) return {};
  const types = new TypeInference(model.opset);
  types.initializers(model.graph);
  const counts: Record<string, number> = {};
  decomposeGraph(model.graph, { names: new Names(model), opset: model.opset, types, counts, compoundOf, onRefusal });
  return counts;
}

interface Context {
  readonly names: Names;
  readonly opset: number;
  readonly types: TypeInference;
  readonly counts: Record<string, number>;
  readonly compoundOf: (node: Node) => Compound | null;
  readonly onRefusal: ((node: Node, error: OnnxAgrError) => void) | undefined;
}

/** In the order of the nodes, so that the types of a node's inputs are known. */
function decomposeGraph(graph: Graph, context: Context): void {
  const { names, opset, types, counts, compoundOf, onRefusal } = context;
  for (const node of graph) {
    const bodies = subgraphsOf(node);
    /** What goes into the graphs inside is known then. */
    if (bodies.length > 0) types.node(node);
    for (const inner of bodies) decomposeGraph(inner, context);
    const compound = compoundOf(node);
    if (compound === null) {
      types.node(node);
      continue;
    }
    try {
      replaceByParts(graph, new Decomposed(node), loweringOfCompound(compound), {
        names,
        opset,
        isInput: () => false,
        onEmit: (made) => types.node(made),
      });
    } catch (error) {
      if (onRefusal === undefined || !(error instanceof OnnxAgrError)) throw error;
      onRefusal(node, error);
      types.node(node);
      continue;
    }
    const key = keyOf(compound.domain, compound.op);
    counts[key] = (counts[key] ?? 0) + 1;
  }
}
