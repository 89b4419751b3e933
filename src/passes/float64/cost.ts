import type { Node, Value } from "../../graph/graph.ts";
import { type Model, walkGraphs } from "../../graph/model.ts";
import { inferTypes } from "../../ops/inference/infer-types.ts";
import { NodeView } from "../../ops/node-view.ts";
import { dimsOf } from "../../ops/value-types.ts";

/** What a size counts as that is not known. */
const OPEN_SIZE = 3;

const sizesOf = (value: Value | null | undefined): readonly number[] =>
  (value ? dimsOf(value) : null)?.map((size) => size ?? OPEN_SIZE) ?? [];

const product = (sizes: readonly number[]): number => sizes.reduce((all, size) => all * size, 1);

/** How many numbers the patches of a convolution have. @param pixels what has an element per window and channel */
function patchElements(node: Node, pixels: Value | null | undefined): number {
  const [batch = 1, , ...windows] = sizesOf(pixels);
  const [, channels = 1, ...kernel] = sizesOf(node.inputs[1]);
  return product([batch, ...windows, channels, new NodeView(node).intOrNull("group") ?? 1, ...kernel]);
}

/** Seconds per number, roughly: of a patch, which is gathered and multiplied; of an error function, which is fifty operations. */
const [PATCH, ERF] = [5e-9, 5e-8];

const COSTS: Readonly<Record<string, (node: Node) => number>> = {
  Conv: (node) => PATCH * patchElements(node, node.outputs[0]),
  ConvTranspose: (node) => PATCH * patchElements(node, node.inputs[0]),
  Erf: ({ inputs }) => ERF * product(sizesOf(inputs[0])),
  Gelu: ({ inputs }) => ERF * product(sizesOf(inputs[0])),
};

/** About how many seconds the operators of a model take in a run that have to be written in others for float64. */
export function secondsInFloat64(model: Model): number {
  inferTypes(model);
  const nodes = [...walkGraphs(model.graph)].flatMap((graph) => graph.nodes);
  return nodes.reduce((sum, node) => sum + (COSTS[node.opType]?.(node) ?? 0), 0);
}
