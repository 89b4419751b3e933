import type { RecordedEdge } from "../edits/record.ts";
import { attribute } from "../graph/attribute.ts";
import { DataType } from "../graph/data-type.ts";
import { Graph, Node, Value } from "../graph/graph.ts";
import { Model, valuesReadBy } from "../graph/model.ts";
import { Tensor } from "../graph/tensor.ts";
import { tensorType } from "../graph/value-type.ts";

/** One inserted edge to be cut out: the gradients it takes, in their order. */
export interface Cut {
  readonly edge: RecordedEdge;
  /** One shape for a tensor; one per element for a sequence. */
  readonly shapes: readonly (readonly number[])[];
  readonly isSequence: boolean;
  readonly dtype: number;
}

export interface Isolated {
  readonly model: Model;
  /** Per cut, the names of the inputs and outputs of its gradients: float32, converted in the graph. */
  readonly gradients: readonly { readonly inputs: readonly string[]; readonly outputs: readonly string[] }[];
}

/**
 * Cuts what was inserted out of a model, so that it runs without the optimizer: the gradients become inputs, what the
 * optimizer would read becomes outputs. The model is used up.
 * @returns null where an edge does not lie in a graph of its own, but inside one of a node
 */
export function isolate(model: Model, cuts: readonly Cut[]): Isolated | null {
  const root = model.rootGraphs.find((graph) =>
    graph.nodes.some(({ outputs }) => outputs.some((value) => value?.name === cuts[0]?.edge.to)),
  );
  if (root === undefined) return null;
  const values = new Map(
    [...root.inputs, ...root.nodes.flatMap(({ outputs }) => outputs)].flatMap((value) =>
      value === null ? [] : [[value.name, value] as const],
    ),
  );
  const isolated = new Graph("edges");
  const before: Node[] = [];
  const after: Node[] = [];
  const cast = (list: Node[], from: Value, name: string, to: number): Value => {
    const value = new Value(name);
    list.push(new Node("Cast", [from], [value], { attributes: [attribute.int("to", to)] }));
    return value;
  };
  const ends: Value[] = [];
  const gradients: { inputs: string[]; outputs: string[] }[] = [];
  for (const [index, { edge, shapes, isSequence, dtype }] of cuts.entries()) {
    const [from, to] = [values.get(edge.from) ?? values.get(edge.to), values.get(edge.to)];
    if (from === undefined || to === undefined) return null;
    ends.push(to);
    const inputs = shapes.map((shape, element) => new Value(`g${index}_${element}`, tensorType(DataType.float, shape)));
    for (const each of inputs) isolated.inputs.push(each);
    const typed = inputs.map((input) => cast(before, input, `${input.name}_typed`, dtype));
    const outputs = shapes.map((_, element) => `r${index}_${element}`);
    const [first] = typed;
    if (isSequence) {
      const sequence = new Value(`s${index}`);
      before.push(new Node("SequenceConstruct", typed, [sequence]));
      from.replaceAllUsesWith(sequence);
      for (const [element, name] of outputs.entries()) {
        const [position, taken] = [new Value(`${name}_position`), new Value(`${name}_typed`)];
        after.push(
          new Node("Constant", [], [position], {
            attributes: [attribute.tensor("value", Tensor.scalar(DataType.int64, element))],
          }),
        );
        after.push(new Node("SequenceAt", [to, position], [taken]));
        cast(after, taken, name, DataType.float);
      }
    } else if (first !== undefined) {
      from.replaceAllUsesWith(first);
      for (const name of outputs) cast(after, to, name, DataType.float);
    }
    gradients.push({ inputs: inputs.map(({ name }) => name), outputs });
  }
  const kept = ancestors(ends);
  isolated.append(
    before,
    root.nodes.filter((node) => kept.has(node)),
    after,
  );
  const results = new Map(
    after.flatMap(({ outputs }) => outputs).flatMap((value) => (value === null ? [] : [[value.name, value] as const])),
  );
  for (const name of gradients.flatMap(({ outputs }) => outputs)) {
    const value = results.get(name);
    if (value === undefined) return null;
    value.type = tensorType(DataType.float);
    isolated.addOutput(value);
  }
  const cut = new Model(model.irVersion, isolated);
  for (const [domain, version] of model.opsets) cut.opsets.set(domain, version);
  for (const each of model.functions) cut.functions.push(each);
  return { model: cut, gradients };
}

function ancestors(ends: readonly Value[]): ReadonlySet<Node> {
  const nodes = new Set<Node>();
  const pending = [...ends];
  for (let value = pending.pop(); value !== undefined; value = pending.pop()) {
    if (value.producer === null || nodes.has(value.producer)) continue;
    nodes.add(value.producer);
    for (const read of valuesReadBy(value.producer)) pending.push(read);
  }
  return nodes;
}
