import { replaceNode } from "../edits/replace-node.ts";
import { attribute } from "../graph/attribute.ts";
import { Copier } from "../graph/clone.ts";
import { DataType } from "../graph/data-type.ts";
import { type Graph, Node, Value } from "../graph/graph.ts";
import { type Model, walkGraphs } from "../graph/model.ts";
import { Names } from "../graph/names.ts";
import { Tensor } from "../graph/tensor.ts";
import { constantOf } from "../ops/constants.ts";
import { NodeView } from "../ops/node-view.ts";

/** A node that reads sequences whose tensors are known. */
interface Place {
  readonly graph: Graph;
  readonly node: Node;
  readonly names: Names;
  /** The tensors of a sequence that the node reads; null where they are not known. */
  readonly listed: (index: number) => readonly Value[] | null;
}

/** The tensors of the sequences that a node gives; "tensors" where it gave tensors and has been replaced; null where it stays. */
type Unfold = (place: Place) => readonly (readonly Value[])[] | "tensors" | null;

const UNFOLDS: Readonly<Record<string, Unfold>> = {
  SequenceConstruct: ({ node }) => [node.inputs.filter((input) => input !== null)],
  SequenceEmpty: () => [[]],
  Identity: ({ listed }) => asOne(listed(0)),
  SequenceInsert: ({ node, listed }) => {
    const [list, tensor, at] = [listed(0), node.inputs[1], placeOf(node, 2, listed(0)?.length ?? 0)];
    return list === null || !tensor || at === null ? null : [list.toSpliced(at, 0, tensor)];
  },
  SequenceErase: ({ node, listed }) => {
    const list = listed(0);
    const at = placeOf(node, 1, (list?.length ?? 0) - 1);
    return list === null || at === null || at >= list.length ? null : [list.toSpliced(at, 1)];
  },
  SequenceMap: (place) => mapped(place),
  SequenceAt: ({ graph, node, listed }) => {
    const list = listed(0);
    const at = placeOf(node, 1, null, list?.length);
    const tensor = at === null ? undefined : list?.[at];
    if (tensor === undefined) return null;
    replaceNode(graph, node, { opType: "Identity", inputs: [tensor] });
    return "tensors";
  },
  SequenceLength: ({ graph, node, listed }) => {
    const list = listed(0);
    if (list === null) return null;
    const length = attribute.tensor("value", Tensor.scalar(DataType.int64, list.length));
    replaceNode(graph, node, { opType: "Constant", inputs: [], attributes: [length] });
    return "tensors";
  },
  ConcatFromSequence: ({ graph, node, names, listed }) => {
    const list = listed(0);
    if (list === null || list.length === 0) return null;
    const view = new NodeView(node);
    const axis = view.int("axis");
    const inputs = view.int("new_axis") === 1 ? stacked(list, axis, graph, node, names) : list;
    replaceNode(graph, node, { opType: "Concat", inputs, attributes: [attribute.int("axis", axis)] });
    return "tensors";
  },
};

/**
 * Writes what is done with sequences whose tensors are known as operators on the tensors: PyTorch's exporters write `hstack` and
 * lists that a scripted module fills so. Other sequences stay as they are. Needs opset 13.
 */
export function unfoldSequences(model: Model): void {
  const names = new Names(model);
  const known = new Map<Value, readonly Value[]>();
  const made: Node[] = [];
  for (const graph of [...walkGraphs(model.graph)]) {
    for (const node of graph) {
      if (node.domain !== "") continue;
      const unfold = Object.hasOwn(UNFOLDS, node.opType) ? UNFOLDS[node.opType] : undefined;
      const listed = (index: number): readonly Value[] | null => known.get(node.inputs[index] ?? nothing) ?? null;
      const lists = unfold?.({ graph, node, names, listed });
      if (!lists || lists === "tensors") continue;
      for (const [index, list] of lists.entries()) {
        const output = node.outputs[index];
        if (output) known.set(output, list);
      }
      made.push(node);
    }
  }
  for (const node of made.reverse()) if (node.outputs.every((output) => !output?.isUsed)) node.graph?.remove(node);
}

const nothing = new Value("");

const asOne = (list: readonly Value[] | null): readonly (readonly Value[])[] | null => (list === null ? null : [list]);

/** The place that an input of a node says, from the front; null where the model does not say. @param missing where there is no such input */
function placeOf(node: Node, index: number, missing: number | null, length = missing ?? 0): number | null {
  const input = node.inputs[index] ?? null;
  if (input === null) return missing;
  const tensor = constantOf(input);
  if (tensor?.size !== 1) return null;
  const at = Number(tensor.values()[0]);
  const place = at < 0 ? at + length : at;
  return place < 0 || place > length ? null : place;
}

/** The tensors with an axis more. */
function stacked(list: readonly Value[], axis: number, graph: Graph, node: Node, names: Names): readonly Value[] {
  const [output] = node.outputs;
  const emit = (opType: string, inputs: readonly Value[], attributes: Node["attributes"]): Value => {
    const value = new Value(names.fresh(`${output?.name ?? node.name}/${opType}`));
    const init = { name: names.fresh(value.name), attributes: [...attributes.values()] };
    graph.insertBefore(node, new Node(opType, inputs, [value], init));
    return value;
  };
  const axes = emit("Constant", [], new Map([["value", attribute.tensor("value", Tensor.ints([axis]))]]));
  return list.map((tensor) => emit("Unsqueeze", [tensor, axes], new Map()));
}

/** The body once for each place. Inputs beside the first are sequences of as many tensors, or a tensor for all. */
function mapped({ graph, node, names, listed }: Place): readonly (readonly Value[])[] | null {
  const body = node.attributes.get("body");
  const first = listed(0);
  const isList = ({ type }: Value): boolean => type?.kind === "sequence";
  const isKnown = node.inputs.every((input, index) => input !== null && (!isList(input) || listed(index) !== null));
  if (first === null || body?.kind !== "graph" || !isKnown) return null;
  const { inputs, outputs, nodes } = body.value;
  if (body.value.initializers.length > 0) return null;
  const prefix = node.name || "SequenceMap";
  const places = first.map((_, place) => {
    const given = inputs.map((_, index) => listed(index)?.[place] ?? node.inputs[index] ?? null);
    const copier = new Copier(
      (value) => given[inputs.indexOf(value)] ?? null,
      (name) => names.fresh(`${prefix}/${place}/${name}`),
    );
    const copies = new Set(nodes.flatMap((inner) => inner.outputs.filter((output) => output !== null)));
    for (const inner of nodes) graph.insertBefore(node, copier.node(inner));
    return outputs.map((output) =>
      copies.has(output) ? copier.copyOf(output) : (given[inputs.indexOf(output)] ?? output),
    );
  });
  return outputs.map((_, index) => places.flatMap((made) => made[index] ?? []));
}
