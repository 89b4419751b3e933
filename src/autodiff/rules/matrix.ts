import { attribute } from "../../graph/attribute.ts";
import { DataType } from "../../graph/data-type.ts";
import type { Value } from "../../graph/graph.ts";
import { Tensor } from "../../graph/tensor.ts";
import type { Dimension } from "../../graph/value-type.ts";
import { einsumEquation } from "../../ops/einsum.ts";
import { type Formula, transposedFrom } from "../../ops/formula.ts";
import { axesFrom, shapeOf } from "../../ops/value-types.ts";
import { unbroadcast } from "../broadcast.ts";
import type { Backward, GradientTable, InputGradients } from "../rule.ts";

/** The last two axes change places. */
function transposed(f: Formula, value: Value, rank: number): Value {
  return f.transpose(value, [...axesFrom(0, rank - 2), rank - 1, rank - 2]);
}

/** Whether an operand is laid out so that what is its last axis but one lies last. */
const isTurned = (operand: Value, rank: number): boolean => transposedFrom(operand)?.[1].at(-2) === rank - 1;

/** left right; as (right^T left^T)^T where it flows back to an operand that is turned, so that turning it back lays nothing out anew. */
function productFor(f: Formula, operand: Value, left: Value, right: Value, rank: number): Value {
  if (!isTurned(operand, rank)) return f.matmul(left, right);
  return transposed(f, f.matmul(transposed(f, right, rank), transposed(f, left, rank)), rank);
}

/** dA = dY B^T, dB = A^T dY; batch axes that were broadcast are summed. A vector counts as a row or column matrix. */
function matmul(b: Backward): InputGradients {
  const { f } = b;
  const [rankA, rankB] = [b.rank(0), b.rank(1)];
  const [isRow, isColumn] = [rankA === 1, rankB === 1];
  const left = isRow ? f.unsqueeze(b.input(0), [0]) : b.input(0);
  const right = isColumn ? f.unsqueeze(b.input(1), [1]) : b.input(1);
  const [a, c] = [Math.max(rankA, 2), Math.max(rankB, 2)];
  const padded = isColumn ? f.unsqueeze(b.dy, [-1]) : b.dy;
  const dy = isRow ? f.unsqueeze(padded, [-2]) : padded;
  const isBroadcast = !haveSameBatch(shapeOf(left), shapeOf(right));
  const fitted = (gradient: Value, input: number, isVector: boolean): Value => {
    if (!isBroadcast && !isVector) return gradient;
    const from = shapeOf(gradient);
    const rank = Math.max(a, c);
    if (!isVector) return unbroadcast(f, gradient, from, b.input(input));
    return f.reshape(rank === 2 ? gradient : f.sum(gradient, axesFrom(0, rank - 2), false), [-1]);
  };
  const product = (operand: Value, x: Value, y: Value): Value =>
    a === c ? productFor(f, operand, x, y, a) : f.matmul(x, y);
  const dA = b.wants(0) ? fitted(product(left, dy, transposed(f, right, c)), 0, isRow) : null;
  if (!b.wants(1)) return [dA];
  if (c === 2 && a > 2 && !isColumn) {
    return [dA, productFor(f, right, transposed(f, rows(f, left), 2), rows(f, dy), 2)];
  }
  return [dA, fitted(product(right, transposed(f, left, a), dy), 1, isColumn)];
}

/** Whether all axes but the last two are known to be the same: nothing is broadcast there. */
function haveSameBatch(a: readonly Dimension[] | null, b: readonly Dimension[] | null): boolean {
  if (a === null || b === null || a.length !== b.length) return false;
  return a.slice(0, -2).every((size, axis) => typeof size === "number" && size === b[axis]);
}

/** All leading axes as one, so that a batch of products with one matrix is one product. */
function rows(f: Formula, value: Value): Value {
  const width = shapeOf(value)?.at(-1);
  if (typeof width === "number") return f.reshape(value, [-1, width]);
  return f.reshape(value, f.vector(-1, f.dim(value, -1)));
}

/** Y = alpha A' B' of stacked matrices, where the last two axes of A' and B' may have changed places. */
function fusedMatmul(b: Backward): InputGradients {
  const { f } = b;
  const [A, B] = [b.input(0), b.input(1)];
  const [rankA, rankB] = [b.rank(0), b.rank(1)];
  if (rankA < 2 || rankB < 2) throw b.refuse("one of its inputs is a vector");
  const turned = (value: Value, rank: number, name: "transA" | "transB"): Value =>
    b.int(name) === 0 ? value : transposed(f, value, rank);
  const [left, right] = [turned(A, rankA, "transA"), turned(B, rankB, "transB")];
  const dy = f.mul(b.dy, b.float("alpha"));
  const rank = Math.max(rankA, rankB);
  const back = (gradient: Value, input: Value, name: "transA" | "transB"): Value =>
    unbroadcast(f, turned(gradient, rank, name), null, input);
  return [
    b.wants(0) ? back(f.matmul(dy, transposed(f, right, rankB)), A, "transA") : null,
    b.wants(1) ? back(f.matmul(transposed(f, left, rankA), dy), B, "transB") : null,
  ];
}

/** The gradient of a determinant is the matrix of cofactors, which there is for singular matrices too. */
function determinant(b: Backward): InputGradients {
  const { f, sizes } = b;
  const n = b.shape(0)?.at(-1);
  if (typeof n !== "number") throw b.refuse("the size of its matrices is not known");
  const all = axesFrom(0, n);
  const places = all.flatMap((row) =>
    all.flatMap((column) => all.flatMap((i) => all.flatMap((j) => (i === row || j === column ? [] : [i * n + j])))),
  );
  const signs = f.build.constant(
    Tensor.floats(
      [n, n],
      all.flatMap((row) => all.map((column) => ((row + column) % 2 === 0 ? 1 : -1))),
    ),
  );
  const dy = f.mul(f.reshape(b.dy, [-1, 1, 1]), f.cast(signs, f.dtype));
  if (n === 1) return [f.reshape(dy, sizes.target(b.input(0)))];
  const minors = f.gather(f.reshape(b.input(0), [-1, n * n]), f.ints(places), 1);
  const cofactors = f.emit("Det", [f.reshape(minors, [-1, n, n, n - 1, n - 1])]);
  return [f.reshape(f.mul(dy, cofactors), sizes.target(b.input(0)))];
}

/** Y = alpha A' B' + beta C, where A' and B' may be transposed. */
function gemm(b: Backward): InputGradients {
  const { f, dy } = b;
  const [transA, transB] = [b.int("transA"), b.int("transB")];
  const alpha = b.float("alpha");
  const product = (x: Value, y: Value, tx: number, ty: number): Value =>
    f.emit("Gemm", [x, y], {
      attributes: [attribute.int("transA", tx), attribute.int("transB", ty), attribute.float("alpha", alpha)],
    });
  const [A, B] = [b.input(0), b.input(1)];
  const ofA = (): Value => (transA === 0 ? product(dy, B, 0, 1 - transB) : product(B, dy, transB, 1));
  const ofB = (): Value => (transB === 0 ? product(A, dy, 1 - transA, 0) : product(dy, A, 1, transA));
  const C = b.optional(2);
  const beta = b.float("beta");
  const ofC = (): Value | null =>
    C === null ? null : unbroadcast(f, beta === 1 ? dy : f.mul(dy, beta), shapeOf(b.output(0)), C);
  return [b.wants(0) ? ofA() : null, b.wants(1) ? ofB() : null, b.wants(2) ? ofC() : null];
}

/**
 * The gradient of one operand is the product of dY with the others, with what was summed away alone spread again, and put
 * on the diagonal where a letter of it occurs twice.
 */
function einsum(b: Backward): InputGradients {
  const { f, dy } = b;
  const ranks = b.node.inputs.map((_, index) => (b.string("equation").includes("...") ? b.rank(index) : null));
  const equation = einsumEquation(b.string("equation"), ranks);
  if (equation === null) throw b.refuse("its ellipses stand for different numbers of axes");
  const { terms, result, broadcast } = equation;
  return terms.map((term, index) => {
    if (!b.wants(index)) return null;
    const others = terms.flatMap((each, at) => (at === index ? [] : [{ term: each, value: b.input(at) }]));
    const available = new Set([result, ...others.map((each) => each.term)].join(""));
    const own = [...new Set(term)];
    const kept = own.filter((letter) => available.has(letter)).join("");
    const made = f.emit("Einsum", [dy, ...others.map(({ value }) => value)], {
      attributes: [attribute.string("equation", `${[result, ...others.map((each) => each.term)].join(",")}->${kept}`)],
    });
    const missing = own.flatMap((letter, axis) => (available.has(letter) ? [] : [axis]));
    const whole = missing.length === 0 ? made : f.unsqueeze(made, missing);
    const input = b.input(index);
    const placed = onDiagonals(b, whole, term, input);
    if (missing.length > 0) return f.expand(placed, f.shape(input));
    return own.some((letter) => broadcast.includes(letter)) ? unbroadcast(f, placed, shapeOf(placed), input) : placed;
  });
}

/** Gives an axis back to each letter that occurs again: what is not on the diagonal is zero. */
function onDiagonals({ f }: Backward, gradient: Value, term: string, input: Value): Value {
  const int = f.typed(DataType.int64);
  return [...term].reduce((value, letter, axis) => {
    const first = term.indexOf(letter);
    if (first === axis) return value;
    const places = int.range(f.reshape(f.dim(input, axis), []));
    /** Axes behind this one that are not given back yet are not there. */
    const rank = axis + 1 + [...term.slice(axis + 1)].filter((each, at) => term.indexOf(each) === axis + 1 + at).length;
    const along = (at: number): Value =>
      f.reshape(
        places,
        axesFrom(0, rank).map((each) => (each === at ? -1 : 1)),
      );
    return f.where(int.equal(along(first), along(axis)), f.unsqueeze(value, [axis]), 0);
  }, gradient);
}

export const MATRIX_RULES: GradientTable = {
  Det: { gradient: determinant },
  "com.microsoft.FusedMatMul": { gradient: fusedMatmul },
  MatMul: { gradient: matmul },
  Gemm: { gradient: gemm },
  Einsum: { gradient: einsum },
};
