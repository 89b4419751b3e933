import { DataType } from "../../graph/data-type.ts";
import type { Dimension } from "../../graph/value-type.ts";
import { type Cut, concatContent, gatherContent, sliceContent } from "./content.ts";
import type { InferenceCall, InferenceRows, Inferred } from "./inference.ts";
import { isPositive, made, minus, plus } from "./named-sizes.ts";
import { normalizeAxis } from "./shapes.ts";

/** Operators that cut tensors, join them, and read or write some of their elements. */

function concat(call: InferenceCall): readonly Inferred[] {
  const shapes = call.node.inputs.map((_, index) => call.shape(index));
  const [first] = shapes;
  if (!first || shapes.some((each) => each === null)) return [{ dtype: call.dtype(0), shape: null }];
  const parts = call.node.inputs.map((_, index) => call.shapedOrOpen(index)).filter((part) => part !== null);
  const at = normalizeAxis(call.int("axis"), first.length);
  const sizes = shapes.map((each) => each?.[at] ?? null);
  const total = sizes.reduce(plus, 0);
  const dims = first.map((dim, axis): Dimension => {
    if (axis === at) return total;
    return shapes.map((each) => each?.[axis] ?? null).find((each) => typeof each === "number") ?? dim;
  });
  const content = parts.length === shapes.length ? (concatContent(parts, at)?.elements ?? null) : null;
  return [{ dtype: call.dtype(0), shape: dims, content }];
}

function split(call: InferenceCall): readonly Inferred[] {
  const dims = call.shape(0);
  const dtype = call.dtype(0);
  const count = call.node.outputs.length;
  if (dims === null) return call.node.outputs.map(() => ({ dtype, shape: null }));
  const at = normalizeAxis(call.int("axis"), dims.length);
  const size = dims[at] ?? null;
  const chunk = typeof size === "number" ? Math.ceil(size / count) : null;
  const even = call.node.outputs.map((_, index) =>
    chunk === null || typeof size !== "number" ? null : Math.min(chunk, size - index * chunk),
  );
  const sizes = call.ints("split") ?? (call.has(1) ? call.content(1) : even);
  const whole = call.shaped(0);
  let start: number | null = 0;
  return call.node.outputs.map((_, index) => {
    const own: Dimension = sizes?.[index] ?? null;
    const isCut = whole !== null && typeof own === "number" && own >= 0 && start !== null;
    const content = isCut ? sliceContent(whole, [{ axis: at, start: start ?? 0, step: 1, size: own }]) : null;
    start = typeof own === "number" && start !== null ? start + own : null;
    return {
      dtype,
      shape: dims.map((dim, axis) => (axis === at ? own : dim)),
      content: content?.elements ?? null,
    };
  });
}

/** The same of a size that is not known. */
function slicedOpen(size: Dimension, start: Dimension, end: Dimension, step: number): Dimension {
  const isToEnd = (typeof end === "number" && end > 2 ** 31 - 2) || (end !== null && end === size);
  if (isToEnd && start === 0 && step === 1) return size;
  const isAllButOne = (isToEnd && start === 1) || (start === 0 && end === -1);
  if (isAllButOne && step === 1 && isPositive(size)) return minus(size, 1);
  return made("slice", size, start, isToEnd ? "end" : end, step);
}

/** How many elements a slice takes; ends past the border mean the border. */
function sliced(size: Dimension, start: Dimension, end: Dimension, step: number): Dimension {
  if (typeof size !== "number") return slicedOpen(size, start, end, step);
  if (typeof start !== "number" || typeof end !== "number") return null;
  if (size === 0) return 0;
  const [low, high] = step > 0 ? [0, size] : [-1, size - 1];
  const clamp = (at: number): number => Math.min(Math.max(at < 0 ? at + size : at, low), high);
  const [from, to] = [Math.max(clamp(start), 0), end < -size ? (step > 0 ? 0 : -1) : clamp(end)];
  return Math.max(0, Math.ceil((to - from) / step));
}

function slice(call: InferenceCall): readonly Inferred[] {
  const dims = call.shape(0);
  const dtype = call.dtype(0);
  if (dims === null) return [{ dtype, shape: null }];
  const [starts, ends] = [call.content(1), call.content(2)];
  const axes = call.has(3) ? call.numbers(3) : (starts?.map((_, index) => index) ?? null);
  const steps = call.has(4) ? call.numbers(4) : (starts?.map(() => 1) ?? null);
  if (starts === null || ends === null || axes === null || steps === null) return [call.open(dtype, dims.length)];
  const taken = dims.map((dim, axis) => {
    const at = axes.findIndex((each) => normalizeAxis(each, dims.length) === axis);
    return at < 0 ? dim : sliced(dim, starts[at] ?? null, ends[at] ?? null, steps[at] ?? 1);
  });
  const whole = call.shaped(0);
  const cuts = axes.map((axis, index): Cut | null => {
    const at = normalizeAxis(axis, dims.length);
    const [size, start, step] = [dims[at] ?? null, starts[index] ?? null, steps[index] ?? 1];
    const count = taken[at];
    if (typeof size !== "number" || typeof start !== "number" || typeof count !== "number") return null;
    const from = start < 0 ? Math.max(start + size, 0) : Math.min(start, step > 0 ? size : size - 1);
    return { axis: at, start: from, step, size: count };
  });
  const known = cuts.filter((cut) => cut !== null);
  const part = whole === null || known.length < cuts.length ? null : (sliceContent(whole, known)?.elements ?? null);
  return [{ dtype, shape: taken, content: part }];
}

function gather(call: InferenceCall): readonly Inferred[] {
  const [dims, indices] = [call.shape(0), call.shape(1)];
  const at = dims === null ? 0 : normalizeAxis(call.int("axis"), dims.length);
  const [data, picks] = [call.shaped(0), call.shaped(1)];
  const content = data === null || picks === null ? null : (gatherContent(data, picks, at)?.elements ?? null);
  const result = dims === null || indices === null ? null : [...dims.slice(0, at), ...indices, ...dims.slice(at + 1)];
  return [{ dtype: call.dtype(0), shape: result, content }];
}

function gatherNd(call: InferenceCall): readonly Inferred[] {
  const [dims, indices] = [call.shape(0), call.shape(1)];
  const last = indices?.at(-1);
  if (dims === null || indices === null || typeof last !== "number") return [{ dtype: call.dtype(0), shape: null }];
  return [{ dtype: call.dtype(0), shape: [...indices.slice(0, -1), ...dims.slice(call.int("batch_dims") + last)] }];
}

function topK(call: InferenceCall): readonly Inferred[] {
  const dims = call.shape(0);
  const [count = null] = call.content(1) ?? [];
  const shape = dims?.map((dim, axis) => (axis === normalizeAxis(call.int("axis"), dims.length) ? count : dim)) ?? null;
  return [
    { dtype: call.dtype(0), shape },
    { dtype: DataType.int64, shape },
  ];
}

export const SELECTING_INFERENCE: InferenceRows = [
  ["Concat", concat],
  ["Split", split],
  ["Slice", slice],
  ["Gather", gather],
  ["GatherElements", (call) => [{ dtype: call.dtype(0), shape: call.shape(1) }]],
  ["GatherND", gatherNd],
  ["ScatterElements", (call) => [call.same()]],
  ["ScatterND", (call) => [call.same()]],
  ["TopK", topK],
];
