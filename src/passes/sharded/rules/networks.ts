import { isReplicated, isSharded, type Placement, sharded } from "../placement.ts";
import { lies, type Placed, type ShardCall, type ShardingRule } from "../shard-call.ts";

/** Each sample's channels by themselves. */
const byChannel: ShardingRule = (call) => {
  const given = call.sharded(0);
  const isOne = call.node.outputs.slice(1).every((output) => output === null);
  return given !== null && given.axis < 2 && isOne && call.areReplicatedFrom(1) ? lies(given) : null;
};

/** Each sample by itself. */
const bySample: ShardingRule = (call) => {
  const given = call.sharded(0);
  const isOne = call.node.outputs.slice(1).every((output) => output === null);
  return given?.axis === 0 && isOne && call.areReplicatedFrom(1) ? lies(given) : null;
};

/** Along one axis. */
const along: ShardingRule = (call) => {
  const [given, dims] = [call.sharded(0), call.dims(0)];
  if (given === null || dims === null) return null;
  const axis = call.axis(dims.length);
  /** Before opset 13 all axes from that one on are one. */
  return (call.opset < 13 ? given.axis < axis : given.axis !== axis) ? lies(given) : null;
};

/** Over all axes from one on. What it says of each of the others has those, and one in the place of each it went over. */
function overLast(call: ShardCall): Placed | null {
  const [given, dims] = [call.sharded(0), call.dims(0)];
  if (given === null || dims === null || !call.areReplicatedFrom(1)) return null;
  /** Scales and offsets may be those of each sample: they are broadcast to what they scale. */
  const isOfAll = (index: number): boolean => {
    const own = call.optional(index) === null ? [] : call.dims(index);
    return own !== null && (own[given.axis - (dims.length - own.length)] ?? 1) === 1;
  };
  const isAlike = given.axis < call.axis(dims.length) && isOfAll(1) && isOfAll(2);
  return isAlike ? { outputs: call.node.outputs.map(() => given) } : null;
}

/** What drops nothing: its first output is its input, and its second says that all of it is there. */
const kept: ShardingRule = (call) => {
  const given = call.placement(0);
  const isLinear = call.optional(2) === null && call.areReplicatedFrom(1);
  const isOne = (call.node.outputs[1] ?? null) === null;
  return given !== null && isLinear && (isOne || isSharded(given))
    ? { outputs: call.node.outputs.map(() => given) }
    : null;
};

/** Of inputs of a sequence's operators: which axis has the samples. */
const SAMPLES: ReadonlyMap<number, number> = new Map([
  [0, 1],
  [4, 0],
  [5, 1],
  [6, 1],
]);

/** Each sample's sequence by itself, from its own state on. */
const recurrent: ShardingRule = (call) => {
  const given = call.sharded(0);
  if (given === null || given.runs !== 1 || call.intOrNull("layout") === 1) return null;
  const isOwn = (placement: Placement, index: number): boolean =>
    isReplicated(placement) ||
    (isSharded(placement) && placement.axis === SAMPLES.get(index) && placement.runs === given.runs);
  if (!call.placements.every(isOwn)) return null;
  const inputs = call.placements.map((placement, index): Placement | null => {
    const axis = SAMPLES.get(index);
    return axis !== undefined && isReplicated(placement) && call.optional(index) !== null ? sharded(axis) : null;
  });
  return { outputs: call.node.outputs.map((_, index) => sharded(index === 0 ? 2 : 1)), inputs };
};

const evaluated: ShardingRule = (call) => (call.int("training_mode") === 0 ? bySample(call) : null);

export const NETWORK_SHARDING: readonly (readonly [op: string, rule: ShardingRule])[] = [
  ["AveragePool", byChannel],
  ["BatchNormalization", evaluated],
  ["Dropout", kept],
  ["GRU", recurrent],
  ["GlobalAveragePool", byChannel],
  ["GlobalMaxPool", byChannel],
  ["GroupNormalization", bySample],
  ["Hardmax", along],
  ["InstanceNormalization", bySample],
  ["LSTM", recurrent],
  ["LayerNormalization", overLast],
  ["LogSoftmax", along],
  ["LpPool", byChannel],
  ["MaxPool", byChannel],
  ["RNN", recurrent],
  ["RMSNormalization", overLast],
  ["Softmax", along],
];
