import { attribute } from "../graph/attribute.ts";
import type { Graph, Node, Value } from "../graph/graph.ts";
import type { Model } from "../graph/model.ts";
import { Names } from "../graph/names.ts";
import { Builder } from "../ops/builder.ts";
import { Formula } from "../ops/formula.ts";
import type { TypeInference } from "../ops/inference/inference.ts";
import { dimsOf } from "../ops/value-types.ts";

/** A slice of one axis, of steps of one. */
interface Part {
  readonly node: Node;
  readonly made: Value;
  readonly axis: number;
  readonly start: number;
  readonly end: number;
}

/**
 * Slices that part a tensor along one axis, with nothing left and nothing twice, become one Split. Its gradient is one Concat, where those of
 * slices are padded with zeros to the whole tensor and added. PyTorch's exporter cuts the weights of recurrent layers so, for ONNX's order of gates.
 * @param types has seen the graph; sees every node that is made
 * @returns how many tensors there were
 */
export function splitWhatSlicesPart(model: Model, types: TypeInference): number {
  const { graph } = model;
  const slices = new Map<Value, Part[]>();
  for (const node of graph) {
    const part = node.domain === "" && node.opType === "Slice" ? partOf(node, types) : null;
    const [whole] = node.inputs;
    if (part === null || !whole) continue;
    const others = slices.get(whole);
    if (others === undefined) slices.set(whole, [part]);
    else others.push(part);
  }
  const names = new Names(model);
  let count = 0;
  for (const [whole, parts] of slices) {
    if (!isParted(whole, parts)) continue;
    replaceBySplit(graph, whole, parts, { names, opset: model.opset, types });
    count += 1;
  }
  return count;
}

function partOf(node: Node, types: TypeInference): Part | null {
  const [whole, ...places] = node.inputs;
  const [made] = node.outputs;
  const numbers = places.map((value) => (value ? types.content(value) : null));
  const [[start], [end], [axis], [step = 1]] = [0, 1, 2, 3].map((index) => numbers[index] ?? []) as [
    readonly unknown[],
    readonly unknown[],
    readonly unknown[],
    readonly unknown[],
  ];
  const dims = whole ? dimsOf(whole) : null;
  if (!made || dims === null || step !== 1 || numbers[0]?.length !== 1) return null;
  if (typeof start !== "number" || typeof end !== "number") return null;
  const at = axis === undefined && places[2] === undefined ? 0 : axis;
  if (typeof at !== "number") return null;
  const own = at < 0 ? at + dims.length : at;
  const size = dims[own];
  if (typeof size !== "number") return null;
  const within = (place: number): number => Math.min(Math.max(place < 0 ? place + size : place, 0), size);
  return { node, made, axis: own, start: within(start), end: within(end) };
}

/** Whether the parts lie side by side and make up the whole. */
function isParted(whole: Value, parts: readonly Part[]): boolean {
  const [first] = parts;
  if (first === undefined || parts.length < 2 || parts.some(({ axis }) => axis !== first.axis)) return false;
  let reached = 0;
  for (const { start, end } of inOrder(parts)) {
    if (start !== reached || end <= start) return false;
    reached = end;
  }
  return reached === dimsOf(whole)?.[first.axis];
}

const inOrder = (parts: readonly Part[]): readonly Part[] => parts.toSorted((a, b) => a.start - b.start);

function replaceBySplit(
  graph: Graph,
  whole: Value,
  parts: readonly Part[],
  { names, opset, types }: { readonly names: Names; readonly opset: number; readonly types: TypeInference },
): void {
  const [first] = parts;
  if (first === undefined) return;
  const build = new Builder({ prefix: first.node.name || first.made.name, names, onEmit: (node) => types.node(node) });
  const ordered = inOrder(parts);
  const sizes = new Formula(build, opset).ints(ordered.map(({ start, end }) => end - start));
  const made = build.emitAll("Split", [whole, sizes], ordered.length, {
    attributes: [attribute.int("axis", first.axis)],
  });
  graph.insertBefore(first.node, build.nodes);
  for (const [index, { node, made: old }] of ordered.entries()) {
    const next = made[index];
    if (next === undefined) continue;
    const { name } = old;
    old.replaceAllUsesWith(next);
    next.type = old.type ?? next.type;
    if (graph.isDeclared(old)) graph.declare(next);
    graph.remove(node);
    next.name = name;
  }
}
