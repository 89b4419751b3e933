import { isGradientType } from "../../graph/data-type.ts";
import type { Graph, Node, Value } from "../../graph/graph.ts";
import type { Names } from "../../graph/names.ts";
import { Builder } from "../../ops/builder.ts";
import { elementTypeOf } from "../../ops/element-type.ts";
import { Formula } from "../../ops/formula.ts";
import { requireSizesOf } from "../../ops/sizes-that-fit.ts";
import type { Call, Lowering } from "./lowering.ts";

export interface ReplaceOptions {
  readonly names: Names;
  readonly opset: number;
  /** Inputs that are renewed become outputs too. */
  readonly isInput: (value: Value) => boolean;
  /** Sees every node as it is made. */
  readonly onEmit?: (node: Node) => void;
}

/**
 * Puts what a lowering emits in the place of a node.
 * @returns inputs of the graph that are overwritten in place, each with the output that renews it
 */
export function replaceByParts(
  graph: Graph,
  call: Call,
  lowering: Pick<Lowering, "lower" | "renews">,
  { names, opset, isInput, onEmit }: ReplaceOptions,
): readonly (readonly [string, string])[] {
  const { node } = call;
  const output = node.outputs.find((value) => value !== null)?.name ?? node.opType;
  const build = new Builder({ prefix: node.name || output, names, ...(onEmit === undefined ? {} : { onEmit }) });
  const dtype = node.inputs.flatMap((value) => (value === null ? [] : [elementTypeOf(value)])).find(isGradientType);
  const formula = new Formula(build, opset, dtype);
  const made = requireSizesOf(node, () => lowering.lower(formula, call));
  const own = new Set(build.nodes.flatMap(({ outputs }) => outputs));
  /** What is to carry a name of its own must be made here, once. */
  const results = made.map((value, index) =>
    value === null || (own.has(value) && made.indexOf(value) === index) ? value : formula.identity(value),
  );
  graph.insertBefore(node, build.nodes);
  const renewals = (lowering.renews ?? []).flatMap(([from, to]) => renewal(isInput, node, results[from], to));
  for (const [index, old] of node.outputs.entries()) {
    const next = results[index];
    if (old === null || !next) continue;
    old.replaceAllUsesWith(next);
    next.type = old.type ?? next.type;
    if (graph.isDeclared(old)) graph.declare(next);
  }
  const kept = node.outputs.map((old, index) => [results[index], old?.name] as const);
  graph.remove(node);
  for (const [next, name] of kept) if (next && name !== undefined) next.name = name;
  return renewals.map(([input, value]) => {
    if (!value.uses.some(({ user }) => user === graph)) value.name = names.fresh(`${input.name}/next`);
    value.type = input.type;
    graph.addOutput(value);
    return [input.name, value.name] as const;
  });
}

function renewal(
  isInput: (value: Value) => boolean,
  node: Node,
  value: Value | null | undefined,
  to: number,
): readonly (readonly [Value, Value])[] {
  const input = node.inputs[to];
  return input && value && isInput(input) ? [[input, value]] : [];
}
