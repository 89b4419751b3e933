import { GraphError } from "../../errors.ts";
import type { Value } from "../graph.ts";
import type { NodeProto } from "../proto/schema.ts";

/** Is told of nodes that are put in order. */
type Sort = ((note: string) => void) | undefined;

/** The names visible at one place: those of this graph, then those of the graphs around it. */
export class Scope {
  readonly #values = new Map<string, Value>();
  readonly #outer: Scope | null;
  readonly #what: string;
  readonly sort: Sort;

  constructor(outer: Scope | null, what: string, sort = outer?.sort) {
    this.#outer = outer;
    this.#what = what;
    this.sort = sort;
  }

  define(value: Value, by: string): void {
    if (this.#values.has(value.name)) {
      throw new GraphError("E_GRAPH", `"${value.name}" is defined twice in ${this.#what}; the second time by ${by}`, {
        field: value.name,
      });
    }
    this.#values.set(value.name, value);
  }

  own(name: string): Value | undefined {
    return this.#values.get(name);
  }

  find(name: string): Value | undefined {
    return this.#values.get(name) ?? this.#outer?.find(name);
  }
}

/** The value that an input of a node names. @throws GraphError `E_GRAPH` where nothing before the node defines it */
export function readInput(
  name: string,
  index: number,
  node: NodeProto,
  nodes: readonly NodeProto[],
  scope: Scope,
  at: string,
): Value {
  const value = scope.find(name);
  if (value !== undefined) return value;
  const later = nodes.findIndex((each, position) => position >= index && (each.output ?? []).includes(name));
  const who = `${at} "${node.name ?? ""}" (${node.opType ?? ""})`;
  const reason =
    later < 0
      ? `nothing defines it`
      : `only ${at.replace(/\d+\]$/, `${later}]`)} "${nodes[later]?.name ?? ""}" further down makes it: the nodes are unsorted or form a cycle`;
  const hint =
    later < 0 ? {} : { hint: "Where it is no cycle, `onnx-agr upgrade <model> -o <sorted>` puts them in order." };
  throw new GraphError("E_GRAPH", `${who} reads "${name}", but ${reason}`, { field: at, ...hint });
}
