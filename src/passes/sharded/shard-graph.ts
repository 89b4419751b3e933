import { isRandom } from "../../autodiff/repeatable.ts";
import { attribute } from "../../graph/attribute.ts";
import { type Graph, Node, Value } from "../../graph/graph.ts";
import { subgraphsOf, valuesReadBy } from "../../graph/model.ts";
import type { Names } from "../../graph/names.ts";
import { Tensor } from "../../graph/tensor.ts";
import type { TypeInference } from "../../ops/inference/inference.ts";
import { isAlike } from "./alike.ts";
import { isReplicated, isSharded, type Placement, piece, REPLICATED } from "./placement.ts";
import { SHARDING_RULES } from "./rules/table.ts";
import { dimsOfValue, type Placed, type PlacedBody, ShardCall } from "./shard-call.ts";

export interface ShardingSettings {
  readonly opset: number;
  readonly count: number;
  readonly names: Names;
  readonly types: TypeInference;
}

/** Where everything lies that the parts of a batch compute, and what lets a graph compute one. */
export interface GraphPlacement {
  /** Values that are not here need whole results of all parts. */
  readonly placements: ReadonlyMap<Value, Placement>;
  readonly edit: () => void;
}

/** Where values lie outside of a graph that is inside a node, and how they are cut there. */
interface Outside {
  readonly placementOf: (value: Value) => Placement | null;
  readonly narrow: (value: Value, placement: Placement) => (() => Value) | null;
}

/**
 * Follows where tensors lie through a graph. A node stays in the parts where it is linear in what they have to add up, or works on pieces of
 * its own; what needs whole results is left out, with everything behind it.
 * @param given where the inputs lie; others are replicated
 * @returns null where something needs the pieces of other parts
 */
export function placeGraph(
  graph: Graph,
  given: ReadonlyMap<Value, Placement>,
  settings: ShardingSettings,
): GraphPlacement | null {
  return new Sharder(graph, given, settings, null).place();
}

/** Whether a node gives other numbers each time it runs, or a node of a graph inside it. */
const drawsByChance = (node: Node): boolean =>
  isRandom(node) || subgraphsOf(node).some((graph) => graph.nodes.some(drawsByChance));

class Sharder {
  readonly #graph: Graph;
  readonly #placements: Map<Value, Placement>;
  readonly #settings: ShardingSettings;
  readonly #outside: Outside | null;
  readonly #edits: (() => void)[] = [];
  /** What was cut, by where it is to lie. */
  readonly #cut = new Map<Value, Map<string, () => Value>>();

  constructor(graph: Graph, given: ReadonlyMap<Value, Placement>, settings: ShardingSettings, outside: Outside | null) {
    this.#graph = graph;
    this.#settings = settings;
    this.#outside = outside;
    this.#placements = new Map(given);
    for (const value of [...graph.inputs, ...graph.initializers]) {
      if (!this.#placements.has(value)) this.#placements.set(value, REPLICATED);
    }
  }

  place(): GraphPlacement | null {
    for (const node of this.#graph) {
      const inputs = node.inputs.map((value) => (value === null ? REPLICATED : this.#placementOf(value)));
      const inner = subgraphsOf(node).length === 0 ? [] : valuesReadBy(node).map((value) => this.#placementOf(value));
      const placed = this.#placed(node, inputs, inner);
      if (placed === "apart") return null;
      for (const [index, output] of placed === null ? [] : node.outputs.entries()) {
        const placement = placed?.outputs[index];
        if (output === null) continue;
        if (placement === undefined || !this.#fits(output, placement)) return null;
        this.#placements.set(output, placement);
      }
    }
    return {
      placements: this.#placements,
      edit: () => {
        for (const edit of this.#edits) edit();
      },
    };
  }

  /** Null: it needs whole results. "apart": it needs the pieces of other parts. */
  #placed(
    node: Node,
    inputs: readonly (Placement | null)[],
    inner: readonly (Placement | null)[],
  ): Placed | "apart" | null {
    const known = inputs.filter((placement) => placement !== null);
    const read = [...inputs, ...inner];
    const hasPieces = read.some((placement) => placement !== null && isSharded(placement));
    if (drawsByChance(node)) return "apart";
    if (known.length < inputs.length || inner.includes(null)) return hasPieces ? "apart" : null;
    if (read.every((placement) => placement !== null && isReplicated(placement))) {
      return { outputs: node.outputs.map(() => REPLICATED) };
    }
    const call = new ShardCall(node, {
      ...this.#settings,
      placements: known,
      body: (graph, given) => this.#body(graph, given, node),
    });
    const rule = node.domain === "" ? SHARDING_RULES.get(node.opType) : undefined;
    const placed = rule?.(call) ?? null;
    const edits = placed && this.#editsOf(node, placed);
    if (placed === null || edits === null) return hasPieces ? "apart" : null;
    this.#edits.push(...edits);
    return placed;
  }

  #placementOf(value: Value): Placement | null {
    return this.#placements.get(value) ?? this.#outside?.placementOf(value) ?? null;
  }

  #fits(value: Value, placement: Placement): boolean {
    if (isReplicated(placement)) return true;
    const dims = dimsOfValue(value);
    return dims !== null && piece(dims, placement, this.#settings.count) !== null;
  }

  #editsOf(node: Node, { inputs = [], sizes = new Map(), attributes = [], edit }: Placed): (() => void)[] | null {
    const edits: (() => void)[] = [];
    for (const [index, placement] of inputs.entries()) {
      const value = node.inputs[index];
      if (!value || placement === null || isReplicated(placement)) continue;
      const cut = this.#narrow(value, placement, node);
      if (cut === null) return null;
      edits.push(() => node.setInput(index, cut()));
    }
    for (const [index, numbers] of sizes) edits.push(() => node.setInput(index, this.#constant(numbers, node)));
    for (const each of attributes) edits.push(() => node.attributes.set(each.name, each));
    return edit === undefined ? edits : [...edits, edit];
  }

  /** A piece of what all parts have all of, where all pieces are alike. */
  #narrow(value: Value, placement: Placement, before: Node): (() => Value) | null {
    const isOwn = this.#placements.has(value);
    if (!isOwn) return this.#outside?.narrow(value, placement) ?? null;
    const dims = dimsOfValue(value);
    const sizes = dims && piece(dims, placement, this.#settings.count);
    if (!isSharded(placement) || sizes === null) return null;
    const { axis } = placement;
    if (!isAlike(value, axis, this.#settings.opset)) return null;
    const size = sizes[axis] ?? 0;
    const made = this.#cut.get(value) ?? new Map<string, () => Value>();
    this.#cut.set(value, made);
    const key = `${axis} ${size}`;
    let result: Value | null = null;
    const cut = made.get(key) ?? (() => (result ??= this.#slice(value, axis, size, before)));
    made.set(key, cut);
    return cut;
  }

  #slice(value: Value, axis: number, size: number, before: Node): Value {
    const [start, end, axes] = [[0], [size], [axis]].map((numbers) => this.#constant(numbers, before));
    const name = this.#settings.names.fresh(`${value.name}/piece`);
    const result = new Value(name);
    this.#graph.insertBefore(
      before,
      new Node("Slice", [value, start ?? null, end ?? null, axes ?? null], [result], { name }),
    );
    return result;
  }

  #constant(numbers: readonly number[], before: Node): Value {
    const name = this.#settings.names.fresh(`${before.name}/sizes`);
    const value = new Value(name);
    const attributes = [attribute.tensor("value", Tensor.ints(numbers))];
    const graph = before.graph ?? this.#graph;
    graph.insertBefore(before, new Node("Constant", [], [value], { name, attributes }));
    return value;
  }

  #body(graph: Graph, given: readonly Placement[], node: Node): PlacedBody | null {
    const inputs = new Map(
      graph.inputs.flatMap((value, index) => {
        const placement = given[index];
        return placement === undefined ? [] : [[value, placement] as const];
      }),
    );
    const outside: Outside = {
      placementOf: (value) => this.#placementOf(value),
      narrow: (value, placement) => this.#narrow(value, placement, node),
    };
    const placed = new Sharder(graph, inputs, this.#settings, outside).place();
    const outputs = graph.outputs.map((value) => placed?.placements.get(value) ?? this.#placementOf(value));
    const known = outputs.filter((placement) => placement !== null);
    return placed === null || known.length < outputs.length ? null : { outputs: known, edit: placed.edit };
  }
}
