import { requireArgument, TEXT } from "../arguments.ts";
import { GraphError } from "../errors.ts";
import { type Graph, Node, type Value } from "../graph/graph.ts";
import { A_MODEL, type Model, subgraphsOf, valuesReadBy, walkGraphs } from "../graph/model.ts";
import { jsonMetadata, wrongMetadata } from "./json-metadata.ts";

/** An edge a pass took over: what read `from` now reads `to`, and everything between them is the pass's. */
export interface RecordedEdge {
  readonly from: string;
  readonly to: string;
  /** True where `to` is the name of a graph output that was `from`'s before. */
  readonly renamed?: true;
  /** True where the element type of `from` was declared, for no shape inference tells it. */
  readonly typed?: true;
  /** True where `to` is an update that was masked, behind the optimizer's moments, and no gradient. */
  readonly mask?: true;
  /** What the pass's nodes read beside `from`, where it is no edge's `from`. */
  readonly reads?: readonly string[];
}

/** What a pass did to a model, kept in the model's metadata so that it can be undone and recognised. */
export interface InsertionRecord {
  /** Version of this record's form. */
  readonly schema: 1;
  readonly options: Readonly<Record<string, unknown>>;
  readonly edges: readonly RecordedEdge[];
  /** The version of ONNX's own operators that was imported for the pass's nodes, where the model imported none. */
  readonly opset?: number;
}

/** Where in a model's metadata its AGR insertion is recorded. */
export const AGR_RECORD = "onnx-agr";

/** Every node a pass inserts is named below this. */
export const PREFIX = "onnx-agr";

/** @throws GraphError `E_RECORD` where the entry is damaged */
export function readRecord(model: Model, key: string): InsertionRecord | null {
  requireArgument("model", model, A_MODEL);
  requireArgument("key", key, TEXT);
  const record = jsonMetadata(model, key);
  if (record === undefined) return null;
  if (!isRecord(record)) throw wrongMetadata(key, "is not a record that this version understands");
  return record;
}

function isRecord(value: unknown): value is InsertionRecord {
  if (typeof value !== "object" || value === null) return false;
  const { schema, options, edges, opset } = value as Partial<Record<keyof InsertionRecord, unknown>>;
  const isEdge = (edge: unknown): boolean =>
    typeof edge === "object" &&
    edge !== null &&
    "from" in edge &&
    "to" in edge &&
    typeof edge.from === "string" &&
    typeof edge.to === "string" &&
    (!("renamed" in edge) || edge.renamed === true) &&
    (!("typed" in edge) || edge.typed === true) &&
    (!("mask" in edge) || edge.mask === true) &&
    (!("reads" in edge) || (Array.isArray(edge.reads) && edge.reads.every((name) => typeof name === "string")));
  return (
    schema === 1 &&
    typeof options === "object" &&
    options !== null &&
    !Array.isArray(options) &&
    Array.isArray(edges) &&
    edges.every(isEdge) &&
    (opset === undefined || typeof opset === "number")
  );
}

/** What a recorded edge replaced: the value from before the insertion where `value` is one that was inserted, else itself. */
export function originalOf(model: Model, key: string, value: Value): Value {
  const record = readRecord(model, key);
  const edge = record?.edges.find(({ to }) => to === value.name);
  if (record === null || edge === undefined) return value;
  const origins = new Set(record.edges.flatMap(({ from, reads = [] }) => [from, ...reads]));
  return walkBack(value, origins).origins.find(({ name }) => name === edge.from) ?? value;
}

export function writeRecord(model: Model, key: string, record: Omit<InsertionRecord, "schema">): void {
  model.metadata.set(key, JSON.stringify({ schema: 1, ...record }));
}

/**
 * Undoes recorded edges: what reads `to` reads `from` again, and the nodes that make `to` out of `from` are removed.
 * @returns the number of nodes removed
 * @throws GraphError `E_RECORD` where the graph is no longer as the record says; the model is unchanged then.
 */
export function undo(model: Model, key: string, edges: readonly RecordedEdge[]): number {
  const fail = (reason: string): GraphError =>
    new GraphError("E_RECORD", `cannot undo "${key}": ${reason}`, {
      field: `metadata_props.${key}`,
      hint: "The graph was changed after the insertion; start from the original model.",
    });
  const values = namedValues(model);
  const origins = new Set(edges.flatMap(({ from, reads = [] }) => [from, ...reads]));
  const resolved = edges.map((edge) => {
    const inserted = values.get(edge.to);
    if (inserted === undefined || inserted.producer === null) throw fail(`"${edge.to}" is not in the graph`);
    const between = walkBack(inserted, origins);
    const original = between.origins.find(({ name }) => name === edge.from) ?? values.get(edge.from);
    if (original === undefined) throw fail(`"${edge.from}" is not in the graph`);
    return { edge, inserted, original, nodes: between.nodes };
  });
  const nodes = new Set(resolved.flatMap((each) => [...each.nodes]));
  const own = withInnerNodes(nodes);
  const ends = new Set<Value | null>(resolved.map(({ inserted }) => inserted));
  for (const node of nodes) {
    if (!node.name.startsWith(`${PREFIX}/`)) {
      throw fail(`node "${node.name}" (${node.opType}) is not one this package inserted`);
    }
    for (const output of node.outputs) {
      if (ends.has(output)) continue;
      const stranger = output?.uses.find(({ user }) => !(user instanceof Node) || !own.has(user));
      if (stranger !== undefined) throw fail(`"${output?.name}" is read outside the inserted nodes`);
    }
  }
  // The last first: what was masked may be what was regularized.
  for (const { edge, original, inserted } of resolved.toReversed()) {
    inserted.replaceAllUsesWith(original);
    if (edge.renamed) original.name = edge.to;
    if (edge.typed) {
      original.producer?.graph?.undeclare(original);
      original.type = null;
    }
  }
  for (const [graph, list] of groupByGraph(nodes)) graph.remove(list);
  return nodes.size;
}

/** The nodes, and the nodes in graphs they hold. */
function withInnerNodes(nodes: ReadonlySet<Node>): ReadonlySet<Node> {
  const inner = [...nodes].flatMap(subgraphsOf).flatMap((graph) => [...walkGraphs(graph)]);
  return new Set([...nodes, ...inner.flatMap((graph) => graph.nodes)]);
}

function namedValues(model: Model): ReadonlyMap<string, Value> {
  const values = new Map<string, Value>();
  for (const root of model.rootGraphs) {
    for (const graph of walkGraphs(root)) {
      for (const value of [...graph.inputs, ...graph.initializers]) values.set(value.name, value);
      for (const node of graph) for (const value of node.outputs) if (value !== null) values.set(value.name, value);
    }
  }
  return values;
}

/** The nodes on which `end` depends, up to values with the names of origins, inputs and initializers. */
function walkBack(
  end: Value,
  originNames: ReadonlySet<string>,
): { readonly nodes: ReadonlySet<Node>; readonly origins: readonly Value[] } {
  const nodes = new Set<Node>();
  const origins = new Set<Value>();
  const pending = [end];
  for (let value = pending.pop(); value !== undefined; value = pending.pop()) {
    if (value !== end && originNames.has(value.name)) {
      origins.add(value);
      continue;
    }
    const { producer } = value;
    if (producer === null || nodes.has(producer)) continue;
    nodes.add(producer);
    for (const read of valuesReadBy(producer)) pending.push(read);
  }
  return { nodes, origins: [...origins] };
}

function groupByGraph(nodes: Iterable<Node>): ReadonlyMap<Graph, readonly Node[]> {
  const groups = new Map<Graph, Node[]>();
  for (const node of nodes) {
    if (node.graph === null) continue;
    const group = groups.get(node.graph) ?? [];
    group.push(node);
    groups.set(node.graph, group);
  }
  return groups;
}
