import { attribute } from "../../graph/attribute.ts";
import { DataType } from "../../graph/data-type.ts";
import type { Value } from "../../graph/graph.ts";
import type { Backward, GradientRule, GradientTable } from "../rule.ts";

/** A reduction with its result and gradient as they were before the reduced axes were taken away. */
interface Reduced {
  readonly b: Backward;
  readonly x: Value;
  /** Null: all axes. */
  readonly axes: readonly number[] | null;
  /** The gradient, with axes of size 1; it broadcasts against x. */
  readonly dy: Value;
  readonly y: () => Value;
}

const reduction = (of: (reduced: Reduced) => Value): GradientRule => ({
  gradient: (b) => {
    const { f } = b;
    const x = b.input(0);
    const given = b.axes(1, rankOrZero(b));
    const isEmpty = given === null || given.length === 0;
    if (isEmpty && b.int("noop_with_empty_axes") !== 0) return [b.dy];
    const axes = isEmpty ? null : given;
    const keeps = b.int("keepdims") !== 0;
    const open = (value: Value): Value => (keeps || axes === null ? value : f.unsqueeze(value, axes));
    return [of({ b, x, axes, dy: open(b.dy), y: () => open(b.output(0)) })];
  },
});

/** Negative axes need the rank; where there are none, it does not matter. */
function rankOrZero(b: Backward): number {
  const given = b.ints("axes") ?? b.constants(1) ?? [];
  return given.some((axis) => axis < 0) ? b.rank(0) : 0;
}

/** Repeats a value along the axes that were reduced. */
const spread = ({ b, x }: Reduced, value: Value): Value => b.f.expand(value, b.f.shape(x));

/** How many elements one result was made of. */
function count({ b, x, axes }: Reduced): Value | number {
  const dims = b.shape(0);
  const chosen = axes === null ? dims : axes.map((axis) => dims?.[axis] ?? null);
  if (chosen?.every((dim) => typeof dim === "number")) return chosen.reduce((product, dim) => product * dim, 1);
  const { f } = b;
  if (axes === null) return f.cast(f.size(x), f.dtype);
  const parts = axes.map((axis) => f.dim(x, axis));
  const [first, ...others] = parts;
  if (first === undefined) return 1;
  return f.cast(
    f.reshape(
      others.reduce((product, part) => f.typed(DataType.int64).mul(product, part), first),
      [],
    ),
    f.dtype,
  );
}

/** What ties for the extreme shares the gradient equally, as PyTorch's amax has it. */
const extreme = reduction((reduced) => {
  const { b, x, axes, dy, y } = reduced;
  const { f } = b;
  const isExtreme = f.cast(f.equal(x, y()), f.dtype);
  return f.mul(isExtreme, f.div(dy, f.sum(isExtreme, axes, axes !== null)));
});

/** The product of the others: where one factor is 0 only its own gradient is not, where two are 0 none is. */
const product = reduction(({ b, x, axes, dy }) => {
  const { f } = b;
  const isZero = f.equal(x, 0);
  const nonZero = f.where(isZero, 1, x);
  const others = f.div(f.reduce("ReduceProd", nonZero, axes), nonZero);
  const own = f.cast(isZero, f.dtype);
  const isOnly = f.equal(f.sum(own, axes), own);
  return f.mul(dy, f.mul(others, f.cast(isOnly, f.dtype)));
});

function cumSum(b: Backward): readonly Value[] {
  const attributes = [attribute.int("exclusive", b.int("exclusive")), attribute.int("reverse", 1 - b.int("reverse"))];
  return [b.f.emit("CumSum", [b.dy, b.input(1)], { attributes })];
}

export const REDUCTION_RULES: GradientTable = {
  ReduceSum: reduction((reduced) => spread(reduced, reduced.dy)),
  ReduceMean: reduction((reduced) => spread(reduced, reduced.b.f.div(reduced.dy, count(reduced)))),
  ReduceMax: extreme,
  ReduceMin: extreme,
  ReduceProd: product,
  ReduceL1: reduction(({ b: { f }, x, dy }) => f.mul(dy, f.emit("Sign", [x]))),
  ReduceL2: reduction(({ b: { f }, x, dy, y }) => {
    const norm = y();
    return f.where(f.greater(norm, 0), f.mul(x, f.div(dy, norm)), 0);
  }),
  ReduceSumSquare: reduction(({ b: { f }, x, dy }) => f.mul(f.mul(dy, 2), x)),
  ReduceLogSum: reduction((reduced) => {
    const { b, x, axes, dy } = reduced;
    return spread(reduced, b.f.div(dy, b.f.sum(x, axes, axes !== null)));
  }),
  ReduceLogSumExp: reduction(({ b: { f }, x, dy, y }) => f.mul(dy, f.exp(f.sub(x, y())))),
  CumSum: { gradient: cumSum },
};
