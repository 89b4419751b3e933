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
  const [wz, wr, wh, rz, rr, rh] = parts(f, f.squeeze(bias, [0]), 6);
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
  const [gateRows, hiddenRows] = mapTuple(rowsOf(f, r, f.dim(r, 1)), (rows) => transposed(f, rows));
  const [h, hs, gates] = scan(f, {
    name: "gru",
    carried: { h: squeezedOr(f, layer.h0, 0, zero) },
    scanned: { x: plus(f, f.matmul(x, transposed(f, w)), bias.input) },
    collected: 2,
    step: (s, at) => {
      const [xz, xr, xn] = parts(s, at("x"), 3);
      const [rz, rr] = parts(s, plus(s, s.matmul(at("h"), gateRows), bias.gates), 2);
      const [z, reset] = [s.sigmoid(s.add(xz, rz)), s.sigmoid(s.add(xr, rr))];
      const recurrent = linearBeforeReset
        ? s.mul(reset, plus(s, s.matmul(at("h"), hiddenRows), bias.hidden))
        : plus(s, s.matmul(s.mul(reset, at("h")), hiddenRows), bias.hidden);
      const n = s.tanh(s.add(xn, recurrent));
      const hidden = s.add(s.mul(s.sub(1, z), n), s.mul(z, at("h")));
      return [hidden, hidden, s.concat([z, reset, n], -1)];
    },
  });
  return {
    hidden: f.unsqueeze(hs, DIRECTION),
    lastHidden: f.unsqueeze(h, [0]),
    gates: f.unsqueeze(gates, DIRECTION),
  };
}

/** What the way back needs of the forward pass, [T, N, H] each. */
export interface GruTrace {
  readonly hidden: Value;
  /** z, r and n. */
  readonly gates: Three;
  /** Linear before reset: R h[t-1] with its bias, before r is multiplied with it. Else null. */
  readonly product: Value | null;
}

type Three = readonly [z: Value, r: Value, n: Value];

/** The hidden states before each step. */
const statesBefore = (f: Formula, { x, r, h0 }: GruLayer, hidden: Value): Value =>
  before(f, squeezedOr(f, h0, 0, zeroState(f, x, f.squeeze(r, [0]))), hidden);

/** R h[t-1] of the hidden gate with its bias, of all steps. */
function hiddenProduct(f: Formula, layer: GruLayer, states: Value): Value {
  const r = f.squeeze(layer.r, [0]);
  const [, hiddenRows] = rowsOf(f, r, f.dim(r, 1));
  const made = affine(f, rows(f, states), hiddenRows, biasOf(f, layer.bias).hidden, true);
  return f.reshape(made, new SizeMath(f).target(states));
}

/** The trace of a layer that gave all hidden states: all gates at once, since the hidden states are known. */
export function gruTrace(f: Formula, layer: GruLayer, hidden: Value): GruTrace {
  const [r, w] = [f.squeeze(layer.r, [0]), f.squeeze(layer.w, [0])];
  const bias = biasOf(f, layer.bias);
  const states = f.squeeze(hidden, DIRECTION);
  const earlier = statesBefore(f, layer, states);
  const shape = new SizeMath(f).target(states);
  const shaped = (value: Value): Value => f.reshape(value, shape);
  const [xz, xr, xn] = parts(f, affine(f, rows(f, layer.x), w, bias.input, true), 3);
  const [gateRows] = rowsOf(f, r, f.dim(r, 1));
  const [rz, rr] = parts(f, affine(f, rows(f, earlier), gateRows, bias.gates, true), 2);
  const [z, reset] = [shaped(f.sigmoid(f.add(xz, rz))), shaped(f.sigmoid(f.add(xr, rr)))];
  const product = hiddenProduct(f, layer, layer.linearBeforeReset ? earlier : f.mul(reset, earlier));
  const n = f.tanh(f.add(shaped(xn), layer.linearBeforeReset ? f.mul(reset, product) : product));
  return { hidden: states, gates: [z, reset, n], product: layer.linearBeforeReset ? product : null };
}

/** The trace as ONNX Runtime's training operator gives it: hidden states [T, 1, N, H] and gates [T, 1, N, 3H]. */
export function traceOf(f: Formula, layer: GruLayer, { hidden, gates }: Pick<GruStates, "hidden" | "gates">): GruTrace {
  const states = f.squeeze(hidden, DIRECTION);
  const [z, r, n] = parts(f, f.squeeze(gates, DIRECTION), 3);
  const product = layer.linearBeforeReset ? hiddenProduct(f, layer, statesBefore(f, layer, states)) : null;
  return { hidden: states, gates: [z, r, n], product };
}

/**
 * Back through time. With dh the gradient of a step's hidden state, those of what its gates are made of are
 *
 *     a_z = dh (h[t-1] - n) z (1 - z)   a_n = dh (1 - z) (1 - n^2)   a_r = q r (1 - r)
 *
 * where q is a_n (R h[t-1]) with linear before reset, else (a_n R) h[t-1]. What stands behind dh does not depend on the recurrence, and is
 * made of all steps at once.
 * @param gradients of all hidden states [T, 1, N, H] and of the last one [1, N, H]; null: zeros
 */
export function gruGradients(
  f: Formula,
  layer: GruLayer,
  trace: GruTrace,
  gradients: { readonly hidden: Value | null; readonly lastHidden: Value | null },
): GruGradients {
  const { x } = layer;
  const [r, w] = [f.squeeze(layer.r, [0]), f.squeeze(layer.w, [0])];
  const { hidden, gates, product } = trace;
  const [z, reset, n] = gates;
  const states = statesBefore(f, layer, hidden);
  const rest = f.sub(1, z);
  const ofN = f.mul(rest, f.sub(1, f.square(n)));
  const ofZ = f.mul(f.sub(states, n), f.mul(z, rest));
  const ofReset = f.mul(reset, f.sub(1, reset));
  const [ofAll, ofLast] = [squeezed(f, gradients.hidden, 1), squeezed(f, gradients.lastHidden, 0)];
  const { first, earlier } = hiddenGradients(f, ofAll, ofLast, zeroState(f, x, r));
  const given = { h: first };
  const scanned = { z, ...(earlier === null ? {} : { earlier }) };
  const plusEarlier = (s: Formula, at: (name: string) => Value, value: Value): Value =>
    earlier === null ? value : s.add(value, at("earlier"));
  const sums = (value: Value): Value => f.sum(value, [0, 1], false);
  const finish = (dh: Value, inputs: Value, recurrent: Value, dR: Value): GruGradients => ({
    x: f.matmul(inputs, w),
    w: f.unsqueeze(overTime(f, inputs, x), [0]),
    r: f.unsqueeze(dR, [0]),
    bias: f.unsqueeze(f.concat([sums(inputs), sums(recurrent)], 0), [0]),
    h0: f.unsqueeze(dh, [0]),
  });
  if (product !== null) {
    const ofR = f.mul(f.mul(ofN, product), ofReset);
    const [dh, all] = scan(f, {
      name: "gru_grad",
      carried: given,
      scanned: { slopes: f.concat([ofZ, ofR, f.mul(ofN, reset)], -1), ...scanned },
      backward: true,
      collected: 1,
      step: (s, at) => {
        const h = at("h");
        const a = s.mul(s.concat([h, h, h], -1), at("slopes"));
        return [plusEarlier(s, at, affine(s, a, r, s.mul(h, at("z")))), h];
      },
    });
    const [az, ar, an] = [f.mul(all, ofZ), f.mul(all, ofR), f.mul(all, ofN)];
    const recurrent = f.concat([az, ar, f.mul(an, reset)], -1);
    return finish(dh, f.concat([az, ar, an], -1), recurrent, overTime(f, recurrent, states));
  }
  const [gateRows, hiddenRows] = rowsOf(f, r, f.dim(r, 1));
  const [dh, all, ar] = scan(f, {
    name: "gru_grad",
    carried: given,
    scanned: { ofN, ofZ, ofR: f.mul(states, ofReset), reset, ...scanned },
    backward: true,
    collected: 2,
    step: (s, at) => {
      const h = at("h");
      const back = s.matmul(s.mul(h, at("ofN")), hiddenRows);
      const toReset = s.mul(back, at("ofR"));
      const both = s.concat([s.mul(h, at("ofZ")), toReset], -1);
      const kept = s.add(s.mul(h, at("z")), s.mul(back, at("reset")));
      return [plusEarlier(s, at, affine(s, both, gateRows, kept)), h, toReset];
    },
  });
  const [az, an] = [f.mul(all, ofZ), f.mul(all, ofN)];
  const inputs = f.concat([az, ar, an], -1);
  const ofGates = overTime(f, f.concat([az, ar], -1), states);
  return finish(dh, inputs, inputs, f.concat([ofGates, overTime(f, an, f.mul(reset, states))], 0));
}
