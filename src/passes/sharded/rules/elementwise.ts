import { ELEMENTWISE } from "../../../ops/elementwise.ts";
import { isPartial, isReplicated, isSharded, type Placement, type Sharded, sharded } from "../placement.ts";
import { lies, type Placed, type ShardCall, type ShardingRule } from "../shard-call.ts";

/** Pieces of what is broadcast together: the operands that have the axis have a piece of it, those that do not have it have all. */
export function onPieces(call: ShardCall): Placed | null {
  const dims = call.outputDims();
  if (dims === null) return null;
  const aligned = call.placements.map((placement, index): Placement | null => {
    const rank = call.dims(index)?.length;
    if (!isSharded(placement) || rank === undefined) return isReplicated(placement) ? placement : null;
    return sharded(placement.axis + dims.length - rank, placement.runs);
  });
  const first = aligned.find((placement): placement is Sharded => placement !== null && isSharded(placement));
  if (first === undefined || aligned.includes(null)) return null;
  const isFirst = (placement: Placement): boolean =>
    !isSharded(placement) || (placement.axis === first.axis && placement.runs === first.runs);
  if (!aligned.every((placement) => placement !== null && isFirst(placement))) return null;
  const inputs = call.placements.map((placement, index): Placement | null => {
    const own = call.dims(index) ?? [];
    const axis = first.axis - (dims.length - own.length);
    if (isSharded(placement) || axis < 0 || own[axis] === 1) return null;
    return sharded(axis, first.runs);
  });
  const isKnown = call.placements.every((_, index) => call.optional(index) === null || call.dims(index) !== null);
  return isKnown ? lies(first, { inputs }) : null;
}

/** Sums of parts that have to be added up are parts that have to be added up. */
function sum(call: ShardCall): Placed | null {
  const [first] = call.placements;
  if (first?.kind !== "partial") return onPieces(call);
  return call.placements.every((each) => each.kind === "partial" && each.by === first.by) ? lies(first) : null;
}

/** A factor that every part has may come before or after they are added up. */
function product(call: ShardCall): Placed | null {
  const parts = call.placements.filter(isPartial);
  if (parts.length === 0) return onPieces(call);
  const isLinear = parts.length === 1 && call.placements.every((each) => isPartial(each) || isReplicated(each));
  return isLinear ? lies(parts[0] ?? null) : null;
}

/** Whole numbers are rounded, each part of them by itself. */
function quotient(call: ShardCall): Placed | null {
  const [dividend] = call.placements;
  if (dividend?.kind !== "partial") return onPieces(call);
  return call.isReplicated(1) && call.isFloating() ? lies(dividend) : null;
}

/** What gives a sum the sum of what it gives its terms. */
export function linear(call: ShardCall): Placed | null {
  const [first] = call.placements;
  return first?.kind === "partial" ? lies(first) : onPieces(call);
}

/** A type of its own for what lies as it did, whatever it takes the type of. To whole numbers each part would be rounded by itself. */
function cast(call: ShardCall): Placed | null {
  const [first = null] = call.placements;
  return first?.kind === "partial" && !call.isFloating() ? null : lies(first);
}

const LINEAR: readonly (readonly [op: string, rule: ShardingRule])[] = [
  ["Add", sum],
  ["Cast", cast],
  ["CastLike", cast],
  ["Div", quotient],
  ["Identity", linear],
  ["Mul", product],
  ["Neg", linear],
  ["Sub", sum],
  ["Sum", sum],
];

export const ELEMENTWISE_SHARDING: readonly (readonly [op: string, rule: ShardingRule])[] = [
  ...[...ELEMENTWISE].map((op) => [op, onPieces] as const).filter(([op]) => LINEAR.every(([own]) => own !== op)),
  ...LINEAR,
];
