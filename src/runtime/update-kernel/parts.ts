import { DataType } from "../../graph/data-type.ts";
import type { Graph, Node, Value } from "../../graph/graph.ts";

/** Nodes of an update that work on tensors of one size and have to do with each other. */
export interface Part {
  /** How many numbers each of the tensors has. */
  readonly size: number;
  readonly nodes: readonly Node[];
  /** Inputs of that size. */
  readonly tensors: readonly Value[];
  /** Inputs and constants of one number. */
  readonly numbers: readonly Value[];
  readonly outputs: readonly Value[];
}

/** Inputs by name, each with the output that is written where it lies. */
export type InPlace = ReadonlyMap<string, string>;

/**
 * Divides an update into parts that have no tensor in common, single numbers apart. What is read and what is written in its place are in
 * one part, which reads before it writes.
 */
export function partsOf(graph: Graph, inPlace: InPlace): readonly Part[] {
  const sizes = new Map(graph.inputs.map((value) => [value, sizeOf(value)]));
  const sets = new DisjointSets<Value>();
  /** Whether an input has as many numbers as the node gives, and not one for all. */
  const isTensor = (input: Value, node: Node): boolean =>
    input.tensor === null && sizes.get(input) === sizes.get(outputOf(node));
  for (const node of graph.nodes) {
    sizes.set(outputOf(node), Math.max(...inputsOf(node).map((input) => sizes.get(input) ?? 1)));
    for (const input of inputsOf(node)) if (isTensor(input, node)) sets.join(input, outputOf(node));
  }
  const outputs = new Map(graph.outputs.map((value) => [value.name, value]));
  for (const input of graph.inputs) {
    const output = outputs.get(inPlace.get(input.name) ?? "");
    if (output !== undefined) sets.join(input, output);
  }
  const parts = new Map<Value, Mutable>();
  const partOf = (value: Value): Mutable => {
    const root = sets.find(value);
    const known = parts.get(root);
    const part = known ?? { nodes: [], tensors: new Set(), numbers: new Set(), outputs: [] };
    if (known === undefined) parts.set(root, part);
    return part;
  };
  for (const node of graph.nodes) {
    const part = partOf(outputOf(node));
    part.nodes.push(node);
    for (const input of inputsOf(node)) {
      if (input.producer !== null) continue;
      (isTensor(input, node) ? part.tensors : part.numbers).add(input);
    }
  }
  for (const output of graph.outputs) partOf(output).outputs.push(output);
  return [...parts].map(([root, part]) => {
    const { nodes, outputs: made } = part;
    const [tensors, numbers] = [[...part.tensors], [...part.numbers]];
    return { size: sizes.get(root) ?? 0, nodes, tensors, numbers, outputs: made };
  });
}

interface Mutable {
  readonly nodes: Node[];
  readonly tensors: Set<Value>;
  readonly numbers: Set<Value>;
  readonly outputs: Value[];
}

/** The inputs of a node that hold numbers to compute with; what is left is a shape. */
export const inputsOf = ({ inputs }: Node): readonly Value[] =>
  inputs.flatMap((input) => (input?.tensor != null && input.tensor.dtype !== DataType.float ? [] : (input ?? [])));

export function outputOf({ name, outputs: [output] }: Node): Value {
  if (!output) throw new RangeError(`"${name}" gives nothing`);
  return output;
}

/** The shape of a value, all of which is known. */
export function shapeOf({ name, type }: Value): readonly number[] {
  const shape = type?.kind === "tensor" ? type.shape : null;
  if (shape?.every((dim) => typeof dim === "number")) return shape;
  throw new RangeError(`"${name}" has no known shape`);
}

/** How many numbers a value has. */
export const sizeOf = (value: Value): number => shapeOf(value).reduce((product, dim) => product * dim, 1);

/** Sets of things that become one where they are joined. */
class DisjointSets<T> {
  readonly #parents = new Map<T, T>();

  find(thing: T): T {
    let root = thing;
    for (let next = this.#parents.get(root); next !== undefined; next = this.#parents.get(root)) root = next;
    if (root !== thing) this.#parents.set(thing, root);
    return root;
  }

  join(one: T, other: T): void {
    const [from, to] = [this.find(one), this.find(other)];
    if (from !== to) this.#parents.set(from, to);
  }
}
