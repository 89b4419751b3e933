import type { Value } from "../../graph/graph.ts";
import type { Formula } from "../../ops/formula.ts";
import { before, overTime, parts, scan, squeezedOr, transposed, zeroState } from "./scan.ts";

/** Cho et al., arXiv 1406.1078, as ONNX has it, gates in the order z, r, h; without clipping. */

/** Operands of one direction, each with ONNX's axis of directions, which is of size 1. */
export interface GruLayer {
  /** [T, N, I] */
  readonly x: Value;
  /** [1, 3H, I] */
  readonly w: Value;
  /** [1, 3H, H] */
  readonly r: Value;
  /** [1, 6H] of the inputs and of the recurrence; null: none. */
  readonly bias: Value | null;
  /** [1, N, H]; null: zeros. */
  readonly h0: Value | null;
  /** The reset gate comes after the product with the hidden state, as in PyTorch. */
  readonly linearBeforeReset: boolean;
}

/** What a layer gives, and what goes back through it needs. */
export interface GruStates {
  /** Hidden states of all steps, [T, 1, N, H]. */
  readonly hidden: Value;
  /** [1, N, H] */
  readonly lastHidden: Value;
  /** [T, 1, N, 3H] */
  readonly gates: Value;
}

export interface GruGradients {
  readonly x: Value;
  readonly w: Value;
  readonly r: Value;
  readonly bias: Value;
  readonly h0: Value;
}

const DIRECTION = [1];

interface GruBias {
  /** Of the inputs, all gates. */
  readonly input: Value | null;
  /** Of the recurrence: of z and r together, and of the hidden gate. */
  readonly gates: Value | null;
  readonly hidden: Value | null;
}

function biasOf(f: Formula, bias: Value | null): GruBias {
  if (bias === null) return { input: null, gates: null, hidden: null };
  const [wz, wr, wh, rz, rr, rh] = parts(f, f.squeeze(bias, [0]), 6) as [Value, Value, Value, Value, Value, Value];
  return { input: f.concat([wz, wr, wh], 0), gates: f.concat([rz, rr], 0), hidden: rh };
}

/** Rows of z and r together, and rows of the hidden gate, of a matrix [3H, ...]. */
function rowsOf(f: Formula, matrix: Value, hidden: Value): readonly [Value, Value] {
  const double = f.emit("Add", [hidden, hidden]);
  const end = f.dim(matrix, 0);
  return [f.slice(matrix, [0], double, [0]), f.slice(matrix, double, end, [0])];
}

const plus = (f: Formula, value: Value, bias: Value | null): Value => (bias === null ? value : f.add(value, bias));

/**
 *     z = sigmoid(..)   r = sigmoid(..)   n = tanh(.. + R (r h[t-1]))   or, linear before reset, tanh(.. + r (R h[t-1]))
 *     h[t] = (1 - z) n + z h[t-1]
 */
export function gru(f: Formula, layer: GruLayer): GruStates {
  const { x, linearBeforeReset } = layer;
  const [r, w] = [f.squeeze(layer.r, [0]), f.squeeze(layer.w, [0])];
  const zero = zeroState(f, x, r);
  const bias = biasOf(f, layer.bias);
  const [gateRows, hiddenRows] = rowsOf(f, r, f.dim(r, 1)).map((rows) => transposed(f, rows)) as [Value, Value];
  const [h, hs, gates] = scan(f, {
    name: "gru",
    carried: { h: squeezedOr(f, layer.h0, 0, zero) },
    scanned: { x: plus(f, f.matmul(x, transposed(f, w)), bias.input) },
    collected: 2,
    step: (s, at) => {
      const [xz, xr, xn] = parts(s, at("x"), 3) as [Value, Value, Value];
      const [rz, rr] = parts(s, plus(s, s.matmul(at("h"), gateRows), bias.gates), 2) as [Value, Value];
      const [z, reset] = [s.sigmoid(s.add(xz, rz)), s.sigmoid(s.add(xr, rr))];
      const recurrent = linearBeforeReset
        ? s.mul(reset, plus(s, s.matmul(at("h"), hiddenRows), bias.hidden))
        : plus(s, s.matmul(s.mul(reset, at("h")), hiddenRows), bias.hidden);
      const n = s.tanh(s.add(xn, recurrent));
      const hidden = s.add(s.mul(s.sub(1, z), n), s.mul(z, at("h")));
      return [hidden, hidden, s.concat([z, reset, n], -1)];
    },
  }) as [Value, Value, Value];
  return {
    hidden: f.unsqueeze(hs, DIRECTION),
    lastHidden: f.unsqueeze(h, [0]),
    gates: f.unsqueeze(gates, DIRECTION),
  };
}

/**
 * Back through time, from what the forward pass kept.
 * @param gradients of all hidden states [T, 1, N, H] and of the last one [1, N, H]; null: zeros
 */
export function gruGradients(
  f: Formula,
  layer: GruLayer,
  states: Pick<GruStates, "hidden" | "gates">,
  gradients: { readonly hidden: Value | null; readonly lastHidden: Value | null },
): GruGradients {
  const { x, linearBeforeReset } = layer;
  const [r, w] = [f.squeeze(layer.r, [0]), f.squeeze(layer.w, [0])];
  const zero = zeroState(f, x, r);
  const { hidden: bias } = biasOf(f, layer.bias);
  const h0 = squeezedOr(f, layer.h0, 0, zero);
  const [hs, gates] = [f.squeeze(states.hidden, DIRECTION), f.squeeze(states.gates, DIRECTION)];
  const dHs = gradients.hidden === null ? f.zeros(f.shape(hs)) : f.squeeze(gradients.hidden, DIRECTION);
  const [gateRows, hiddenRows] = rowsOf(f, r, f.dim(r, 1));
  const earlier = before(f, h0, hs);
  const [dh, inputs, recurrent, reset] = scan(f, {
    name: "gru_grad",
    carried: { h: squeezedOr(f, gradients.lastHidden, 0, zero) },
    scanned: { gates, before: earlier, dH: dHs },
    backward: true,
    collected: 3,
    step: (s, at) => {
      const [z, rt, n] = parts(s, at("gates"), 3) as [Value, Value, Value];
      const hp = at("before");
      const h = s.add(at("h"), at("dH"));
      const az = s.mul(s.mul(h, s.sub(hp, n)), s.mul(z, s.sub(1, z)));
      const an = s.mul(s.mul(h, s.sub(1, z)), s.sub(1, s.square(n)));
      const back = s.matmul(an, hiddenRows);
      const dr = linearBeforeReset
        ? s.mul(an, plus(s, s.matmul(hp, transposed(s, hiddenRows)), bias))
        : s.mul(back, hp);
      const ar = s.mul(dr, s.mul(rt, s.sub(1, rt)));
      const hidden = linearBeforeReset ? s.matmul(s.mul(an, rt), hiddenRows) : s.mul(back, rt);
      const both = s.concat([az, ar], -1);
      const next = s.add(s.add(s.mul(h, z), s.matmul(both, gateRows)), hidden);
      const [ofBias, ofRows] = linearBeforeReset ? [s.mul(an, rt), hp] : [an, s.mul(rt, hp)];
      return [next, s.concat([both, an], -1), s.concat([both, ofBias], -1), ofRows];
    },
  }) as [Value, Value, Value, Value];
  const width = f.dim(r, 1);
  const double = f.emit("Add", [width, width]);
  const split = (value: Value): readonly [Value, Value] => [
    f.slice(value, [0], double, [2]),
    f.slice(value, double, f.dim(value, 2), [2]),
  ];
  const [ofGates, ofHidden] = split(recurrent);
  const dR = f.concat([overTime(f, ofGates, earlier), overTime(f, ofHidden, reset)], 0);
  const sums = (value: Value): Value => f.sum(value, [0, 1], false);
  return {
    x: f.matmul(inputs, w),
    w: f.unsqueeze(overTime(f, inputs, x), [0]),
    r: f.unsqueeze(dR, [0]),
    bias: f.unsqueeze(f.concat([sums(inputs), sums(recurrent)], 0), [0]),
    h0: f.unsqueeze(dh, [0]),
  };
}
