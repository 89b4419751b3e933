import { Graph, type Node, type Use, type Value } from "../../../graph/graph.ts";
import { valuesReadBy } from "../../../graph/model.ts";

/** Which values depend on some sources, and through which single values everything from the sources must pass. */
export class DominatorTree {
  /** The nearest value through which every path from the sources runs; null where there is none. */
  readonly #dominator = new Map<Value, Value | null>();
  readonly #depth = new Map<Value, number>();

  /**
   * @param sources inputs of the graph, or values it starts from
   * @param endsAt values that are reached, but whose readers are not; or some of them
   */
  constructor(graph: Graph, sources: Iterable<Value>, endsAt: (value: Value, reader: Node) => boolean = () => false) {
    for (const source of sources) this.#place(source, null);
    for (const node of graph) {
      const reached = valuesReadBy(node).filter((value) => this.reaches(value) && !endsAt(value, node));
      const [first, ...others] = reached;
      if (first === undefined) continue;
      const dominator = others.reduce<Value | null>((common, value) => this.commonDominator(common, value), first);
      for (const output of node.outputs) if (output !== null) this.#place(output, dominator);
    }
  }

  /** The nearest value through which every path from the sources to `value` runs; null where there is none. */
  dominatorOf(value: Value): Value | null {
    return this.#dominator.get(value) ?? null;
  }

  reaches(value: Value): boolean {
    return this.#dominator.has(value);
  }

  /** The lowest value through which every path from the sources to both runs; null where there is none. */
  commonDominator(a: Value | null, b: Value | null): Value | null {
    let [left, right] = [a, b];
    while (left !== right) {
      if (left === null || right === null) return null;
      const [leftDepth, rightDepth] = [this.#depth.get(left) ?? 0, this.#depth.get(right) ?? 0];
      if (leftDepth >= rightDepth) left = this.#dominator.get(left) ?? null;
      if (rightDepth >= leftDepth) right = this.#dominator.get(right) ?? null;
    }
    return left;
  }

  #place(value: Value, dominator: Value | null): void {
    this.#dominator.set(value, dominator);
    this.#depth.set(value, dominator === null ? 0 : (this.#depth.get(dominator) ?? 0) + 1);
  }
}

/** A value, and those that it is a mere copy of. */
export function identicalTo(value: Value): readonly Value[] {
  const copies = [value];
  for (let at: Value | null = value; at?.producer?.opType === "Identity"; ) {
    at = at.producer.inputs[0] ?? null;
    if (at !== null) copies.push(at);
  }
  return copies;
}

/** What each value leads to, as one bit per target. */
export class Reachability {
  readonly #bits = new Map<Value, bigint>();
  readonly #graph: Graph;
  readonly #ends: ReadonlySet<Value>;

  /**
   * @param targets values and their copies: what leads to one of these leads to the target
   * @param ends targets that lead to themselves alone, whoever reads them
   */
  constructor(graph: Graph, targets: readonly (readonly Value[])[], ends: ReadonlySet<Value> = new Set()) {
    this.#graph = graph;
    this.#ends = ends;
    for (const [index, values] of targets.entries()) {
      for (const value of values) this.#bits.set(value, this.of(value) | (1n << BigInt(index)));
    }
    for (const node of graph.nodes.toReversed()) {
      const bits = this.ofNode(node);
      if (bits !== 0n) for (const value of valuesReadBy(node)) this.#add(value, bits);
    }
  }

  of(value: Value): bigint {
    return this.#bits.get(value) ?? 0n;
  }

  ofNode(node: Node): bigint {
    return node.outputs.reduce((bits, output) => bits | (output === null ? 0n : this.of(output)), 0n);
  }

  /** What a reader makes of the value: for a graph output, the value's own place among the targets. */
  ofUse(use: Use, outputBit: (index: number) => bigint): bigint {
    if (use.user instanceof Graph) return use.user === this.#graph ? outputBit(use.index) : 0n;
    let { user } = use;
    while (user.graph !== this.#graph) {
      const holder = this.#holderOf(user.graph);
      if (holder === null) return 0n;
      user = holder;
    }
    return this.ofNode(user);
  }

  #holderOf(inner: Graph | null): Node | null {
    return this.#graph.nodes.find((node) => [...node.attributes.values()].some((each) => each.value === inner)) ?? null;
  }

  #add(value: Value, bits: bigint): void {
    if (this.#ends.has(value)) return;
    this.#bits.set(value, this.of(value) | bits);
  }
}
