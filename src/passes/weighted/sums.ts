import { DataType } from "../../graph/data-type.ts";
import type { Graph, Node, Value } from "../../graph/graph.ts";
import { elementTypeOf } from "../../ops/element-type.ts";
import type { Formula } from "../../ops/formula.ts";
import { shapeOf } from "../../ops/value-types.ts";
import { type Places, placesOf, sameShape } from "./places.ts";

/** Emits a number per channel as a column, or one number for all. */
export type Weight = (f: Formula) => Value;

/** A tensor times its weight; null: as it is. */
export interface Term {
  readonly value: Value;
  readonly weight: Weight | null;
}

/** Terms and a number per channel, added up. */
export interface WeightedSum {
  readonly terms: readonly Term[];
  readonly added: Weight | null;
  /** The nodes that compute it, each in a pass over memory. */
  readonly nodes: readonly Node[];
}

/** A sum, with where its weights belong. */
export interface PlacedSum extends WeightedSum {
  readonly places: Places;
}

const plus = (a: Weight | null, b: Weight | null): Weight | null =>
  a === null || b === null ? (a ?? b) : (f) => f.add(a(f), b(f));

const times = (a: Weight | null, by: Weight): Weight => (a === null ? by : (f) => f.mul(a(f), by(f)));

/** Several sums may read one. */
function once(weight: Weight): Weight {
  let made: Value | null = null;
  return (f) => {
    made ??= weight(f);
    return made;
  };
}

const MINUS: Weight = (f) => f.number(-1);

const scaled = ({ terms, added, nodes }: WeightedSum, by: Weight): WeightedSum => ({
  terms: terms.map(({ value, weight }) => ({ value, weight: times(weight, by) })),
  added: added && times(added, by),
  nodes,
});

/** How an operator makes a weighted sum of others; null where what the node has is none. */
type Reader = (sums: Sums, node: Node, operands: readonly [Value, Value]) => WeightedSum | null;

const product: Reader = (sums, { outputs }, [a, b]) => {
  for (const [whole, factor] of [
    [a, b],
    [b, a],
  ] as const) {
    const weight = sums.weightOf(factor, whole, outputs[0]);
    if (weight !== null) return scaled(sums.of(whole), weight);
  }
  return null;
};

/** @param sign what the second operand is multiplied by; null: nothing */
const sum =
  (sign: Weight | null): Reader =>
  (sums, { outputs }, [a, b]) => {
    const signed = (weight: Weight): Weight => (sign === null ? weight : times(weight, sign));
    const added = sums.weightOf(b, a, outputs[0]);
    if (added !== null) {
      const { terms, added: before, nodes } = sums.of(a);
      return { terms, added: plus(before, signed(added)), nodes };
    }
    const first = sums.weightOf(a, b, outputs[0]);
    if (first === null && !(sameShape(a, outputs[0]) && sameShape(b, outputs[0]))) return null;
    const second = sign === null ? sums.of(b) : scaled(sums.of(b), sign);
    if (first !== null) return { ...second, added: plus(first, second.added) };
    const one = sums.of(a);
    return {
      terms: [...one.terms, ...second.terms],
      added: plus(one.added, second.added),
      nodes: [...one.nodes, ...second.nodes],
    };
  };

const READERS: ReadonlyMap<string, Reader> = new Map([
  ["Mul", product],
  ["Add", sum(null)],
  ["Sub", sum(MINUS)],
]);

export const isWeightable = ({ domain, opType }: Node): boolean => domain === "" && READERS.has(opType);

/**
 * Reads what a value is a weighted sum of, with a weight per channel: through nodes of the graph whose results nothing else reads.
 * @param lanes what the numbers of a channel that lie beside each other have to be a multiple of
 */
export function sumOf(value: Value, graph: Graph, lanes: number): PlacedSum | null {
  const sums = new Sums(graph, lanes);
  const read = value.producer && sums.made(value.producer);
  return read && sums.places && { ...read, places: sums.places };
}

class Sums {
  readonly #graph: Graph;
  readonly #lanes: number;
  #places: Places | null = null;

  constructor(graph: Graph, lanes: number) {
    this.#graph = graph;
    this.#lanes = lanes;
  }

  /** Of those weights that are more than one number; all are of the same. */
  get places(): Places | null {
    return this.#places;
  }

  of(value: Value): WeightedSum {
    const [use, ...others] = value.uses;
    const isOwn = use !== undefined && others.length === 0 && "graph" in use.user && use.user.graph === this.#graph;
    const read = isOwn && value.producer !== null ? this.made(value.producer) : null;
    return read ?? { terms: [{ value, weight: null }], added: null, nodes: [] };
  }

  made(node: Node): WeightedSum | null {
    const [a, b] = node.inputs;
    if (node.domain !== "" || !a || !b || elementTypeOf(a) !== DataType.float) return null;
    if (node.opType === "Reshape") return this.#reshaped(a);
    const before = this.#places;
    const read = READERS.get(node.opType)?.(this, node, [a, b]) ?? null;
    if (read === null) this.#places = before;
    return read && { ...read, nodes: [node, ...read.nodes] };
  }

  /** Numbers keep their order. What is as it was before it was reshaped, is not worth to be looked through. */
  #reshaped(from: Value): WeightedSum | null {
    const read = this.of(from);
    return read.nodes.length === 0 ? null : read;
  }

  /** A weight of what has the result's shape; null where the value is none, or one of other places. */
  weightOf(value: Value, whole: Value, result: Value | null | undefined): Weight | null {
    if (!sameShape(whole, result)) return null;
    const places = placesOf(shapeOf(value), shapeOf(whole));
    if (places === null) return null;
    if (places.count === 1) return once((f) => f.reshape(value, [1, 1]));
    const known = this.#places;
    if (places.span % this.#lanes !== 0) return null;
    if (known !== null && (known.count !== places.count || known.span !== places.span)) return null;
    this.#places = places;
    return once((f) => f.reshape(value, [places.count, 1]));
  }
}

/** Terms that a pass over memory is for each, and tensors that are added on the way. A pass overwrites what it adds to: what others read is a term. */
export interface SplitTerms {
  readonly passes: readonly Term[];
  readonly summands: readonly Value[];
}

export function splitTerms(terms: readonly Term[]): SplitTerms {
  const isFree = ({ value, weight }: Term): boolean =>
    weight === null && value.producer !== null && value.uses.length === 1;
  const passes = terms.filter((term) => !isFree(term));
  const free = terms.filter(isFree);
  if (passes.length > 0) return { passes, summands: free.map(({ value }) => value) };
  return { passes: free.slice(0, 1), summands: free.slice(1).map(({ value }) => value) };
}
