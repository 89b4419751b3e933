import { attribute } from "../../graph/attribute.ts";
import type { Value } from "../../graph/graph.ts";
import type { Formula } from "../../ops/formula.ts";
import { axesFrom } from "../../ops/value-types.ts";
import { shapeOf, unbroadcast } from "../broadcast.ts";
import type { Backward, GradientTable, InputGradients } from "../rule.ts";

/** The last two axes change places. */
function transposed(f: Formula, value: Value, rank: number): Value {
  return f.transpose(value, [...axesFrom(0, rank - 2), rank - 1, rank - 2]);
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
  const fitted = (gradient: Value, input: number, isVector: boolean): Value => {
    const from = shapeOf(gradient);
    const rank = Math.max(a, c);
    if (!isVector) return unbroadcast(f, gradient, from, b.input(input));
    return f.reshape(rank === 2 ? gradient : f.sum(gradient, axesFrom(0, rank - 2), false), [-1]);
  };
  const dA = b.wants(0) ? fitted(f.matmul(dy, transposed(f, right, c)), 0, isRow) : null;
  if (!b.wants(1)) return [dA];
  if (c === 2 && a > 2 && !isColumn) return [dA, f.matmul(transposed(f, rows(f, left), 2), rows(f, dy))];
  return [dA, fitted(f.matmul(transposed(f, left, a), dy), 1, isColumn)];
}

/** All leading axes as one, so that a batch of products with one matrix is one product. */
function rows(f: Formula, value: Value): Value {
  const width = shapeOf(value)?.at(-1);
  if (typeof width === "number") return f.reshape(value, [-1, width]);
  return f.reshape(value, f.vector(-1, f.dim(value, -1)));
}

/** Y = alpha A' B' + beta C, where A' and B' may be transposed. */
function gemm(b: Backward): InputGradients {
  const { f, dy } = b;
  const [transA, transB] = [b.int("transA", 0), b.int("transB", 0)];
  const alpha = b.float("alpha", 1);
  const product = (x: Value, y: Value, tx: number, ty: number): Value =>
    f.emit("Gemm", [x, y], {
      attributes: [attribute.int("transA", tx), attribute.int("transB", ty), attribute.float("alpha", alpha)],
    });
  const [A, B] = [b.input(0), b.input(1)];
  const ofA = (): Value => (transA === 0 ? product(dy, B, 0, 1 - transB) : product(B, dy, transB, 1));
  const ofB = (): Value => (transB === 0 ? product(A, dy, 1 - transA, 0) : product(dy, A, 1, transA));
  const C = b.optional(2);
  const beta = b.float("beta", 1);
  const ofC = (): Value | null =>
    C === null ? null : unbroadcast(f, beta === 1 ? dy : f.mul(dy, beta), shapeOf(b.output(0)), C);
  return [b.wants(0) ? ofA() : null, b.wants(1) ? ofB() : null, b.wants(2) ? ofC() : null];
}

interface Equation {
  readonly terms: readonly string[];
  readonly result: string;
}

/** Reads an equation; an ellipsis becomes letters of its own. */
function equationOf(b: Backward): Equation {
  const text = b.string("equation", "").replace(/\s/g, "");
  const [left = "", right] = text.split("->");
  const terms = left.split(",");
  const hidden = terms.map((term, index) => (term.includes("...") ? b.rank(index) - term.length + 3 : 0));
  const most = Math.max(0, ...hidden);
  const own = [..."ZYXWVUTSRQPONMLKJIHGFEDCBA"].filter((letter) => !text.includes(letter)).slice(0, most);
  const open = (term: string, count: number): string => term.replace("...", own.slice(most - count).join(""));
  const opened = terms.map((term, index) => open(term, hidden[index] ?? 0));
  const letters = left.replace(/[.,]/g, "");
  const once = [...new Set(letters)].filter((letter) => letters.split(letter).length === 2).sort();
  return { terms: opened, result: right === undefined ? [...own, ...once].join("") : open(right, most) };
}

/** The gradient of one operand is the product of dY with the others, with what was summed away alone spread again. */
function einsum(b: Backward): InputGradients {
  const { f, dy } = b;
  const { terms, result } = equationOf(b);
  return terms.map((term, index) => {
    if (!b.wants(index)) return null;
    if (new Set(term).size < term.length) throw b.refuse(`an operand's letter occurs twice in "${term}"`);
    const others = terms.flatMap((each, at) => (at === index ? [] : [{ term: each, value: b.input(at) }]));
    const available = new Set([result, ...others.map((each) => each.term)].join(""));
    const kept = [...term].filter((letter) => available.has(letter)).join("");
    const equation = `${[result, ...others.map((each) => each.term)].join(",")}->${kept}`;
    const made = f.emit("Einsum", [dy, ...others.map(({ value }) => value)], {
      attributes: [attribute.string("equation", equation)],
    });
    const missing = [...term].flatMap((letter, axis) => (available.has(letter) ? [] : [axis]));
    return missing.length === 0 ? made : f.expand(f.unsqueeze(made, missing), f.shape(b.input(index)));
  });
}

export const MATRIX_RULES: GradientTable = {
  MatMul: { gradient: matmul },
  Gemm: { gradient: gemm },
  Einsum: { gradient: einsum },
};
