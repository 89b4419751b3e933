import { attribute } from "../../../graph/attribute.ts";
import { isReplicated, isSharded, type Placement, partial, type Sharded, sharded } from "../placement.ts";
import { lies, type Placed, type ShardCall, type ShardingRule } from "../shard-call.ts";

const isSame = (a: Sharded, b: Sharded, axis: number): boolean => b.axis === axis && a.runs === b.runs;

/** Of a product that is linear in both, with one of them in parts that have to be added up. */
function ofParts(a: Placement, b: Placement): Placed | null {
  if (a.kind === "partial" && isReplicated(b)) return lies(a);
  return b.kind === "partial" && isReplicated(a) ? lies(b) : null;
}

/** Where the results of a product of matrices lie, by the axes of each operand counted from the last. */
interface MatrixProduct {
  readonly placement: readonly [Placement, Placement];
  readonly ranks: readonly [a: number, b: number, result: number];
  /** Where rows, and what is summed over, are in the first; and where that and columns are in the second. */
  readonly first: readonly [rows: number, depth: number];
  readonly second: readonly [depth: number, columns: number];
}

function ofMatrices({ placement: [a, b], ranks, first, second }: MatrixProduct): Placement | null {
  const [rankA, rankB, rank] = ranks;
  if (isSharded(a) && a.axis === first[1]) return isSharded(b) && isSame(a, b, second[0]) ? partial("sum") : null;
  if (isSharded(b) && b.axis === second[0]) return null;
  const ofA = isSharded(a) ? sharded(a.axis === first[0] ? rank - 2 : a.axis + rank - rankA, a.runs) : null;
  const ofB = isSharded(b) ? sharded(b.axis === second[1] ? rank - 1 : b.axis + rank - rankB, b.runs) : null;
  if (ofA === null || ofB === null) return ofA ?? ofB;
  return ofA.axis < rank - 2 && isSame(ofA, ofB, ofA.axis) ? ofA : null;
}

const matMul: ShardingRule = (call) => {
  const [a, b] = [call.dims(0), call.dims(1)];
  const [first, second] = [call.placement(0), call.placement(1)];
  if (!a || !b || !first || !second || a.length < 2 || b.length < 2) return null;
  if (first.kind === "partial" || second.kind === "partial") return ofParts(first, second);
  const rank = Math.max(a.length, b.length);
  const placement = ofMatrices({
    placement: [first, second],
    ranks: [a.length, b.length, rank],
    first: [a.length - 2, a.length - 1],
    second: [b.length - 2, b.length - 1],
  });
  if (placement === null || !isSharded(placement) || placement.axis >= rank - 2) return lies(placement);
  /** Each product of a batch of them has its own operands, or all have the same. */
  const inputs = [a, b].map((dims, index): Placement | null => {
    const axis = placement.axis - (rank - dims.length);
    const isWhole = call.isReplicated(index) && axis >= 0 && dims[axis] !== 1;
    return isWhole ? sharded(axis, placement.runs) : null;
  });
  return lies(placement, { inputs });
};

const gemm: ShardingRule = (call) => {
  const [first, second, third] = [call.placement(0), call.placement(1), call.placement(2)];
  const dims = call.outputDims();
  if (!first || !second || dims === null) return null;
  const bias = call.optional(2);
  if (first.kind === "partial" || second.kind === "partial") return bias === null ? ofParts(first, second) : null;
  const [transA, transB] = [call.int("transA") !== 0, call.int("transB") !== 0];
  const placement = ofMatrices({
    placement: [first, second],
    ranks: [2, 2, 2],
    first: transA ? [1, 0] : [0, 1],
    second: transB ? [1, 0] : [0, 1],
  });
  if (placement === null || bias === null || third === null) return lies(placement);
  return isSharded(placement) ? withAddend(call, placement, third) : null;
};

/** What is added to a product has a piece of the axis too where it has the axis. */
function withAddend(call: ShardCall, placement: Sharded, addend: Placement): Placed | null {
  const dims = call.dims(2);
  if (dims === null || addend.kind === "partial") return null;
  const axis = placement.axis - (2 - dims.length);
  if (isSharded(addend)) return isSame(placement, addend, axis) ? lies(placement) : null;
  return lies(placement, { inputs: [null, null, axis < 0 || dims[axis] === 1 ? null : sharded(axis, placement.runs)] });
}

/**
 * Of samples by channels and the places of a plane, and of kernels. @param axes of the kernels: what the channels are summed over with, and
 * what gives the channels of the result
 */
const convolution =
  (axes: { readonly depth: number; readonly groups: number }): ShardingRule =>
  (call) => {
    const [x, w] = [call.placement(0), call.placement(1)];
    const [sizes, bias, group] = [call.dims(0), call.optional(2), call.int("group")];
    if (!x || !w || sizes === null || !call.isReplicated(2)) return null;
    if (x.kind === "partial" || w.kind === "partial") return bias === null ? ofParts(x, w) : null;
    if (isSharded(x) && x.axis === 0) return isReplicated(w) ? lies(x) : null;
    if (bias !== null || !isSharded(w)) return null;
    if (!isSharded(x)) return null;
    const isGrouped = x.axis === 1 && w.axis === axes.groups && group % (call.count * x.runs) === 0;
    if (isGrouped && group > 1 && x.runs === 1 && w.runs === 1) {
      return lies(sharded(1), { attributes: [attribute.int("group", group / call.count)] });
    }
    /** Of kernels' depth the channels of a group are one stretch, or as many as that has. */
    const isDeep = axes.depth === axes.groups ? w.runs % group === 0 && x.runs === w.runs : x.runs === w.runs * group;
    return x.axis === 1 && w.axis === axes.depth && isDeep ? lies(partial("sum")) : null;
  };

export const PRODUCT_SHARDING: readonly (readonly [op: string, rule: ShardingRule])[] = [
  ["Conv", convolution({ depth: 1, groups: 0 })],
  ["ConvTranspose", convolution({ depth: 0, groups: 0 })],
  ["Gemm", gemm],
  ["MatMul", matMul],
];
