import { isReplicated, isSharded, type Placement, piece, reshaped, sharded } from "../placement.ts";
import { lies, type Placed, type ShardCall, type ShardingRule } from "../shard-call.ts";

/** The same elements in the same order. @param sizesAt which input says the sizes of the result; null: none does */
function arranged(call: ShardCall, sizesAt: number | null): Placed | null {
  const [from, to, given] = [call.dims(0), call.outputDims(), call.placement(0)];
  if (given === null || from === null || to === null || !call.areReplicatedFrom(1)) return null;
  const placement = reshaped(from, given, to, call.count);
  const sizes = placement && piece(to, placement, call.count);
  if (placement === null || sizes === null || sizes.includes(0)) return null;
  return lies(placement, sizesAt !== null && isSharded(placement) ? { sizes: new Map([[sizesAt, sizes]]) } : {});
}

const reshape: ShardingRule = (call) => arranged(call, 1);

const flatten: ShardingRule = (call) => arranged(call, null);

function transpose(call: ShardCall): Placed | null {
  const [dims, given] = [call.dims(0), call.placement(0)];
  if (given === null || !isSharded(given)) return lies(given);
  if (dims === null) return null;
  const order = call.ints("perm") ?? dims.map((_, axis) => dims.length - 1 - axis);
  return lies(sharded(order.indexOf(given.axis), given.runs));
}

function expand(call: ShardCall): Placed | null {
  const [dims, to, given] = [call.dims(0), call.outputDims(), call.placement(0)];
  if (given === null || dims === null || to === null || !call.areReplicatedFrom(1)) return null;
  if (!isSharded(given)) return lies(given);
  const placement = sharded(given.axis + to.length - dims.length, given.runs);
  const sizes = piece(to, placement, call.count);
  return sizes === null ? null : lies(placement, { sizes: new Map([[1, sizes]]) });
}

/** What leaves one axis alone, or works along it in every part alike. */
const besides =
  (axesOf: (call: ShardCall, rank: number) => readonly number[] | null): ShardingRule =>
  (call) => {
    const [dims, given] = [call.dims(0), call.placement(0)];
    const axes = dims && axesOf(call, dims.length);
    if (given === null || !axes || !call.areReplicatedFrom(1)) return null;
    return isSharded(given) && axes.includes(given.axis) ? null : { outputs: call.node.outputs.map(() => given) };
  };

/** Axes of which something is left away, or that are turned round. */
const slice = besides((call, rank) => {
  const [starts, ends, steps] = [call.numbers(1), call.numbers(2), call.numbers(4)];
  const given = call.optional(3) === null ? starts?.map((_, axis) => axis) : call.numbers(3);
  const axes = given?.map((axis) => (axis < 0 ? axis + rank : axis));
  const isWhole = (at: number): boolean => {
    const size = call.dims(0)?.[axes?.[at] ?? -1];
    const isEvery = call.optional(4) === null || steps?.[at] === 1;
    return isEvery && size !== undefined && starts?.[at] === 0 && (ends?.[at] ?? 0) >= size;
  };
  return axes?.filter((_, at) => !isWhole(at)) ?? null;
});

/** Axes that get something before or behind them. */
const pad = besides((call, rank) => {
  const pads = call.numbers(1);
  const given = call.optional(3) === null ? Array.from({ length: rank }, (_, axis) => axis) : call.numbers(3);
  const axes = given?.map((axis) => (axis < 0 ? axis + rank : axis)) ?? null;
  if (pads === null || axes === null) return null;
  const isAdded = (at: number): boolean => pads[at] !== 0 || pads[at + axes.length] !== 0;
  /** Of parts that have to be added up each would add the whole of what is put around them. */
  if (call.placement(0)?.kind === "partial" && (call.optional(2) !== null || call.string("mode") !== "constant"))
    return null;
  return axes.filter((_, at) => isAdded(at));
});

const tile = besides((call) => call.numbers(1)?.flatMap((times, axis) => (times === 1 ? [] : [axis])) ?? null);

/** Stretches of one length one behind the other are parts of one tensor that has as many more. */
function concat(call: ShardCall): Placed | null {
  const dims = call.dims(0);
  const given = call.placements.find((placement) => !isReplicated(placement));
  if (dims === null || given === undefined) return null;
  const isSame = (placement: Placement): boolean => JSON.stringify(placement) === JSON.stringify(given);
  if (!isSharded(given)) return call.placements.every(isSame) ? lies(given) : null;
  if (!call.placements.every((placement) => isReplicated(placement) || isSame(placement))) return null;
  const inputs = call.placements.map((placement) => (isReplicated(placement) ? given : null));
  if (call.axis(dims.length) !== given.axis) return lies(given, { inputs });
  const isAlike = call.placements.every((_, index) => call.dims(index)?.[given.axis] === dims[given.axis]);
  return isAlike ? lies(sharded(given.axis, given.runs * call.placements.length), { inputs }) : null;
}

function split(call: ShardCall): Placed | null {
  const [dims, given] = [call.dims(0), call.placement(0)];
  if (dims === null || given === null || !call.areReplicatedFrom(1)) return null;
  const { outputs } = call.node;
  if (!isSharded(given) || call.axis(dims.length) !== given.axis) return { outputs: outputs.map(() => given) };
  const sizes = new Set(outputs.map((_, index) => call.outputDims(index)?.[given.axis]));
  if (sizes.size > 1 || given.runs % outputs.length !== 0) return null;
  const placement = sharded(given.axis, given.runs / outputs.length);
  const own = outputs.map((_, index) => call.pieceOf(placement, index)?.[given.axis] ?? 0);
  const said = call.optional(1) === null ? {} : { sizes: new Map([[1, own]]) };
  return call.gives("split") ? null : { outputs: outputs.map(() => placement), ...said };
}

/** Without axes, those of one entry are taken away: a piece may have one where the whole has more. */
const squeeze: ShardingRule = (call) => (call.optional(1) === null && !call.gives("axes") ? null : flatten(call));

/** Axes that are taken apart or put together lie behind the first two. */
const inPlanes: ShardingRule = (call) => {
  const given = call.sharded(0);
  return given?.axis === 0 && call.areReplicatedFrom(1) ? lies(given) : null;
};

/** Of each sample's last two axes. */
const triangle = besides((_, rank) => [rank - 2, rank - 1]);

const cumulate = besides((call, rank) => call.numbers(1)?.map((axis) => (axis < 0 ? axis + rank : axis)) ?? null);

/** Of other axes. A size that stays may yet be read at other places, of another scale or of a part that is cut out. */
const resize: ShardingRule = (call) => {
  const [given, dims, sizes] = [call.sharded(0), call.dims(0), call.numbers(3)];
  if (given === null || dims === null || call.gives("axes") || !call.areReplicatedFrom(1)) return null;
  if (call.string("coordinate_transformation_mode") === "tf_crop_and_resize") return null;
  if (call.optional(3) === null) return call.numbers(2)?.[given.axis] === 1 ? lies(given) : null;
  if (sizes?.[given.axis] !== dims[given.axis] || call.string("keep_aspect_ratio_policy") !== "stretch") return null;
  const own = sizes?.map((size, axis) => (axis === given.axis ? size / call.count : size)) ?? [];
  return lies(given, { sizes: new Map([[3, own]]) });
};

export const ARRANGING_SHARDING: readonly (readonly [op: string, rule: ShardingRule])[] = [
  ["Concat", concat],
  ["CumSum", cumulate],
  ["DepthToSpace", inPlanes],
  ["Expand", expand],
  ["Flatten", flatten],
  ["Pad", pad],
  ["Reshape", reshape],
  ["Resize", resize],
  ["Slice", slice],
  ["SpaceToDepth", inPlanes],
  ["Split", split],
  ["Squeeze", squeeze],
  ["Tile", tile],
  ["Transpose", transpose],
  ["Trilu", triangle],
  ["Unsqueeze", flatten],
];
