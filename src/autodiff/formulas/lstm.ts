import type { Value } from "../../graph/graph.ts";
import type { Formula } from "../../ops/formula.ts";
import { before, overTime, parts, scan, squeezedOr, transposed, zeroState } from "./scan.ts";

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

/** What a layer gives, and what goes back through it needs. */
export interface LstmStates {
  /** Hidden states and cells of all steps, [T, 1, N, H]. */
  readonly hidden: Value;
  readonly cells: Value;
  /** [T, 1, N, 4H] */
  readonly gates: Value;
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
  const [h, c, hs, cs, gates] = scan(f, {
    name: "lstm",
    carried: { h: squeezedOr(f, h0, 0, zero), c: squeezedOr(f, c0, 0, zero) },
    scanned: { x: scanned },
    collected: 3,
    step: (s, at) => {
      const [i, o, forget, g] = parts(s, s.add(at("x"), s.matmul(at("h"), recurrent)), 4) as Four;
      const gate = (value: Value, p: Value | undefined, cell: Value): Value =>
        s.sigmoid(p === undefined ? value : s.add(value, s.mul(p, cell)));
      const [it, ft, gt] = [gate(i, pi, at("c")), gate(forget, pf, at("c")), s.tanh(g)];
      const cell = s.add(s.mul(ft, at("c")), s.mul(it, gt));
      const ot = gate(o, po, cell);
      const hidden = s.mul(ot, s.tanh(cell));
      return [hidden, cell, hidden, cell, s.concat([it, ot, ft, gt], -1)];
    },
  }) as [Value, Value, Value, Value, Value];
  return {
    hidden: f.unsqueeze(hs, DIRECTION),
    lastHidden: f.unsqueeze(h, [0]),
    lastCell: f.unsqueeze(c, [0]),
    cells: f.unsqueeze(cs, DIRECTION),
    gates: f.unsqueeze(gates, DIRECTION),
  };
}

/** Back through time, from what the forward pass kept. */
export function lstmGradients(
  f: Formula,
  layer: LstmLayer,
  states: Pick<LstmStates, "hidden" | "cells" | "gates">,
  gradients: LstmOutputGradients,
): LstmGradients {
  const { x } = layer;
  const [w, r] = [f.squeeze(layer.w, [0]), f.squeeze(layer.r, [0])];
  const zero = zeroState(f, x, r);
  const [h0, c0] = [squeezedOr(f, layer.h0, 0, zero), squeezedOr(f, layer.c0, 0, zero)];
  const [hs, cs, gates] = [states.hidden, states.cells, states.gates].map((value) => f.squeeze(value, DIRECTION)) as [
    Value,
    Value,
    Value,
  ];
  const dHs = gradients.hidden === null ? f.zeros(f.shape(hs)) : f.squeeze(gradients.hidden, DIRECTION);
  const [dh, dc, all] = scan(f, {
    name: "lstm_grad",
    carried: { h: squeezedOr(f, gradients.lastHidden, 0, zero), c: squeezedOr(f, gradients.lastCell, 0, zero) },
    scanned: { gates, cell: cs, before: before(f, c0, cs), dH: dHs },
    backward: true,
    collected: 1,
    step: (s, at) => {
      const [i, o, forget, g] = parts(s, at("gates"), 4) as Four;
      const h = s.add(at("h"), at("dH"));
      const tc = s.tanh(at("cell"));
      const c = s.add(at("c"), s.mul(s.mul(h, o), s.sub(1, s.square(tc))));
      const sigmoid = (d: Value, y: Value): Value => s.mul(d, s.mul(y, s.sub(1, y)));
      const a = s.concat(
        [
          sigmoid(s.mul(c, g), i),
          sigmoid(s.mul(h, tc), o),
          sigmoid(s.mul(c, at("before")), forget),
          s.mul(s.mul(c, i), s.sub(1, s.square(g))),
        ],
        -1,
      );
      return [s.matmul(a, r), s.mul(c, forget), a];
    },
  }) as [Value, Value, Value];
  const bias = f.sum(all, [0, 1], false);
  return {
    x: f.matmul(all, w),
    w: f.unsqueeze(overTime(f, all, x), [0]),
    r: f.unsqueeze(overTime(f, all, before(f, h0, hs)), [0]),
    bias: f.unsqueeze(f.concat([bias, bias], 0), [0]),
    h0: f.unsqueeze(dh, [0]),
    c0: f.unsqueeze(dc, [0]),
    peephole: () => {
      const [i, o, forget] = parts(f, all, 4) as Four;
      const sum = (a: Value, cell: Value): Value => f.sum(f.mul(a, cell), [0, 1], false);
      const earlier = before(f, c0, cs);
      return f.unsqueeze(f.concat([sum(i, earlier), sum(o, cs), sum(forget, earlier)], 0), [0]);
    },
  };
}

type Four = [Value, Value, Value, Value];
