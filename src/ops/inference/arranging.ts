import { graphsOf } from "../../graph/attribute.ts";
import { DataType } from "../../graph/data-type.ts";
import type { Dimension } from "../../graph/value-type.ts";
import { constantGivenBy, constantOf } from "../constants.ts";
import { calculate } from "./arithmetic.ts";
import {
  type Cut,
  concatContent,
  expandContent,
  gatherContent,
  MOST_ELEMENTS,
  sliceContent,
  tileContent,
  transposeContent,
} from "./content.ts";
import { elementsOf } from "./elements.ts";
import type { InferenceCall, InferenceRows, InferenceRule, Inferred } from "./inference.ts";
import { isPositive, made, minus, over, plus, times } from "./named-sizes.ts";
import { broadcastShapes, product } from "./shapes.ts";

/** Operators that make, cut, join and rearrange tensors. */

const normalize = (axis: number, rank: number): number => (axis < 0 ? axis + rank : axis);

function constant(call: InferenceCall): readonly (Inferred | null)[] {
  const tensor = constantGivenBy(call.node);
  return [tensor === null ? null : { dtype: tensor.dtype, shape: tensor.dims, content: elementsOf(tensor) }];
}

function shape(call: InferenceCall): readonly Inferred[] {
  const dims = call.shape(0)?.slice(call.int("start"), call.intOrNull("end") ?? undefined) ?? null;
  return [{ dtype: DataType.int64, shape: [dims?.length ?? null], content: dims }];
}

function reshape(call: InferenceCall): readonly Inferred[] {
  const [dtype, from, to] = [call.dtype(0), call.shape(0), call.content(1)];
  if (to === null) {
    const [rank] = call.shape(1) ?? [];
    return [call.open(dtype, typeof rank === "number" ? rank : null)];
  }
  const copies = call.int("allowzero") === 0;
  const dims = to.map((dim, axis): Dimension => (dim === 0 && copies ? (from?.[axis] ?? null) : dim));
  const open = dims.indexOf(-1);
  const content = call.content(0);
  if (open < 0) return [{ dtype, shape: dims, content }];
  return [{ dtype, content, shape: dims.map((dim, axis) => (axis === open ? quotient(from, dims, open) : dim)) }];
}

/** What is left for the axis of size -1. */
function quotient(from: readonly Dimension[] | null, to: readonly Dimension[], open: number): Dimension {
  if (from === null) return null;
  const left = [...from];
  const others: Dimension[] = [];
  /** Sizes that stand on both sides cancel, also those of which nothing can be calculated. */
  for (const dim of to.filter((_, axis) => axis !== open)) {
    const at = typeof dim === "string" ? left.indexOf(dim) : -1;
    if (at >= 0) left.splice(at, 1);
    else others.push(dim);
  }
  const [above, below] = [product(left), product(others)];
  if (typeof above === "number" && typeof below === "number") return below === 0 ? null : above / below;
  return over(above, below);
}

function concat(call: InferenceCall): readonly Inferred[] {
  const shapes = call.node.inputs.map((_, index) => call.shape(index));
  const [first] = shapes;
  if (!first || shapes.some((each) => each === null)) return [{ dtype: call.dtype(0), shape: null }];
  const parts = call.node.inputs.map((_, index) => call.shapedOrOpen(index)).filter((part) => part !== null);
  const at = normalize(call.int("axis"), first.length);
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
  const at = normalize(call.int("axis"), dims.length);
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
    const at = axes.findIndex((each) => normalize(each, dims.length) === axis);
    return at < 0 ? dim : sliced(dim, starts[at] ?? null, ends[at] ?? null, steps[at] ?? 1);
  });
  const whole = call.shaped(0);
  const cuts = axes.map((axis, index): Cut | null => {
    const at = normalize(axis, dims.length);
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
  const at = dims === null ? 0 : normalize(call.int("axis"), dims.length);
  const [data, picks] = [call.shaped(0), call.shaped(1)];
  const content = data === null || picks === null ? null : (gatherContent(data, picks, at)?.elements ?? null);
  const result = dims === null || indices === null ? null : [...dims.slice(0, at), ...indices, ...dims.slice(at + 1)];
  return [{ dtype: call.dtype(0), shape: result, content }];
}

function unsqueeze(call: InferenceCall): readonly Inferred[] {
  const dims = call.shape(0);
  const count = call.ints("axes")?.length ?? call.shape(1)?.[0];
  const content = call.content(0);
  if (dims === null || typeof count !== "number") return [{ dtype: call.dtype(0), shape: null, content }];
  const axes = call.axes(1, dims.length + count);
  if (axes === null) return [{ ...call.open(call.dtype(0), dims.length + count), content }];
  const rest = [...dims];
  const shape = Array.from({ length: dims.length + count }, (_, axis) =>
    axes.includes(axis) ? 1 : (rest.shift() ?? null),
  );
  return [{ dtype: call.dtype(0), shape, content }];
}

function squeeze(call: InferenceCall): readonly Inferred[] {
  const dims = call.shape(0);
  const content = call.content(0);
  if (dims === null) return [{ dtype: call.dtype(0), shape: null, content }];
  const isAll = !call.node.attributes.has("axes") && !call.has(1);
  const axes = isAll ? dims.flatMap((dim, axis) => (dim === 1 ? [axis] : [])) : call.axes(1, dims.length);
  if (axes === null || (isAll && dims.some((dim) => typeof dim !== "number"))) {
    return [{ dtype: call.dtype(0), shape: null, content }];
  }
  return [{ dtype: call.dtype(0), shape: dims.filter((_, axis) => !axes.includes(axis)), content }];
}

function transpose(call: InferenceCall): readonly Inferred[] {
  const dims = call.shape(0);
  if (dims === null) return [call.same()];
  const perm = call.ints("perm") ?? dims.map((_, axis) => dims.length - 1 - axis);
  const whole = call.shaped(0);
  const content = whole === null ? null : (transposeContent(whole, perm)?.elements ?? null);
  return [{ dtype: call.dtype(0), shape: perm.map((axis) => dims[axis] ?? null), content }];
}

function expand(call: InferenceCall): readonly Inferred[] {
  const [rank] = call.shape(1) ?? [];
  const to = call.content(1);
  const length = typeof rank === "number" ? Math.max(rank, call.rank(0) ?? rank) : null;
  if (to === null) return [call.open(call.dtype(0), length)];
  const [whole, sizes] = [call.shaped(0), call.numbers(1)];
  const content = whole === null || sizes === null ? null : (expandContent(whole, sizes)?.elements ?? null);
  return [{ dtype: call.dtype(0), shape: broadcastShapes([call.shape(0), to]), content }];
}

/** A tensor of a shape that an input gives. */
const shaped = (dtype: (call: InferenceCall) => number, filling: (call: InferenceCall) => Dimension): InferenceRule => {
  return (call) => {
    const [rank] = call.shape(0) ?? [];
    const dims = call.content(0);
    const size = dims === null ? null : product(dims);
    const content =
      typeof size === "number" && size <= MOST_ELEMENTS && size >= 0
        ? Array.from({ length: size }, () => filling(call))
        : null;
    return [
      dims === null
        ? call.open(dtype(call), typeof rank === "number" ? rank : null)
        : { dtype: dtype(call), shape: dims, content },
    ];
  };
};

const fillingOf = (call: InferenceCall): { readonly dtype: number; readonly value: Dimension } => {
  const value = call.node.attributes.get("value");
  if (value?.kind !== "tensor") return { dtype: DataType.float, value: 0 };
  const { tensor } = value.value;
  return { dtype: tensor.dtype, value: elementsOf(tensor)?.[0] ?? null };
};

function range(call: InferenceCall): readonly Inferred[] {
  const [[start = null] = [], [limit = null] = [], [step = null] = []] = [0, 1, 2].map(
    (index) => call.content(index) ?? [],
  );
  const dtype = call.dtype(0);
  if (start === 0 && step === 1 && typeof limit === "string" && isPositive(limit)) return [{ dtype, shape: [limit] }];
  if (typeof start !== "number" || typeof limit !== "number" || typeof step !== "number") return [call.open(dtype, 1)];
  const size = Math.max(0, Math.ceil((limit - start) / step));
  const isWhole = [start, step].every(Number.isSafeInteger);
  return [
    {
      dtype,
      shape: [size],
      content:
        isWhole && size <= MOST_ELEMENTS ? Array.from({ length: size }, (_, index) => start + index * step) : null,
    },
  ];
}

function pad(call: InferenceCall): readonly Inferred[] {
  const dims = call.shape(0);
  if (dims === null) return [call.same()];
  const pads = call.numbers(1);
  const axes = call.has(3)
    ? (call.numbers(3)?.map((axis) => normalize(axis, dims.length)) ?? null)
    : dims.map((_, axis) => axis);
  if (pads === null || axes === null) return [call.open(call.dtype(0), dims.length)];
  return [
    {
      dtype: call.dtype(0),
      shape: dims.map((dim, axis) => {
        const at = axes.indexOf(axis);
        const added = at < 0 ? 0 : (pads[at] ?? 0) + (pads[at + axes.length] ?? 0);
        return plus(dim, added);
      }),
    },
  ];
}

function tile(call: InferenceCall): readonly Inferred[] {
  const [dims, repeats] = [call.shape(0), call.content(1)];
  if (dims === null || repeats === null) return [call.open(call.dtype(0), dims?.length ?? null)];
  const shape = dims.map((dim, axis) => calculate("Mul", DataType.int64, dim, repeats[axis] ?? null));
  const [whole, counts] = [call.shaped(0), call.numbers(1)];
  const content = whole === null || counts === null ? null : (tileContent(whole, counts)?.elements ?? null);
  return [{ dtype: call.dtype(0), shape, content }];
}

function flatten(call: InferenceCall): readonly Inferred[] {
  const dims = call.shape(0);
  if (dims === null) return [call.open(call.dtype(0), 2)];
  const at = normalize(call.int("axis"), dims.length);
  const shape = [product(dims.slice(0, at)), product(dims.slice(at))];
  return [{ dtype: call.dtype(0), shape, content: call.content(0) }];
}

/** DepthToSpace and SpaceToDepth. */
const blocks =
  (
    apart: (dim: Dimension, by: number) => Dimension,
    together: (dim: Dimension, by: number) => Dimension,
  ): InferenceRule =>
  (call) => {
    const dims = call.shape(0);
    const size = call.int("blocksize");
    if (dims === null) return [call.open(call.dtype(0), 4)];
    return [
      {
        dtype: call.dtype(0),
        shape: dims.map((dim, axis) => (axis === 0 ? dim : axis === 1 ? apart(dim, size * size) : together(dim, size))),
      },
    ];
  };

/** What divides without a rest, or the model is damaged. */
const shared = (dim: Dimension, by: number): Dimension => (typeof dim === "number" ? dim / by : over(dim, by));

function resize(call: InferenceCall): readonly Inferred[] {
  const dims = call.shape(0);
  if (dims === null) return [call.same()];
  const sizes = call.has(3) ? call.content(3) : null;
  if (sizes !== null && sizes.length === dims.length) return [{ dtype: call.dtype(0), shape: sizes }];
  const scales = call.node.inputs[2];
  const held = scales ? constantOf(scales) : null;
  if (held === null || held.size !== dims.length) return [call.open(call.dtype(0), dims.length)];
  const factors = [...(held.values() as Float32Array)];
  return [
    {
      dtype: call.dtype(0),
      shape: dims.map((dim, axis) => {
        const factor = factors[axis] ?? 1;
        if (typeof dim === "number") return Math.floor(dim * factor);
        return Number.isSafeInteger(factor) ? times(dim, factor) : null;
      }),
    },
  ];
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
  const shape = dims?.map((dim, axis) => (axis === normalize(call.int("axis"), dims.length) ? count : dim)) ?? null;
  return [
    { dtype: call.dtype(0), shape },
    { dtype: DataType.int64, shape },
  ];
}

function oneHot(call: InferenceCall): readonly Inferred[] {
  const dims = call.shape(0);
  const [depth = null] = call.content(1) ?? [];
  if (dims === null) return [{ dtype: call.dtype(2), shape: null }];
  return [{ dtype: call.dtype(2), shape: dims.toSpliced(normalize(call.int("axis"), dims.length + 1), 0, depth) }];
}

/** What both branches of If give, or the one that is taken where the condition is known: exporters ask for ranks so. */
function chosen(call: InferenceCall): readonly (Inferred | null)[] {
  const condition = call.content(0)?.[0];
  const open = ["then_branch", "else_branch"] as const;
  const names = typeof condition === "number" ? [condition === 0 ? open[1] : open[0]] : open;
  const branches = names.flatMap((name) => {
    const branch = call.node.attributes.get(name);
    return branch === undefined ? [] : graphsOf(branch);
  });
  return call.node.outputs.map((_, index) => {
    const [first, second = first] = branches.map(({ outputs }) => outputs[index]?.type ?? null);
    if (first?.kind !== "tensor" || second?.kind !== "tensor" || first.dtype !== second.dtype) return null;
    const isSameRank = first.shape !== null && first.shape.length === second.shape?.length;
    const shape = first.shape?.map((dim, axis) => (dim === second.shape?.[axis] ? dim : null)) ?? null;
    return { dtype: first.dtype, shape: isSameRank ? shape : null };
  });
}

export const ARRANGING_INFERENCE: InferenceRows = [
  ["If", chosen],
  ["Constant", constant],
  ["Shape", shape],
  ["Size", (call) => [{ dtype: DataType.int64, shape: [], content: [product(call.shape(0) ?? [null, null])] }]],
  ["Reshape", reshape],
  ["Flatten", flatten],
  ["Concat", concat],
  ["Split", split],
  ["Slice", slice],
  ["Gather", gather],
  ["ReverseSequence", (call) => [call.same()]],
  ["GatherElements", (call) => [{ dtype: call.dtype(0), shape: call.shape(1) }]],
  ["GatherND", gatherNd],
  ["ScatterElements", (call) => [call.same()]],
  ["ScatterND", (call) => [call.same()]],
  ["Unsqueeze", unsqueeze],
  ["Squeeze", squeeze],
  ["Transpose", transpose],
  ["Expand", expand],
  ["Tile", tile],
  ["Pad", pad],
  [
    "ConstantOfShape",
    shaped(
      (call) => fillingOf(call).dtype,
      (call) => fillingOf(call).value,
    ),
  ],
  ["Range", range],
  ["EyeLike", (call) => [{ dtype: call.intOrNull("dtype") ?? call.dtype(0), shape: call.shape(0) }]],
  ["NonZero", (call) => [{ dtype: DataType.int64, shape: [call.rank(0), null] }]],
  ["OneHot", oneHot],
  ["TopK", topK],
  ["DepthToSpace", blocks(shared, times)],
  ["SpaceToDepth", blocks(times, shared)],
  ["Resize", resize],
];
