import { DataType, isGradientType } from "../../graph/data-type.ts";
import { type Graph, Node, type Value } from "../../graph/graph.ts";
import { subgraphsOf } from "../../graph/model.ts";
import { constantOf, isHeld } from "../../ops/constants.ts";
import { opTypes } from "../../ops/operators/index.ts";

/** One place where a node reads a tensor. */
export interface Reading {
  /** What is read there: the tensor itself, or its elements moved. */
  readonly value: Value;
  readonly node: Node;
  readonly index: number;
}

/** Operators whose output holds the elements of their first input, elsewhere. */
const FIRST_MOVES = opTypes(
  ["Identity", "Cast", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose", "Expand", "Tile", "Slice"],
  ["Gather", "GatherElements", "GatherND", "Split", "Pad"],
);

/** Operators whose output is made of shapes or positions alone. */
const POSITIONS = opTypes(["Shape", "Size", "Range", "ConstantOfShape", "EyeLike", "NonZero"]);

/** Operators that read no element of what they are given. */
const SIZES = opTypes(["Shape", "Size"]);

/** Operators that scale or shift what they read. */
const FACTORS = opTypes(["Add", "Sub", "Mul", "Div"]);

/** The inputs whose elements the output of a node holds, elsewhere. */
function movedBy({ domain, opType }: Node): readonly number[] | "all" {
  if (domain !== "") return [];
  if (opType === "Concat") return "all";
  return FIRST_MOVES.has(opType) ? [0] : [];
}

/** Where a tensor is read, behind the operators that only move its elements. */
export function readingsOf(value: Value): readonly Reading[] {
  const seen = new Set<Value>();
  const readings: Reading[] = [];
  const pending = [value];
  for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
    if (seen.has(next)) continue;
    seen.add(next);
    for (const { user: node, index } of next.uses) {
      if (!(node instanceof Node) || (node.domain === "" && SIZES.has(node.opType))) continue;
      const moved = movedBy(node);
      if (moved === "all" || moved.includes(index)) {
        for (const output of node.outputs) if (output !== null) pending.push(output);
      } else readings.push({ value: next, node, index });
    }
  }
  return readings;
}

/** A value, and those whose elements it holds, nearest first, behind the operators that only move them. */
function* sourcesOf(value: Value): Generator<Value> {
  const seen = new Set<Value>();
  let source: Value | null = value;
  while (source !== null && !seen.has(source)) {
    seen.add(source);
    yield source;
    source = movedInto(source);
  }
}

/** What the elements of a value were before its node moved them; null where that is no mover of one tensor. */
function movedInto({ producer }: Value): Value | null {
  const moved = producer === null ? [] : movedBy(producer);
  const [at] = moved === "all" ? [] : moved;
  return at === undefined ? null : (producer?.inputs[at] ?? null);
}

/** The value whose elements a value holds, behind the operators that only move them. */
export const sourceOf = (value: Value): Value => [...sourcesOf(value)].at(-1) ?? value;

const LOOKUPS = opTypes(["Gather", "GatherND", "GatherElements"]);

/** Whether the rows of a table were looked up on the way to a value: by indices that are computed, or by a table of them. */
export const isLookedUp = (value: Value): boolean =>
  [...sourcesOf(value)].some(({ producer }) => {
    const indices = producer?.inputs[1] ?? null;
    return producer?.domain === "" && LOOKUPS.has(producer.opType) && indices !== null && !isShortList(indices);
  });

const isShortList = (indices: Value): boolean => {
  const rank = constantOf(indices)?.dims.length;
  return rank !== undefined && rank < 2;
};

/** The node whose elements a value holds; null for inputs and initializers. */
export const madeBy = (value: Value): Node | null => sourceOf(value).producer;

/** Whether a value holds whole numbers, or numbers that are made of shapes and positions alone. */
export function isPosition(value: Value): boolean {
  const source = sourceOf(value);
  return isWhole(source) || (source.producer?.domain === "" && POSITIONS.has(source.producer.opType));
}

/** The values of a graph that hold data as the user gives them, moved, scaled or shifted at most, or shapes and positions. */
export function rawValues(graph: Graph): ReadonlySet<Value> {
  const raw = new Set<Value>(graph.inputs);
  collectRaw(graph, raw);
  return raw;
}

function collectRaw(graph: Graph, raw: Set<Value>): void {
  for (const node of graph) {
    for (const inner of subgraphsOf(node)) collectRaw(inner, raw);
    const keeps = keepsRaw(node, raw);
    for (const output of node.outputs) if (output !== null && (keeps || isWhole(output))) raw.add(output);
  }
}

function keepsRaw(node: Node, raw: ReadonlySet<Value>): boolean {
  if (node.domain !== "") return false;
  if (POSITIONS.has(node.opType)) return true;
  const inputs = node.inputs.filter((input) => input !== null);
  if (FACTORS.has(node.opType)) {
    return inputs.some((input) => raw.has(input)) && inputs.every((input) => raw.has(input) || isHeld(input));
  }
  const moved = movedBy(node);
  const sources = moved === "all" ? inputs : inputs.slice(0, moved.length);
  return sources.length > 0 && sources.every((input) => raw.has(input));
}

/** Not floating point: counts, indices, truth values. */
function isWhole({ type }: Value): boolean {
  return type?.kind === "tensor" && type.dtype !== DataType.undefined && !isGradientType(type.dtype);
}
