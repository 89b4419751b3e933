import { Node, type Value } from "../graph/graph.ts";
import type { Model } from "../graph/model.ts";
import { Names } from "../graph/names.ts";
import type { Formula } from "../ops/formula.ts";
import { inferTypes } from "../ops/inference/infer-types.ts";
import { NodeView } from "../ops/node-view.ts";
import { axesFrom, dimsOf, known } from "../ops/value-types.ts";
import { Call } from "./lower-training-ops/lowering.ts";
import { replaceByParts } from "./lower-training-ops/replace.ts";

/** A transpose that moves rows as they are. Axes that stay beside each other are one, those of size 1 none. */
export interface MovedRows {
  /** Sizes of the axes that are moved, in the order in which they lie. */
  readonly outer: readonly number[];
  /** What becomes of these axes. */
  readonly perm: readonly number[];
  /** Numbers of a row. */
  readonly row: number;
}

/**
 * Has a `Gather` move rows where a `Transpose` leaves the last axes as they are: in ONNX Runtime's CPU provider it has all threads. Where a
 * `Split` takes the result apart along its first axis, there is one for each piece, which would be copied out of it. Changes the model.
 * @param pays decides which of those that can be moved so are
 * @returns how many are moved so
 */
export function gatherRows(model: Model, pays: typeof gatherCostsLess = gatherCostsLess): number {
  const { graph } = model;
  inferTypes(model);
  const names = new Names(model);
  const places = new Map<string, Value>();
  let count = 0;
  for (const node of graph) {
    const moved = node.domain === "" && node.opType === "Transpose" ? movedRows(node) : null;
    const [value] = node.inputs;
    if (moved === null || !value || !pays(moved)) continue;
    const split = splitOf(node);
    const last = split ?? node;
    const pieces = last.outputs.filter((output) => output !== null);
    /** What is emitted at a `Split` may stand behind what is emitted next. */
    const shared = split === null ? places : new Map<string, Value>();
    const lower = (f: Formula): readonly Value[] => gathered(f, value, moved, pieces, shared);
    replaceByParts(graph, new Call(last), { lower }, { names, opset: model.opset, isInput: () => false });
    if (split !== null) graph.remove(node);
    count += 1;
  }
  return count;
}

/** @param pieces of what is moved, along its first axis */
function gathered(
  f: Formula,
  value: Value,
  moved: MovedRows,
  pieces: readonly Value[],
  places: Map<string, Value>,
): readonly Value[] {
  const rows = f.reshape(value, [-1, moved.row]);
  let end = 0;
  return pieces.map((piece) => {
    const shape = known(dimsOf(piece)) ?? [];
    const start = end;
    end += shape.reduce((size, dim) => size * dim, 1) / moved.row;
    const key = `${moved.outer.join()} ${moved.perm.join()} ${start} ${end}`;
    const from = places.get(key) ?? f.ints(rowsMoved(moved).slice(start, end));
    places.set(key, from);
    return f.reshape(f.gather(rows, from, 0), shape);
  });
}

/** The node that takes all that a node gives apart along the first axis, and gives every piece; null where there is none, or others read it, too. */
function splitOf({ outputs, graph }: Node): Node | null {
  const [use, ...others] = outputs[0]?.uses ?? [];
  const node = use?.user instanceof Node && others.length === 0 ? use.user : null;
  if (node?.domain !== "" || node.opType !== "Split" || new NodeView(node).int("axis") !== 0) return null;
  if (node.graph !== graph) return null;
  return node.outputs.every((output) => output !== null && known(dimsOf(output)) !== null) ? node : null;
}

/** For each row of what a transpose gives, the row that it was. */
function rowsMoved({ outer, perm }: Pick<MovedRows, "outer" | "perm">): readonly number[] {
  const strides = outer.map((_, axis) => outer.slice(axis + 1).reduce((a, b) => a * b, 1));
  return perm.reduce<readonly number[]>(
    (rows, axis) => {
      const steps = Array.from({ length: outer[axis] ?? 0 }, (_, index) => index * (strides[axis] ?? 0));
      return rows.flatMap((row) => steps.map((step) => row + step));
    },
    [0],
  );
}

/** What a transpose moves; null where its sizes are not known, where it changes the order within rows, and where it moves nothing. */
function movedRows(node: Node): MovedRows | null {
  const [value] = node.inputs;
  const dims = value ? known(dimsOf(value)) : null;
  if (dims === null || dims.includes(0)) return null;
  const given = new NodeView(node).ints("perm") ?? axesFrom(0, dims.length).toReversed();
  const axes = given.filter((axis) => dims[axis] !== 1);
  /** Each with the axes of what is given that lie beside each other before and after. */
  const groups: number[][] = [];
  for (const axis of axes) {
    const last = groups.at(-1);
    if (last !== undefined && follows(dims, last.at(-1) ?? 0, axis)) last.push(axis);
    else groups.push([axis]);
  }
  const sizeOf = (group: readonly number[]): number => group.reduce((size, axis) => size * (dims[axis] ?? 1), 1);
  const ordered = groups.toSorted(([a = 0], [b = 0]) => a - b);
  const [rows, ...moved] = ordered.toReversed();
  if (rows === undefined || groups.at(-1) !== rows || moved.length < 2) return null;
  const outer = moved.toReversed();
  return {
    outer: outer.map(sizeOf),
    perm: groups.slice(0, -1).map((group) => outer.indexOf(group)),
    row: sizeOf(rows),
  };
}

/** Whether there is nothing but axes of size 1 between an axis and the one that is to follow it. */
const follows = (dims: readonly number[], axis: number, next: number): boolean =>
  next > axis && dims.slice(axis + 1, next).every((size) => size === 1);

/** From fewest on, tens of microseconds are saved; above the most, the places of the rows take megabytes. */
const ROWS = { fewest: 2 ** 12, most: 2 ** 18 };
/** Numbers of the shortest row that is moved faster than number by number. */
const SHORTEST = 4;

/** Numbers of the longest row that a transpose takes longer for when it moves one axis: half as long again with 64, 2.3 times as long with 16. */
const LONGEST_OF_ONE_AXIS = 64;

/** Whether `Gather` costs less. A transpose moves long rows along one axis as fast as that, and along more than one on a single thread. */
function gatherCostsLess({ outer, perm, row }: MovedRows): boolean {
  const rows = outer.reduce((a, b) => a * b, 1);
  const isShort = row <= LONGEST_OF_ONE_AXIS || !movesOneAxis(perm);
  return rows >= ROWS.fewest && rows <= ROWS.most && row >= SHORTEST && isShort;
}

/** Two neighbours change places. */
function movesOneAxis(perm: readonly number[]): boolean {
  const first = perm.findIndex((axis, index) => axis !== index);
  return perm.every((axis, index) => axis === (index === first ? first + 1 : index === first + 1 ? first : index));
}
