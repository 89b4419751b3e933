import { createHash } from "node:crypto";
import { requireArgument } from "../arguments.ts";
import { type Attribute, graphsOf } from "./attribute.ts";
import { describeNode, type Graph, type Node, type Value } from "./graph.ts";
import type { GraphFunction, Model } from "./model.ts";
import { A_MODEL } from "./model.ts";
import { ATTRIBUTE, TENSOR } from "./proto/schema.ts";
import { type Pieces, writeMessage } from "./proto/write.ts";
import { encodeAttribute, encodeTensor } from "./serde/encode-values.ts";
import type { Tensor } from "./tensor.ts";
import { formatType } from "./value-type.ts";

/** One difference between two models. */
export interface Difference {
  readonly kind: "added" | "removed" | "changed" | "rewired";
  /** `node`, `initializer`, `input`, `output`, `function`, `opset` or `metadata`; `model` of a folder. */
  readonly of: string;
  /** Where: the graph, then the name. */
  readonly at: string;
  readonly from?: string;
  readonly to?: string;
}

/**
 * The structural difference of two models: nodes by name (or, without one, by their first output), tensors by what they hold.
 * Order, unnamed documentation and fields that the graph does not model are not compared.
 */
export function diffModels(a: Model, b: Model): readonly Difference[] {
  requireArgument("a", a, A_MODEL);
  requireArgument("b", b, A_MODEL);
  return [
    ...diffMaps("opset", named("opset", a.opsets), named("opset", b.opsets), String),
    ...diffMaps("metadata", named("metadata", a.metadata), named("metadata", b.metadata), (value) => value),
    ...diffMaps("function", functions(a), functions(b), ({ name }) => name),
    ...[...graphsByPath(a)].flatMap(([path, graph]) => {
      const other = graphsByPath(b).get(path);
      return other === undefined ? [] : diffGraphs(path, graph, other);
    }),
  ];
}

const named = <T>(prefix: string, map: ReadonlyMap<string, T>): ReadonlyMap<string, T> =>
  new Map([...map].map(([key, value]) => [`${prefix} "${key}"`, value]));

const functions = (model: Model): ReadonlyMap<string, GraphFunction> =>
  new Map(model.functions.map((each) => [`function "${each.domain}.${each.name}${each.overload}"`, each]));

function graphsByPath(model: Model): ReadonlyMap<string, Graph> {
  const graphs = new Map<string, Graph>([["graph", model.graph]]);
  for (const [index, { initialization, algorithm }] of model.trainingInfo.entries()) {
    if (initialization !== null) graphs.set(`trainingInfo[${index}].initialization`, initialization);
    if (algorithm !== null) graphs.set(`trainingInfo[${index}].algorithm`, algorithm);
  }
  for (const [path, { body }] of functions(model)) graphs.set(path, body);
  return graphs;
}

function diffGraphs(path: string, a: Graph, b: Graph): readonly Difference[] {
  const at = (name: string): string => `${path}: ${name}`;
  const types = (values: readonly Value[]): ReadonlyMap<string, string> =>
    new Map(values.map(({ name, type }) => [at(name), formatType(type)]));
  const tensors = (graph: Graph): ReadonlyMap<string, Tensor> =>
    new Map(graph.initializers.flatMap(({ name, tensor }) => (tensor === null ? [] : [[at(name), tensor] as const])));
  const nodes = (graph: Graph): ReadonlyMap<string, Node> =>
    new Map(
      graph.nodes.map((node) => [
        at(node.name || (node.outputs.find((value) => value !== null)?.name ?? node.opType)),
        node,
      ]),
    );
  const [nodesA, nodesB] = [nodes(a), nodes(b)];
  return [
    ...diffMaps("input", types(a.inputs), types(b.inputs), (type) => type),
    ...diffMaps("output", types(a.outputs), types(b.outputs), (type) => type),
    ...diffMaps("initializer", tensors(a), tensors(b), describeTensor),
    ...diffMaps("node", nodesA, nodesB, describeNode, () => true),
    ...[...nodesA].flatMap(([key, node]) => {
      const other = nodesB.get(key);
      return other === undefined ? [] : diffNodes(key, node, other);
    }),
  ];
}

function diffNodes(at: string, a: Node, b: Node): readonly Difference[] {
  const operator = ({ domain, opType, overload }: Node): string => `${domain}.${opType}:${overload}`;
  if (operator(a) !== operator(b))
    return [{ kind: "changed", of: "node", at, from: describeNode(a), to: describeNode(b) }];
  const wires = (
    side: "input" | "output",
    from: readonly (Value | null)[],
    to: readonly (Value | null)[],
  ): Difference[] =>
    Array.from(
      { length: Math.max(from.length, to.length) },
      (_, index) => [from[index]?.name ?? "", to[index]?.name ?? "", index] as const,
    )
      .filter(([before, after]) => before !== after)
      .map(([before, after, index]) => ({
        kind: "rewired",
        of: "node",
        at: `${at}, ${side} ${index}`,
        from: before,
        to: after,
      }));
  const attributes = [...new Set([...a.attributes.keys(), ...b.attributes.keys()])].flatMap(
    (name): readonly Difference[] => {
      const [before, after] = [a.attributes.get(name), b.attributes.get(name)];
      const place = `${at}, attribute "${name}"`;
      if (before === undefined || after === undefined)
        return [{ kind: before === undefined ? "added" : "removed", of: "node", at: place }];
      const [graphsA, graphsB] = [graphsOf(before), graphsOf(after)];
      const inner = graphsA.flatMap((graph, index) => {
        const other = graphsB[index];
        return other === undefined ? [] : diffGraphs(`${place}[${index}]`, graph, other);
      });
      return isSameAttribute(before, after) ? inner : [{ kind: "changed", of: "node", at: place }];
    },
  );
  return [...wires("input", a.inputs, b.inputs), ...wires("output", a.outputs, b.outputs), ...attributes];
}

/** Whether two attributes have the same value; what their graphs hold is not looked into. */
export function isSameAttribute(a: Attribute, b: Attribute): boolean {
  const written = (each: Attribute): string =>
    hashOf(
      writeMessage(
        ATTRIBUTE,
        encodeAttribute(each, () => ({})),
      ),
    );
  return a === b || graphsOf(a).length > 0 || written(a) === written(b);
}

function diffMaps<T>(
  of: string,
  a: ReadonlyMap<string, T>,
  b: ReadonlyMap<string, T>,
  describe: (value: T) => string,
  isSame: (before: T, after: T) => boolean = (before, after) => describe(before) === describe(after),
): readonly Difference[] {
  const removed = [...a]
    .filter(([key]) => !b.has(key))
    .map(([at, value]): Difference => ({ kind: "removed", of, at, from: describe(value) }));
  const added = [...b]
    .filter(([key]) => !a.has(key))
    .map(([at, value]): Difference => ({ kind: "added", of, at, to: describe(value) }));
  const changed = [...a].flatMap(([at, before]): readonly Difference[] => {
    const after = b.get(at);
    return after === undefined || isSame(before, after)
      ? []
      : [{ kind: "changed", of, at, from: describe(before), to: describe(after) }];
  });
  return [...removed, ...added, ...changed];
}

/** Type, shape and a hash of the content. */
export function describeTensor(tensor: Tensor): string {
  const type = formatType({ kind: "tensor", dtype: tensor.dtype, shape: tensor.dims });
  return `${type} ${hashOf(writeMessage(TENSOR, { ...encodeTensor("", tensor), name: "" })).slice(0, 12)}`;
}

function hashOf({ parts }: Pieces): string {
  const hash = createHash("sha256");
  for (const part of parts) hash.update(part);
  return hash.digest("hex");
}
