import type { Value } from "../../graph/graph.ts";
import type { Formula } from "../../ops/formula.ts";
import { SizeMath } from "../../ops/sizes.ts";
import { mapTuple } from "../../tuples.ts";
import {
  affine,
  before,
  hiddenGradients,
  overTime,
  parts,
  rows,
  scan,
  squeezed,
  squeezedOr,
  transposed,
  zeroState,
} from "./scan.ts";

/** Hochreiter and Schmidhuber 1997 as ONNX has it, gates in the order i, o, f, c; without clipping. */

/** Operands of one direction, each with ONNX's axis of directions, which is of size 1. */
export interface LstmLayer {
  /** [T, N, I] */
  readonly x: Value;
  /** [1, 4H, I] */
  readonly w: Value;
  /** [1, 4H, H] */
  readonly r: Value;
  /** [1, N, H]; null: zeros. */
  readonly h0: Value | null;
  readonly c0: Value | null;
}

/** What the way back needs of the forward pass, [T, N, H] each. */
export interface LstmTrace {
  readonly hidden: Value;
  readonly cells: Value;
  /** i, o, f and g. */
  readonly gates: Four;
}

/** What a layer gives. */
export interface LstmStates {
  readonly trace: LstmTrace;
  /** [1, N, H] */
  readonly lastHidden: Value;
  readonly lastCell: Value;
}

/** Gradients that come into a layer; null: zeros. */
export interface LstmOutputGradients {
  /** [T, 1, N, H] */
  readonly hidden: Value | null;
  /** [1, N, H] */
  readonly lastHidden: Value | null;
  readonly lastCell: Value | null;
}

export interface LstmGradients {
  readonly x: Value;
  readonly w: Value;
  readonly r: Value;
  /** [1, 8H] */
  readonly bias: Value;
  readonly h0: Value;
  readonly c0: Value;
  /** Emits the gradient of the peepholes, [1, 3H]. */
  readonly peephole: () => Value;
}

const DIRECTION = [1];

/**
 *     i = sigmoid(.. + p_i c[t-1])   f = sigmoid(.. + p_f c[t-1])   g = tanh(..)
 *     c[t] = f c[t-1] + i g          o = sigmoid(.. + p_o c[t])     h[t] = o tanh(c[t])
 *
 * @param bias [1, 8H] of the inputs and of the recurrence
 * @param peephole [1, 3H] of i, o and f
 */
export function lstm(f: Formula, layer: LstmLayer, bias: Value | null, peephole: Value | null): LstmStates {
  const { x, h0, c0 } = layer;
  const [w, r] = [f.squeeze(layer.w, [0]), f.squeeze(layer.r, [0])];
  const zero = zeroState(f, x, r);
  const product = f.matmul(x, transposed(f, w));
  const scanned =
    bias === null
      ? product
      : f.add(
          product,
          parts(f, f.squeeze(bias, [0]), 2).reduce((a, b) => f.add(a, b)),
        );
  const [pi, po, pf] = peephole === null ? [] : parts(f, f.squeeze(peephole, [0]), 3);
  const recurrent = transposed(f, r);
  const [h, c, hidden, cells, ...gates] = scan(f, {
    name: "lstm",
    carried: { h: squeezedOr(f, h0, 0, zero), c: squeezedOr(f, c0, 0, zero) },
    scanned: { x: scanned },
    collected: 6,
    step: (s, at) => {
      const [i, o, forget, g] = parts(s, s.add(at("x"), s.matmul(at("h"), recurrent)), 4);
      const gate = (value: Value, p: Value | undefined, cell: Value): Value =>
        s.sigmoid(p === undefined ? value : s.add(value, s.mul(p, cell)));
      const [it, ft, gt] = [gate(i, pi, at("c")), gate(forget, pf, at("c")), s.tanh(g)];
      const cell = s.add(s.mul(ft, at("c")), s.mul(it, gt));
      const ot = gate(o, po, cell);
      const next = s.mul(ot, s.tanh(cell));
      return [next, cell, next, cell, it, ot, ft, gt];
    },
  });
  return { trace: { hidden, cells, gates }, lastHidden: f.unsqueeze(h, [0]), lastCell: f.unsqueeze(c, [0]) };
}

/** The trace of a layer that gave all hidden states: all gates at once, since the hidden states are known; then the cells, step by step. */
export function lstmTrace(f: Formula, layer: LstmLayer, bias: Value | null, hidden: Value): LstmTrace {
  const { x, h0, c0 } = layer;
  const [w, r] = [f.squeeze(layer.w, [0]), f.squeeze(layer.r, [0])];
  const zero = zeroState(f, x, r);
  const states = f.squeeze(hidden, DIRECTION);
  const both = bias === null ? null : parts(f, f.squeeze(bias, [0]), 2).reduce((a, b) => f.add(a, b));
  const ofInputs = affine(f, rows(f, x), w, both, true);
  const all = affine(f, rows(f, before(f, squeezedOr(f, h0, 0, zero), states)), r, ofInputs, true);
  const shape = new SizeMath(f).target(states);
  const [i, o, forget, g] = mapTuple(parts(f, all, 4), (gate, index) =>
    f.reshape(index === 3 ? f.tanh(gate) : f.sigmoid(gate), shape),
  );
  const [, cells] = scan(f, {
    name: "lstm_cells",
    carried: { c: squeezedOr(f, c0, 0, zero) },
    scanned: { forget, added: f.mul(i, g) },
    collected: 1,
    step: (s, at) => {
      const cell = s.add(s.mul(at("forget"), at("c")), at("added"));
      return [cell, cell];
    },
  });
  return { hidden: states, cells, gates: [i, o, forget, g] };
}

/** The trace as ONNX Runtime's training operator gives it: hidden states and cells [T, 1, N, H], gates [T, 1, N, 4H]. */
export function traceOf(f: Formula, hidden: Value, cells: Value, gates: Value): LstmTrace {
  const whole = (value: Value): Value => f.squeeze(value, DIRECTION);
  return { hidden: whole(hidden), cells: whole(cells), gates: parts(f, whole(gates), 4) };
}

/**
 * Back through time. With dh and dc the gradients of a step's hidden state and cell, those of what its gates are made of are
 *
 *     a_i = dc g i (1 - i)   a_o = dh tanh(c) o (1 - o)   a_f = dc c[t-1] f (1 - f)   a_g = dc i (1 - g^2)
 *
 * What stands behind dc and dh does not depend on the recurrence, and is made of all steps at once.
 */
export function lstmGradients(
  f: Formula,
  layer: LstmLayer,
  trace: LstmTrace,
  gradients: LstmOutputGradients,
): LstmGradients {
  const { x } = layer;
  const [w, r] = [f.squeeze(layer.w, [0]), f.squeeze(layer.r, [0])];
  const zero = zeroState(f, x, r);
  const [h0, c0] = [squeezedOr(f, layer.h0, 0, zero), squeezedOr(f, layer.c0, 0, zero)];
  const { hidden, cells, gates } = trace;
  const [i, o, forget, g] = gates;
  const earlierCells = before(f, c0, cells);
  const [tanh, ofSigmoid] = [f.tanh(cells), (y: Value): Value => f.mul(y, f.sub(1, y))];
  const ofTanh = (y: Value): Value => f.sub(1, f.square(y));
  const slopes = f.concat(
    [f.mul(g, ofSigmoid(i)), f.mul(tanh, ofSigmoid(o)), f.mul(earlierCells, ofSigmoid(forget)), f.mul(i, ofTanh(g))],
    -1,
  );
  const [ofAll, ofLast] = [squeezed(f, gradients.hidden, 1), squeezed(f, gradients.lastHidden, 0)];
  const { first, earlier } = hiddenGradients(f, ofAll, ofLast, zero);
  const [dh, dc, all] = scan(f, {
    name: "lstm_grad",
    carried: { h: first, c: squeezedOr(f, gradients.lastCell, 0, zero) },
    scanned: { slopes, ofCell: f.mul(o, ofTanh(tanh)), forget, ...(earlier === null ? {} : { earlier }) },
    backward: true,
    collected: 1,
    step: (s, at) => {
      const h = at("h");
      const c = s.add(at("c"), s.mul(h, at("ofCell")));
      const a = s.mul(s.concat([c, h, c, c], -1), at("slopes"));
      return [affine(s, a, r, earlier === null ? null : at("earlier")), s.mul(c, at("forget")), a];
    },
  });
  const bias = f.sum(all, [0, 1], false);
  return {
    x: f.matmul(all, w),
    w: f.unsqueeze(overTime(f, all, x), [0]),
    r: f.unsqueeze(overTime(f, all, before(f, h0, hidden)), [0]),
    bias: f.unsqueeze(f.concat([bias, bias], 0), [0]),
    h0: f.unsqueeze(dh, [0]),
    c0: f.unsqueeze(dc, [0]),
    peephole: () => {
      const [ofI, ofO, ofForget] = parts(f, all, 4);
      const sum = (a: Value, cell: Value): Value => f.sum(f.mul(a, cell), [0, 1], false);
      const sums = [sum(ofI, earlierCells), sum(ofO, cells), sum(ofForget, earlierCells)];
      return f.unsqueeze(f.concat(sums, 0), [0]);
    },
  };
}

type Four = [Value, Value, Value, Value];
