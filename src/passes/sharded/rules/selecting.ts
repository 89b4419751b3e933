import { isZero } from "../alike.ts";
import { isReplicated, isSharded, type Placement, partial, sharded } from "../placement.ts";
import { lies, type ShardingRule } from "../shard-call.ts";

/** Entries of an axis. */
const gather: ShardingRule = (call) => {
  const [dims, indices] = [call.dims(0), call.dims(1)];
  const [data, places] = [call.placement(0), call.placement(1)];
  if (!dims || !indices || !data || !places) return null;
  const axis = call.axis(dims.length);
  if (isSharded(places)) return isReplicated(data) ? lies(sharded(axis + places.axis, places.runs)) : null;
  if (!isReplicated(places)) return null;
  if (!isSharded(data)) return lies(data);
  if (data.axis === axis) return null;
  return lies(sharded(data.axis < axis ? data.axis : data.axis + indices.length - 1, data.runs));
};

/** One entry of an axis for each place of the others. */
const gatherElements: ShardingRule = (call) => {
  const [dims, data, places] = [call.dims(0), call.sharded(0), call.placement(1)];
  if (dims === null || data === null || places === null) return null;
  const isSame = isReplicated(places) || (isSharded(places) && data.axis === places.axis && data.runs === places.runs);
  /** Fewer places than data would be the first of them, and no piece of a part. */
  const isFull = call.dims(1)?.[data.axis] === dims[data.axis];
  const isPiece = isSame && isFull && data.axis !== call.axis(dims.length);
  return isPiece ? lies(data, { inputs: [null, isReplicated(places) ? data : null] }) : null;
};

/** What parts add to zeros has to be added up; what goes where it is in the data stays in its part. */
const scatterElements: ShardingRule = (call) => {
  const dims = call.dims(0);
  const [data, places, updates] = [call.placement(0), call.placement(1), call.placement(2)];
  const first = call.sharded(1) ?? call.sharded(2);
  if (!dims || !data || !places || !updates || !first) return null;
  const isSame = (other: Placement): boolean =>
    isReplicated(other) || (isSharded(other) && other.axis === first.axis && other.runs === first.runs);
  const piece = (other: Placement): Placement | null => (isReplicated(other) ? first : null);
  if (!isSame(places) || !isSame(updates)) return null;
  if (first.axis === call.axis(dims.length)) {
    const isAdded = call.string("reduction") === "add" && isReplicated(data) && isZero(call.input(0));
    return isAdded ? lies(partial("sum"), { inputs: [null, piece(places), piece(updates)] }) : null;
  }
  const isFull = call.dims(1)?.[first.axis] === dims[first.axis];
  return isFull && isSame(data) ? lies(first, { inputs: [data, places, updates].map(piece) }) : null;
};

const scatterRows: ShardingRule = (call) => {
  const [data, places, updates] = [call.placement(0), call.sharded(1), call.sharded(2)];
  const indices = call.dims(1);
  if (!data || !places || !updates || indices === null) return null;
  const isSame = places.axis === updates.axis && places.runs === updates.runs && places.axis < indices.length - 1;
  const isAdded = call.string("reduction") === "add" && isReplicated(data) && isZero(call.input(0));
  return isSame && isAdded ? lies(partial("sum")) : null;
};

export const SELECTING_SHARDING: readonly (readonly [op: string, rule: ShardingRule])[] = [
  ["Gather", gather],
  ["GatherElements", gatherElements],
  ["ScatterElements", scatterElements],
  ["ScatterND", scatterRows],
];
