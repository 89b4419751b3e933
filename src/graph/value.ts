import type { Graph } from "./graph.ts";
import type { Node } from "./node.ts";
import type { Tensor } from "./tensor.ts";
import type { ValueType } from "./value-type.ts";

/** One place a value is read: input `index` of a node, or output `index` of a graph. */
export interface Use {
  readonly user: Node | Graph;
  readonly index: number;
}

/** A named edge of the graph: a graph input, an initializer, or what a node computes. */
export class Value {
  name: string;
  type: ValueType | null;
  /** The constant this value holds where it is an initializer. */
  tensor: Tensor | null = null;
  #producer: Node | null = null;
  /** Where each user reads the value: most read it once. */
  readonly #uses = new Map<Node | Graph, number | Set<number>>();

  constructor(name: string, type: ValueType | null = null) {
    this.name = name;
    this.type = type;
  }

  get producer(): Node | null {
    return this.#producer;
  }

  /** A snapshot: safe to iterate while rewiring. */
  get uses(): readonly Use[] {
    const uses: Use[] = [];
    for (const [user, at] of this.#uses) {
      if (typeof at === "number") uses.push({ user, index: at });
      else for (const index of at) uses.push({ user, index });
    }
    return uses;
  }

  get isUsed(): boolean {
    return this.#uses.size > 0;
  }

  /** Makes everything that reads this value read `next` instead, in subgraphs too. A graph output takes `next`'s name. */
  replaceAllUsesWith(next: Value): void {
    for (const { user, index } of this.uses) {
      if ("setInput" in user) user.setInput(index, next);
      else user.setOutput(index, next);
    }
  }

  /** @internal */
  static link(value: Value, user: Node | Graph, index: number): void {
    const at = value.#uses.get(user);
    if (at === undefined) value.#uses.set(user, index);
    else if (typeof at === "number") value.#uses.set(user, new Set([at, index]));
    else at.add(index);
  }

  /** @internal */
  static unlink(value: Value, user: Node | Graph, index: number): void {
    const at = value.#uses.get(user);
    if (at === index) value.#uses.delete(user);
    else if (at instanceof Set && at.delete(index) && at.size === 0) value.#uses.delete(user);
  }

  /** @internal */
  static setProducer(value: Value, node: Node): void {
    value.#producer = node;
  }
}
