import { replaceNode } from "../edits/replace-node.ts";
import { attribute } from "../graph/attribute.ts";
import { Node, Value } from "../graph/graph.ts";
import { type Model, walkGraphs } from "../graph/model.ts";
import { Names } from "../graph/names.ts";
import { Tensor } from "../graph/tensor.ts";
import { constantOf } from "../ops/constants.ts";
import { NodeView } from "../ops/node-view.ts";

/**
 * Writes a SplitToSequence of known sizes whose parts SequenceAt takes at known places as a Split: what PyTorch's default exporter
 * writes of `split`, `chunk` and `unbind` unless it optimizes. Others stay as they are. Needs opset 13.
 */
export function splitSequences(model: Model): void {
  const names = new Names(model);
  for (const graph of walkGraphs(model.graph)) {
    for (const node of graph) {
      const [x] = node.inputs;
      const [sequence] = node.outputs;
      if (node.domain !== "" || node.opType !== "SplitToSequence" || !x || !sequence) continue;
      const how = splitOf(node, x);
      const takers = how === null ? null : takersOf(sequence, how.sizes.length);
      if (how === null || takers === null) continue;
      const constant = (numbers: readonly number[], what: string): Value => {
        const made = new Value(names.fresh(`${sequence.name}/${what}`));
        const attributes = [attribute.tensor("value", Tensor.ints(numbers))];
        graph.insertBefore(node, new Node("Constant", [], [made], { name: names.fresh(made.name), attributes }));
        return made;
      };
      const parts = how.sizes.map((_, place) => new Value(names.fresh(`${sequence.name}/${place}`)));
      const split = new Node("Split", [x, constant(how.sizes, "sizes")], parts, {
        name: names.fresh(`${sequence.name}/Split`),
        attributes: [attribute.int("axis", how.axis)],
        metadata: node.metadata,
      });
      graph.insertBefore(node, split);
      const axes = how.isSqueezed ? [constant([how.axis], "axes")] : [];
      for (const [taker, place] of takers) {
        const part = parts[place];
        if (part === undefined || taker.graph === null) continue;
        replaceNode(taker.graph, taker, { opType: how.isSqueezed ? "Squeeze" : "Identity", inputs: [part, ...axes] });
      }
      graph.remove(node);
    }
  }
}

/** Into what a SplitToSequence splits; null where the model does not say. */
function splitOf(
  node: Node,
  x: Value,
): { readonly sizes: readonly number[]; readonly axis: number; readonly isSqueezed: boolean } | null {
  const view = new NodeView(node);
  const axis = view.int("axis");
  const given = node.inputs[1] ?? null;
  const split = given === null ? null : constantOf(given);
  if (given !== null && split === null) return null;
  const isSqueezed = given === null && view.int("keepdims") === 0;
  if (split?.dims.length === 1) return { sizes: numbersOf(split), axis, isSqueezed };
  const [most = 1] = split === null ? [] : numbersOf(split);
  const length = x.type?.kind === "tensor" ? x.type.shape?.at(axis) : undefined;
  if (typeof length !== "number" || length < 1 || most < 1) return null;
  const sizes = Array.from({ length: Math.ceil(length / most) }, (_, place) => Math.min(most, length - place * most));
  return { sizes, axis, isSqueezed };
}

/** The nodes that take parts of a sequence, with the place of each part; null where something else reads it. */
function takersOf(sequence: Value, count: number): ReadonlyMap<Node, number> | null {
  const takers = new Map<Node, number>();
  for (const { user } of sequence.uses) {
    if (!(user instanceof Node) || user.domain !== "" || user.opType !== "SequenceAt") return null;
    const [position] = numbersOf(user.inputs[1] ? constantOf(user.inputs[1]) : null);
    const place = position === undefined || position >= 0 ? position : position + count;
    if (place === undefined || place < 0 || place >= count) return null;
    takers.set(user, place);
  }
  return takers;
}

const numbersOf = (tensor: Tensor | null): readonly number[] =>
  tensor === null ? [] : Array.from<number | bigint, number>(tensor.values(), Number);
