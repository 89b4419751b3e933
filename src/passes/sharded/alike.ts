import { DataType } from "../../graph/data-type.ts";
import type { Node, Value } from "../../graph/graph.ts";
import type { Tensor } from "../../graph/tensor.ts";
import { constantOf } from "../../ops/constants.ts";
import { ELEMENTWISE } from "../../ops/elementwise.ts";
import { NodeView } from "../../ops/node-view.ts";
import { opTypes } from "../../ops/operators/index.ts";
import { axisOf, dimsOfValue } from "./shard-call.ts";

/** A node whose output is asked about. */
interface Question {
  readonly view: NodeView;
  /** Of the output. */
  readonly axis: number;
  /** Whether all entries of an input's axis are equal. */
  readonly isAlike: (index: number, axis: number) => boolean;
}

/** Whether all entries of an axis are equal, from where inputs have equal ones. */
type AlikeRule = (question: Question) => boolean;

const dimsAt = (view: NodeView, index: number): readonly number[] | null => {
  const value = view.optional(index);
  return value === null ? null : dimsOfValue(value);
};

/** Axes are counted from the last; what lacks one is repeated along it. */
const broadcast =
  (isOne: (index: number) => boolean): AlikeRule =>
  ({ view, axis, isAlike }) => {
    const rank = dimsOfValue(view.output(0))?.length;
    return view.node.inputs.every((value, index) => {
      const own = dimsAt(view, index)?.length;
      if (value === null || !isOne(index)) return true;
      if (rank === undefined || own === undefined) return false;
      return axis + own < rank || isAlike(index, axis + own - rank);
    });
  };

const sizeBefore = (dims: readonly number[], axis: number): number =>
  dims.slice(0, axis).reduce((product, dim) => product * dim, 1);

/** The same elements in the same order: an axis that stays has its entries as before, and if all elements are equal they are so anywhere. */
const reshaped: AlikeRule = ({ view, axis, isAlike }) => {
  const [from, to] = [dimsAt(view, 0), dimsOfValue(view.output(0))];
  if (from === null || to === null) return false;
  const isSame = (at: number): boolean => from[at] === to[axis] && sizeBefore(from, at) === sizeBefore(to, axis);
  const before = from.findIndex((_, at) => isSame(at));
  return before === -1 ? from.every((_, at) => isAlike(0, at)) : isAlike(0, before);
};

const transposed: AlikeRule = ({ view, axis, isAlike }) => {
  const rank = dimsAt(view, 0)?.length;
  return rank !== undefined && isAlike(0, view.ints("perm")?.[axis] ?? rank - 1 - axis);
};

const gathered: AlikeRule = ({ view, axis, isAlike }) => {
  const [rank, places] = [dimsAt(view, 0)?.length, dimsAt(view, 1)?.length];
  if (rank === undefined || places === undefined) return false;
  const at = axisOf(view, rank);
  if (axis < at) return isAlike(0, axis);
  return axis < at + places ? isAlike(1, axis - at) : isAlike(0, axis - places + 1);
};

/** Of the axis itself the inputs are one behind the other. */
const joined: AlikeRule = ({ view, axis, isAlike }) => {
  const rank = dimsAt(view, 0)?.length;
  if (rank === undefined) return false;
  return axis !== axisOf(view, rank) && view.node.inputs.every((_, index) => isAlike(index, axis));
};

/** Axes that stay where they are. */
const reduced: AlikeRule = ({ view, axis, isAlike }) => view.int("keepdims") !== 0 && isAlike(0, axis);

const same: AlikeRule = ({ axis, isAlike }) => isAlike(0, axis);

const RULES: ReadonlyMap<string, AlikeRule> = new Map([
  ...[...ELEMENTWISE].map((op): readonly [string, AlikeRule] => [op, broadcast(() => true)]),
  ["Concat", joined],
  ["Expand", broadcast((index) => index === 0)],
  ["Flatten", reshaped],
  ["Gather", gathered],
  ["ReduceMean", reduced],
  ["ReduceSum", reduced],
  ["Reshape", reshaped],
  ["Slice", same],
  ["Squeeze", reshaped],
  ["Tile", same],
  ["Transpose", transposed],
  ["Unsqueeze", reshaped],
]);

/** What was found, by value and axis: graphs join again what they part. */
type Found = Map<Value, Map<number, boolean>>;

/** Whether all entries of a value's axis are equal, whatever the model is given. False also where that cannot be told. */
export function isAlike(value: Value, axis: number, opset: number, found: Found = new Map()): boolean {
  const own = found.get(value) ?? new Map<number, boolean>();
  found.set(value, own);
  const known = own.get(axis);
  if (known !== undefined) return known;
  own.set(axis, false);
  const result = alike(value, axis, opset, found);
  own.set(axis, result);
  return result;
}

function alike(value: Value, axis: number, opset: number, found: Found): boolean {
  const dims = dimsOfValue(value);
  if (dims?.[axis] === undefined) return false;
  if (dims[axis] === 1) return true;
  const constant = constantOf(value);
  if (constant !== null) return hasEqualEntries(constant, axis);
  const { producer } = value;
  if (producer === null || producer.domain !== "") return false;
  if (filling(producer) !== null) return true;
  const view = new NodeView(producer, opset);
  const ofInput = (index: number, at: number): boolean => isAlike(view.input(index), at, opset, found);
  return RULES.get(producer.opType)?.({ view, axis, isAlike: ofInput }) ?? false;
}

function hasEqualEntries(tensor: Tensor, axis: number): boolean {
  if (tensor.dtype === DataType.string || tensor.data.kind === "external") return false;
  const elements: ArrayLike<number | bigint> = tensor.values();
  const row = tensor.dims.slice(axis + 1).reduce((product, dim) => product * dim, 1);
  const size = tensor.dims[axis] ?? 1;
  const isFirst = (at: number): boolean => Math.floor(at / row) % size === 0;
  return Array.prototype.every.call(
    elements,
    (element: number | bigint, at: number) => isFirst(at) || Object.is(element, elements[at - row]),
  );
}

/** Operators whose result has no other elements than their first input. */
const ARRANGING = opTypes(["Expand", "Flatten", "Reshape", "Slice", "Squeeze", "Tile", "Transpose", "Unsqueeze"]);

/** Whether all elements of a value are zero. */
export function isZero(value: Value): boolean {
  const constant = constantOf(value);
  if (constant !== null)
    return constant.data.kind !== "external" && constant.values().every((each) => Number(each) === 0);
  const { producer } = value;
  if (producer === null || producer.domain !== "") return false;
  const [first = null] = producer.inputs;
  return filling(producer) === 0 || (first !== null && ARRANGING.has(producer.opType) && isZero(first));
}

/** The number that a node fills a tensor with; null where it does something else. */
function filling({ opType, attributes }: Node): number | null {
  if (opType !== "ConstantOfShape") return null;
  const value = attributes.get("value");
  return value?.kind === "tensor" ? Number(value.value.tensor.values()[0]) : 0;
}
