import { DataType } from "../../../graph/data-type.ts";
import type { Graph, Node, Use, Value } from "../../../graph/graph.ts";
import { valuesReadBy } from "../../../graph/model.ts";
import { DominatorTree, identicalTo, Reachability } from "./flow.ts";
import type { StatePair } from "./pair-state.ts";

export interface AnatomyOptions {
  /** Names of the state inputs that are parameters. Default: all that the losses depend on. */
  readonly parameters?: ReadonlySet<string>;
  /** Renewals that the losses read as constants: those of parameters that another loss trains in the same step. */
  readonly constants?: ReadonlySet<Value>;
}

/**
 * What the state of a train step is to its losses: parameters take part in them; the slots of a parameter lead to its renewal,
 * and to no other parameter's. The renewal of a parameter ends the step for it: what reads it (averages, a loss that comes
 * after) is not its optimizer.
 */
export class Anatomy {
  readonly graph: Graph;
  readonly pairs: readonly StatePair[];
  readonly losses: readonly Value[];
  readonly parameters: readonly StatePair[];
  /** Inputs that are no state and take part in the losses. */
  readonly data: readonly Value[];
  readonly #isParameter: ReadonlySet<StatePair>;
  readonly #reach: Reachability;
  /** The same without the ways of scalars: norms over all parameters make no state another parameter's. */
  readonly #tensorReach: Reachability;
  readonly #constants: ReadonlySet<Value>;
  /** The renewals of parameters and what they are copies of, each with its parameter. */
  readonly #ends: ReadonlyMap<Value, StatePair>;

  constructor(graph: Graph, pairs: readonly StatePair[], losses: readonly Value[], options: AnatomyOptions = {}) {
    const { parameters: told, constants = new Set() } = options;
    this.graph = graph;
    this.pairs = pairs;
    this.losses = losses;
    const toLosses = new Reachability(
      graph,
      losses.map((loss) => [loss]),
      constants,
    );
    const feeds = (value: Value): boolean => toLosses.of(value) !== 0n;
    this.parameters = pairs.filter(({ input }) => (told === undefined ? feeds(input) : told.has(input.name)));
    this.#isParameter = new Set(this.parameters);
    const states = new Set(pairs.map(({ input }) => input));
    this.data = graph.inputs.filter((value) => !states.has(value) && value.tensor === null && feeds(value));
    this.#ends = new Map(
      this.parameters.flatMap((pair) => madeCopies(pair.output).map((value): [Value, StatePair] => [value, pair])),
    );
    this.#constants = constants;
    const targets = pairs.map(({ output }) => [output, ...madeCopies(output)]);
    const ends = [...this.#ends.keys(), ...constants];
    this.#reach = new Reachability(graph, targets, new Set(ends));
    const made = graph.nodes.flatMap(({ outputs }) => outputs).filter((value) => value !== null);
    this.#tensorReach = new Reachability(graph, targets, new Set([...ends, ...made.filter(isScalar)]));
  }

  isParameter(pair: StatePair): boolean {
    return this.#isParameter.has(pair);
  }

  /** State that leads to this parameter's renewal and to no other's. */
  slotsOf(parameter: StatePair): readonly StatePair[] {
    return this.pairs.filter((pair) => {
      const [owner, ...others] = this.#ownersOf(pair);
      return owner === parameter && others.length === 0;
    });
  }

  /** State that leads to this parameter's renewal, in this step or, through other state, in a later one. */
  memoryOf(parameter: StatePair): readonly StatePair[] {
    const found = new Set([parameter]);
    let size = 0;
    while (size < found.size) {
      size = found.size;
      const bits = this.#bitsOf([...found]);
      for (const pair of this.pairs)
        if (!this.isParameter(pair) && (this.#reach.of(pair.input) & bits) !== 0n) found.add(pair);
    }
    return [...found];
  }

  /** State that leads to this parameter's renewal, and to others' only where they have its shape: two views of one tensor. */
  feedersOf(parameter: StatePair): readonly StatePair[] {
    const shape = shapeOf(parameter.input);
    return this.pairs.filter((pair) => {
      const owners = this.#ownersOf(pair);
      return owners.includes(parameter) && owners.every(({ input }) => shapeOf(input) === shape);
    });
  }

  /** The parameters to whose renewal a state leads: through tensors alone, where scalars lead from one to the others. */
  #ownersOf(pair: StatePair): readonly StatePair[] {
    if (this.isParameter(pair)) return [];
    const by = (reach: Reachability): readonly StatePair[] => {
      const bits = reach.of(pair.input);
      return this.parameters.filter((each) => (bits & this.#bitOf(each)) !== 0n);
    };
    const all = by(this.#reach);
    return all.length < 2 ? all : by(this.#tensorReach);
  }

  /** Whether a value takes part in one of these pairs' renewals. */
  leadsTo(value: Value, pairs: readonly StatePair[]): boolean {
    return (this.#reach.of(value) & this.#bitsOf(pairs)) !== 0n;
  }

  /** The same of what one reader makes of a value. */
  useLeadsTo(use: Use, pairs: readonly StatePair[]): boolean {
    const outputBit = (index: number): bigint => {
      const output = this.graph.outputs[index];
      const pair = this.pairs.find((each) => each.output === output);
      return pair === undefined ? 0n : this.#bitOf(pair);
    };
    return (this.#reach.ofUse(use, outputBit) & this.#bitsOf(pairs)) !== 0n;
  }

  /**
   * How the data reach the renewals. Truth values are no way: whether a step is skipped is not how large it is.
   * @param scalars whether values of one element are ways: norms, rates, scales
   * @param sums state that counts as data: what gradients are added up in
   */
  dominators({
    scalars = true,
    sums = [],
  }: {
    readonly scalars?: boolean;
    readonly sums?: readonly Value[];
  } = {}): DominatorTree {
    const isRandom = (value: Value): boolean => value.producer?.opType.startsWith("Random") ?? false;
    const made = this.graph.nodes.flatMap(({ outputs }) => outputs).filter((value) => value !== null);
    const isEnd = (value: Value, reader: Node): boolean => {
      const makes = (test: (output: Value) => boolean): boolean =>
        reader.outputs.some((output) => output !== null && test(output));
      const pair = this.#ends.get(value);
      if (pair !== undefined) return !makes((output) => this.#ends.get(output) === pair);
      return this.#constants.has(value) && !makes((output) => this.#constants.has(output));
    };
    return new DominatorTree(
      this.graph,
      [...this.data, ...sums, ...made.filter(isRandom)],
      (value, reader) => isEnd(value, reader) || isTruth(value) || (!scalars && isScalar(value)),
    );
  }

  #bitOf(pair: StatePair): bigint {
    return 1n << BigInt(this.pairs.indexOf(pair));
  }

  #bitsOf(pairs: readonly StatePair[]): bigint {
    return pairs.reduce((bits, pair) => bits | this.#bitOf(pair), 0n);
  }
}

/** The values through which all that the data contribute to some renewals must run, the lowest first. */
export function narrows(tree: DominatorTree, renewals: readonly StatePair[]): readonly Value[] {
  const reached = renewals.map(({ output }) => output).filter((value) => tree.reaches(value));
  const [first = null, ...others] = reached;
  const lowest = others.reduce<Value | null>((common, value) => tree.commonDominator(common, value), first);
  const chain: Value[] = [];
  for (let at = lowest; at !== null; at = tree.dominatorOf(at)) chain.push(at);
  return chain;
}

/** Whether a value depends on one of the inputs. */
export function dependsOn(value: Value, inputs: readonly Value[]): boolean {
  const pending = [value];
  const seen = new Set<Value>();
  for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
    if (seen.has(next)) continue;
    seen.add(next);
    if (inputs.includes(next)) return true;
    if (next.producer !== null) for (const each of valuesReadBy(next.producer)) pending.push(each);
  }
  return false;
}

/** A renewal and what it is a copy of, less inputs: those are what was there before. */
export const madeCopies = (output: Value): readonly Value[] =>
  identicalTo(output).filter(({ producer }) => producer !== null);

function isTruth({ type }: Value): boolean {
  return type?.kind === "tensor" && type.dtype === DataType.bool;
}

const shapeOf = ({ type }: Value): string => (type?.kind === "tensor" ? (type.shape?.join() ?? "?") : "?");

function isScalar({ type }: Value): boolean {
  return type?.kind === "tensor" && type.shape !== null && type.shape.every((dim) => dim === 1);
}
