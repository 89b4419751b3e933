import { type Combination, isSharded, type Placement, partial, sharded } from "../placement.ts";
import { lies, type ShardCall, type ShardingRule } from "../shard-call.ts";

/**
 * Over axes of a tensor.
 * @param by how what parts have over pieces of an axis belongs together; null: it does not
 * @param isLinear whether that holds for parts that have to be added up, too
 */
const reduce =
  (by: Combination | null, isLinear = by !== null): ShardingRule =>
  (call) => {
    const [given, dims] = [call.placement(0), call.dims(0)];
    if (given === null || dims === null || !call.areReplicatedFrom(1)) return null;
    const axes = reducedAxes(call, dims.length);
    /** Means of whole numbers are rounded, each part of them by itself. */
    if (axes === null || (by === "mean" && !call.isFloating())) return null;
    if (!isSharded(given)) return isLinear ? lies(given) : null;
    if (axes.includes(given.axis)) return by === null ? null : lies(partial(by));
    return lies(kept(given.axis, given.runs, axes, call));
  };

function kept(axis: number, runs: number, axes: readonly number[], call: ShardCall): Placement {
  const before = axes.filter((each) => each < axis).length;
  return sharded(call.int("keepdims") === 0 ? axis - before : axis, runs);
}

/** Null where they are not known. */
function reducedAxes(call: ShardCall, rank: number): readonly number[] | null {
  const all = Array.from({ length: rank }, (_, axis) => axis);
  const given = call.axesGiven(1, rank);
  if (given === null) return call.optional(1) === null && call.int("noop_with_empty_axes") === 0 ? all : null;
  if (given.length > 0) return given;
  return call.int("noop_with_empty_axes") === 0 ? all : null;
}

/** The place of the largest or smallest along an axis. */
const argument: ShardingRule = (call) => {
  const [given, dims] = [call.sharded(0), call.dims(0)];
  const axis = dims && call.axis(dims.length);
  return given === null || axis === null || axis === given.axis
    ? null
    : lies(kept(given.axis, given.runs, [axis], call));
};

export const REDUCING_SHARDING: readonly (readonly [op: string, rule: ShardingRule])[] = [
  ["ArgMax", argument],
  ["ArgMin", argument],
  ["ReduceL1", reduce("sum", false)],
  ["ReduceL2", reduce(null)],
  ["ReduceLogSum", reduce(null)],
  ["ReduceLogSumExp", reduce(null)],
  ["ReduceMax", reduce(null)],
  ["ReduceMean", reduce("mean")],
  ["ReduceMin", reduce(null)],
  ["ReduceProd", reduce(null)],
  ["ReduceSum", reduce("sum")],
  ["ReduceSumSquare", reduce("sum", false)],
];
