import { parts } from "../../autodiff/formulas/scan.ts";
import { DataType } from "../../graph/data-type.ts";
import type { Value } from "../../graph/graph.ts";
import { MICROSOFT } from "../../onnxruntime/domain.ts";
import type { Formula } from "../../ops/formula.ts";
import { dimsOf, rankOf } from "../../ops/value-types.ts";
import type { Call } from "../lower-training-ops/lowering.ts";
import { cutHeads, joinHeads, placesAlong } from "./attend.ts";
import type { Compound } from "./compound.ts";

/** Pairs of elements are turned by an angle each. */
export interface Rotation {
  /** Cosines and sines [batch, 1, length, pairs]. */
  readonly cos: Value;
  readonly sin: Value;
  /** Pairs are neighbours; else the first half goes with the second. */
  readonly isInterleaved: boolean;
  /** How many elements of each head are turned. Default: all. */
  readonly width?: number;
}

/** Turns [batch, heads, length, width]. */
export function rotate(f: Formula, x: Value, { cos, sin, isInterleaved, width = 0 }: Rotation): Value {
  const isPart = width > 0 && width !== dimsOf(x)?.at(-1);
  const turned = isPart ? f.slice(x, [0], [width], [3]) : x;
  const rest = isPart ? [f.slice(x, [width], [END], [3])] : [];
  const [a, b] = isInterleaved ? neighbours(f, turned) : parts(f, turned, 2);
  const first = f.sub(f.mul(cos, a), f.mul(sin, b));
  const second = f.add(f.mul(sin, a), f.mul(cos, b));
  if (!isInterleaved) return f.concat([first, second, ...rest], 3);
  const pairs = f.concat([f.unsqueeze(first, [4]), f.unsqueeze(second, [4])], 4);
  return f.concat([f.reshape(pairs, [0, 0, 0, width > 0 ? width : -1]), ...rest], 3);
}

const END = 2 ** 31;

const neighbours = (f: Formula, x: Value): readonly [Value, Value] => [
  f.slice(x, [0], [END], [3], [2]),
  f.slice(x, [1], [END], [3], [2]),
];

/** Rows of tables [positions, pairs] at positions [batch, length]. */
export function cached(f: Formula, cos: Value, sin: Value, at: Value): Pick<Rotation, "cos" | "sin"> {
  const row = (table: Value): Value => f.unsqueeze(f.gather(table, at, 0), [1]);
  return { cos: row(cos), sin: row(sin) };
}

/** Four axes have the heads second; three have them side by side. */
function rotated(f: Formula, call: Call, rotation: Omit<Rotation, "isInterleaved">, x: Value, isFlat: boolean): Value {
  const isInterleaved = call.intOrNull("interleaved") === 1;
  const y = rotate(f, x, { ...rotation, isInterleaved });
  return isFlat ? joinHeads(f, y) : y;
}

/** The tables are given whole with positions, or as one row per sample and place. */
function standard(f: Formula, call: Call): readonly Value[] {
  const isFlat = call.rank(0) === 3;
  const x = isFlat ? cutHeads(f, call.input(0), call.intOrNull("num_heads") ?? 1) : call.input(0);
  const at = call.optional(3);
  const tables = [call.input(1), call.input(2)] as const;
  const rows =
    at === null ? { cos: f.unsqueeze(tables[0], [1]), sin: f.unsqueeze(tables[1], [1]) } : cached(f, ...tables, at);
  return [rotated(f, call, { ...rows, width: call.int("rotary_embedding_dim") }, x, isFlat)];
}

/** One position is that of the first place. */
function microsoft(f: Formula, call: Call): readonly Value[] {
  const isFlat = call.rank(0) === 3;
  const [cos, sin] = [call.input(2), call.input(3)];
  const width = call.intOrNull("rotary_embedding_dim") ?? 0;
  const heads = call.intOrNull("num_heads") ?? 0;
  const x = isFlat ? cutHeads(f, call.input(0), ...headsOf(call, heads, cos)) : call.input(0);
  const given = call.input(1);
  const rank = rankOf(given);
  if (rank === null) throw call.refuse(`the number of axes of "${given.name}" is not known`);
  const at = rank === 1 ? f.typed(DataType.int64).add(f.unsqueeze(placesAlong(f, x, 2), [0]), given) : given;
  return [rotated(f, call, { ...cached(f, cos, sin, at), width }, x, isFlat)];
}

/** How many heads, of which width; without a number of heads the tables tell the width. */
function headsOf(call: Call, heads: number, table: Value): readonly [number, number] {
  if (heads > 0) return [heads, -1];
  const pairs = dimsOf(table)?.at(-1);
  if (typeof pairs !== "number") throw call.refuse("neither its num_heads nor the width of its tables is known");
  return [-1, 2 * pairs];
}

export const ROTARY: readonly Compound[] = [
  { domain: "", op: "RotaryEmbedding", source: "ONNX's operators, RotaryEmbedding", parts: standard },
  {
    domain: MICROSOFT,
    op: "RotaryEmbedding",
    source: "onnxruntime/contrib_ops/cpu/bert/rotary_embedding.cc",
    parts: microsoft,
  },
];
