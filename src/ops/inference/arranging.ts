import { DataType } from "../../graph/data-type.ts";
import type { Dimension } from "../../graph/value-type.ts";
import { constantOf } from "../constants.ts";
import { calculate } from "./arithmetic.ts";
import { expandContent, tileContent, transposeContent } from "./content.ts";
import type { InferenceCall, InferenceRows, InferenceRule, Inferred } from "./inference.ts";
import { over, plus, times } from "./named-sizes.ts";
import { broadcastShapes, normalizeAxis, product } from "./shapes.ts";

/** Operators that change the shape of a tensor, or the order of its axes. */

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

function pad(call: InferenceCall): readonly Inferred[] {
  const dims = call.shape(0);
  if (dims === null) return [call.same()];
  const pads = call.numbers(1);
  const axes = call.has(3)
    ? (call.numbers(3)?.map((axis) => normalizeAxis(axis, dims.length)) ?? null)
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
  const at = normalizeAxis(call.int("axis"), dims.length);
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
  const factors = [...held.floatValues()];
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

export const ARRANGING_INFERENCE: InferenceRows = [
  ["Reshape", reshape],
  ["Flatten", flatten],
  ["ReverseSequence", (call) => [call.same()]],
  ["Unsqueeze", unsqueeze],
  ["Squeeze", squeeze],
  ["Transpose", transpose],
  ["Expand", expand],
  ["Tile", tile],
  ["Pad", pad],
  ["DepthToSpace", blocks(shared, times)],
  ["SpaceToDepth", blocks(times, shared)],
  ["Resize", resize],
];
