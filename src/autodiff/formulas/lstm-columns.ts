import { attribute } from "../../graph/attribute.ts";
import type { Value } from "../../graph/graph.ts";
import type { Formula } from "../../ops/formula.ts";
import type { LstmGradients, LstmLayer, LstmOutputGradients } from "./lstm.ts";
import { affine, hiddenGradients, parts, scan, squeezed, transposed, zeroState } from "./scan.ts";

/**
 * The LSTM of `lstm.ts` with a sample in each column of its states, [H, N]. The weights of the input, the bias and those of the recurrence then
 * stand beside each other, and one product of a time step makes all gates. It reads the weights as they lie, where a product with samples in rows
 * has ONNX Runtime pack them anew at each step.
 */

/** What the way back needs of the forward pass, one entry per time step; [T, H, N] each but for `operands`. */
export interface LstmColumnsTrace {
  /** What the weights are multiplied with: input, 1 if there is a bias, and hidden state before the step, [T, I + 1 + H, N]. */
  readonly operands: Value;
  readonly hasBias: boolean;
  readonly i: Value;
  readonly o: Value;
  readonly f: Value;
  readonly g: Value;
  /** i g, which is added to the cell. */
  readonly added: Value;
  /** f c[t-1], what is kept of it. */
  readonly kept: Value;
  readonly tanh: Value;
  readonly hidden: Value;
}

export interface LstmColumnsStates {
  readonly trace: LstmColumnsTrace;
  /** [T, 1, N, H] */
  readonly hidden: Value;
  /** [1, N, H] */
  readonly lastHidden: Value;
  readonly lastCell: Value;
}

/** Sizes of a layer that are known when the graph is written. */
export interface LstmSizes {
  readonly batch: number;
  readonly inputs: number;
  readonly hidden: number;
}

/** [.., N, H] as [.., H, N] and back. */
const turned = (f: Formula, value: Value): Value => f.transpose(value, [0, 2, 1]);
const columns = (f: Formula, value: Value | null): Value | null =>
  value === null ? null : transposed(f, f.squeeze(value, [0]));
const states = (f: Formula, value: Value): Value => f.unsqueeze(transposed(f, value), [0]);
const zeroColumns = (f: Formula, { x, r }: LstmLayer): Value => transposed(f, zeroState(f, x, f.squeeze(r, [0])));

export function lstmColumns(f: Formula, layer: LstmLayer, bias: Value | null, { batch }: LstmSizes): LstmColumnsStates {
  const zero = zeroColumns(f, layer);
  const [w, r] = [f.squeeze(layer.w, [0]), f.squeeze(layer.r, [0])];
  const both = bias === null ? [] : parts(f, f.squeeze(bias, [0]), 2);
  const summed =
    both.length === 0
      ? []
      : [
          f.unsqueeze(
            both.reduce((a, b) => f.add(a, b)),
            [1],
          ),
        ];
  const weights = f.concat([w, ...summed, r], 1);
  const one = bias === null ? [] : [f.expand(f.number(1), f.ints([1, batch]))];
  const [h, c, operands, i, o, forget, g, added, kept, tanh, hidden] = scan(f, {
    name: "lstm",
    carried: { h: columns(f, layer.h0) ?? zero, c: columns(f, layer.c0) ?? zero },
    scanned: { x: turned(f, layer.x) },
    collected: 9,
    step: (s, at) => {
      const operand = s.concat([at("x"), ...one, at("h")], 0);
      const [zi, zo, zf, zg] = parts(s, s.matmul(weights, operand), 4, 0);
      const [it, ft, gt, ot] = [s.sigmoid(zi), s.sigmoid(zf), s.tanh(zg), s.sigmoid(zo)];
      const [keeps, adds] = [s.mul(ft, at("c")), s.mul(it, gt)];
      const cell = s.add(keeps, adds);
      const bent = s.tanh(cell);
      const next = s.mul(ot, bent);
      return [next, cell, operand, it, ot, ft, gt, adds, keeps, bent, next];
    },
  });
  return {
    trace: { operands, hasBias: bias !== null, i, o, f: forget, g, added, kept, tanh, hidden },
    hidden: f.unsqueeze(turned(f, hidden), [1]),
    lastHidden: states(f, h),
    lastCell: states(f, c),
  };
}

/**
 * Back through time, as `lstmGradients` goes. With i g, f c[t-1] and h = o tanh(c) at hand each slope takes two passes: g i (1 - i) is
 * i g - i g i. The gradients of both weights and of the bias are one product over all steps.
 */
export function lstmColumnsGradients(
  f: Formula,
  layer: LstmLayer,
  trace: LstmColumnsTrace,
  gradients: LstmOutputGradients,
  { batch, inputs, hidden }: LstmSizes,
): Omit<LstmGradients, "peephole" | "bias"> & { readonly bias: Value | null } {
  const [w, r] = [f.squeeze(layer.w, [0]), f.squeeze(layer.r, [0])];
  const zero = zeroColumns(f, layer);
  const each = squeezed(f, gradients.hidden, 1);
  const ofAll = each === null ? null : turned(f, each);
  const { first, earlier } = hiddenGradients(f, ofAll, columns(f, gradients.lastHidden), zero);
  const back = transposed(f, r);
  const { operands, hasBias, added, kept, tanh } = trace;
  const less = (a: Value, b: Value, c: Value): Value => f.sub(a, f.mul(b, c));
  const slopes = {
    i: less(added, added, trace.i),
    o: less(trace.hidden, trace.hidden, trace.o),
    f: less(kept, kept, trace.f),
    g: less(trace.i, added, trace.g),
    ofCell: less(trace.o, trace.hidden, tanh),
  };
  const [dh, dc, all] = scan(f, {
    name: "lstm_grad",
    carried: { h: first, c: columns(f, gradients.lastCell) ?? zero },
    scanned: { ...slopes, forget: trace.f, ...(earlier === null ? {} : { earlier }) },
    backward: true,
    collected: 1,
    step: (s, at) => {
      const h = at("h");
      const c = s.add(at("c"), s.mul(h, at("ofCell")));
      const gates = [s.mul(c, at("i")), s.mul(h, at("o")), s.mul(c, at("f")), s.mul(c, at("g"))];
      const a = s.concat(gates, 0);
      return [affine(s, back, a, earlier === null ? null : at("earlier")), s.mul(c, at("forget")), a];
    },
  });
  const product = productOfSteps(f, all, operands, batch);
  const sizes = [inputs, ...(hasBias ? [1] : []), hidden];
  const made = f.build.emitAll("Split", [product, f.ints(sizes)], sizes.length, {
    attributes: [attribute.int("axis", 1)],
  });
  const [ofW, ofR] = [made[0], made.at(-1)];
  if (ofW === undefined || ofR === undefined) throw new RangeError("the product has no parts");
  const ofBias = hasBias && made[1] !== undefined ? f.flat(made[1]) : null;
  return {
    x: turned(f, f.matmul(transposed(f, w), all)),
    w: f.unsqueeze(ofW, [0]),
    r: f.unsqueeze(ofR, [0]),
    bias: ofBias === null ? null : f.unsqueeze(f.concat([ofBias, ofBias], 0), [0]),
    h0: states(f, dh),
    c0: states(f, dc),
  };
}

/** Samples of the largest batch of which numbers are moved one by one; with more of them it is faster to move rows of all samples. */
const FEW_SAMPLES = 64;

/** Sum over time of a_t b_t^T, as one product. @param a [T, K, N] @param b [T, L, N] @returns [K, L] */
function productOfSteps(f: Formula, a: Value, b: Value, batch: number): Value {
  if (batch <= FEW_SAMPLES) {
    /** All of a on its side, with the steps of a sample beside each other, and b likewise. */
    const turnedA = f.reshape(f.transpose(a, [1, 2, 0]), f.vector(f.dim(a, 1), -1));
    return f.matmul(turnedA, f.reshape(f.transpose(b, [2, 0, 1]), f.vector(-1, f.dim(b, 1))));
  }
  /** Columns are samples of all steps. */
  const together = (value: Value): Value => f.reshape(f.transpose(value, [1, 0, 2]), f.vector(f.dim(value, 1), -1));
  return transposed(f, f.matmul(together(b), transposed(f, together(a))));
}
