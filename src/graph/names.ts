import { type Model, walkGraphs } from "./model.ts";

/**
 * Hands out names no value and no node of the model has. The same model and the same hints give the same names.
 */
export class Names {
  readonly #taken = new Set<string>();
  /** By hint: the suffix to try next. All below it are taken, and no name is ever given back. */
  readonly #next = new Map<string, number>();

  constructor(model: Model) {
    for (const root of model.rootGraphs) {
      for (const graph of walkGraphs(root)) {
        for (const list of [graph.inputs, graph.initializers, graph.outputs]) {
          for (const { name } of list) this.#taken.add(name);
        }
        for (const { value } of graph.valueInfo) this.#taken.add(value.name);
        for (const node of graph) {
          this.#taken.add(node.name);
          for (const output of node.outputs) if (output !== null) this.#taken.add(output.name);
        }
      }
    }
  }

  /** `hint` itself where it is free, else `hint_1`, `hint_2`, ... */
  fresh(hint: string): string {
    let suffix = this.#next.get(hint) ?? 0;
    let name = suffix === 0 ? hint : `${hint}_${suffix}`;
    while (this.#taken.has(name)) {
      suffix++;
      name = `${hint}_${suffix}`;
    }
    this.#next.set(hint, suffix + 1);
    this.#taken.add(name);
    return name;
  }
}
