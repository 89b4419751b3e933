import { before, overTime, parts, scan, transposed } from "../../autodiff/formulas/scan.ts";
import type { Value } from "../../graph/graph.ts";
import type { Formula } from "../../ops/formula.ts";
import type { Call, Lowering } from "./lowering.ts";

const SOURCE = "orttraining/core/graph/training_op_defs.cc; ORT-TRAINING 4.11";

const DIRECTION = [1];

function requireDefaults(call: Call): void {
  const direction = call.string("direction", "forward");
  if (direction !== "forward") throw call.refuse(`the direction ${direction} has no gradient in ONNX Runtime either`);
  for (const name of ["activations", "clip", "input_forget", "activation_alpha", "activation_beta"]) {
    const found = call.node.attributes.get(name);
    if (found === undefined || (found.kind === "int" && found.value === 0n)) continue;
    if (found.kind === "float" && found.value === 0) continue;
    if (found.kind === "strings" && isDefault(call, found.value)) continue;
    if ((found.kind === "floats" || found.kind === "strings") && found.value.length === 0) continue;
    throw call.refuse(`the attribute ${name} is not its default`);
  }
}

const DEFAULT_ACTIVATIONS: Readonly<Record<string, string>> = {
  LSTM: "sigmoid,tanh,tanh",
  GRU: "sigmoid,tanh",
};

function isDefault(call: Call, activations: readonly Uint8Array[]): boolean {
  const names = activations.map((name) => new TextDecoder().decode(name).toLowerCase()).join();
  return DEFAULT_ACTIVATIONS[call.node.opType.replace(/(Training|Grad)$/, "")] === names;
}

/** The parts of an RNN's inputs, without the axis of directions. */
function layer(
  f: Formula,
  call: Call,
): { readonly x: Value; readonly w: Value; readonly r: Value; readonly zero: Value } {
  requireDefaults(call);
  if (call.optional(call.node.opType.endsWith("Grad") ? sequenceLensOf(call) : 4) !== null) {
    throw call.refuse("sequence_lens is not supported");
  }
  const [x, r] = [call.input(0), f.squeeze(call.input(2), [0])];
  const zero = f.zeros(f.vector(f.dim(x, 1), f.dim(r, 1)));
  return { x, w: f.squeeze(call.input(1), [0]), r, zero };
}

const sequenceLensOf = (call: Call): number => (call.node.opType === "LSTMGrad" ? 3 : 4);

const squeezed = (f: Formula, value: Value | null, axis: number): Value | null =>
  value === null ? null : f.squeeze(value, [axis]);

function lstm(f: Formula, call: Call): readonly (Value | null)[] {
  const { x, w, r, zero } = layer(f, call);
  const bias = squeezed(f, call.optional(3), 0);
  const peephole = squeezed(f, call.optional(7), 0);
  const product = f.matmul(x, transposed(f, w));
  const scanned =
    bias === null
      ? product
      : f.add(
          product,
          parts(f, bias, 2).reduce((a, b) => f.add(a, b)),
        );
  const [pi, po, pf] = peephole === null ? [] : parts(f, peephole, 3);
  const recurrent = transposed(f, r);
  const [h, c, hs, cs, gates] = scan(f, {
    name: "lstm",
    carried: {
      h: squeezed(f, call.optional(5), 0) ?? zero,
      c: squeezed(f, call.optional(6), 0) ?? zero,
    },
    scanned: { x: scanned },
    collected: 3,
    step: (s, at) => {
      const [i, o, forget, g] = parts(s, s.add(at("x"), s.matmul(at("h"), recurrent)), 4) as [
        Value,
        Value,
        Value,
        Value,
      ];
      const with_ = (value: Value, p: Value | undefined, cell: Value): Value =>
        s.sigmoid(p === undefined ? value : s.add(value, s.mul(p, cell)));
      const [it, ft, gt] = [with_(i, pi, at("c")), with_(forget, pf, at("c")), s.tanh(g)];
      const cell = s.add(s.mul(ft, at("c")), s.mul(it, gt));
      const ot = with_(o, po, cell);
      const hidden = s.mul(ot, s.tanh(cell));
      return [hidden, cell, hidden, cell, s.concat([it, ot, ft, gt], -1)];
    },
  }) as [Value, Value, Value, Value, Value];
  return [
    f.unsqueeze(hs, DIRECTION),
    f.unsqueeze(h, [0]),
    f.unsqueeze(c, [0]),
    f.unsqueeze(cs, DIRECTION),
    f.unsqueeze(gates, DIRECTION),
  ];
}

function lstmGrad(f: Formula, call: Call): readonly (Value | null)[] {
  const { x, w, r, zero } = layer(f, call);
  const [h0, c0] = [squeezed(f, call.optional(4), 0) ?? zero, squeezed(f, call.optional(5), 0) ?? zero];
  const [hs, cs, gates] = [6, 7, 8].map((index) => f.squeeze(call.input(index), DIRECTION)) as [Value, Value, Value];
  const dHs = squeezed(f, call.optional(9), 1) ?? f.zeros(f.shape(hs));
  const [dh, dc, all] = scan(f, {
    name: "lstm_grad",
    carried: {
      h: squeezed(f, call.optional(10), 0) ?? zero,
      c: squeezed(f, call.optional(11), 0) ?? zero,
    },
    scanned: { gates, cell: cs, before: before(f, c0, cs), dH: dHs },
    backward: true,
    collected: 1,
    step: (s, at) => {
      const [i, o, forget, g] = parts(s, at("gates"), 4) as [Value, Value, Value, Value];
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
  const peephole = (): Value => {
    const [i, o, forget] = parts(f, all, 4) as [Value, Value, Value, Value];
    const sum = (a: Value, cell: Value): Value => f.sum(f.mul(a, cell), [0, 1], false);
    const earlier = before(f, c0, cs);
    return f.unsqueeze(f.concat([sum(i, earlier), sum(o, cs), sum(forget, earlier)], 0), [0]);
  };
  return [
    f.matmul(all, w),
    f.unsqueeze(overTime(f, all, x), [0]),
    f.unsqueeze(overTime(f, all, before(f, h0, hs)), [0]),
    f.unsqueeze(f.concat([bias, bias], 0), [0]),
    f.unsqueeze(dh, [0]),
    f.unsqueeze(dc, [0]),
    call.wants(6) ? peephole() : null,
  ];
}

interface GruBias {
  /** Of the inputs, all gates. */
  readonly input: Value | null;
  /** Of the recurrence: of z and r together, and of the hidden gate. */
  readonly gates: Value | null;
  readonly hidden: Value | null;
}

function gruBias(f: Formula, bias: Value | null): GruBias {
  if (bias === null) return { input: null, gates: null, hidden: null };
  const [wz, wr, wh, rz, rr, rh] = parts(f, f.squeeze(bias, [0]), 6) as [Value, Value, Value, Value, Value, Value];
  return { input: f.concat([wz, wr, wh], 0), gates: f.concat([rz, rr], 0), hidden: rh };
}

/** Rows of z and r together, and rows of the hidden gate, of a matrix [3H, ...]. */
function gruRows(f: Formula, matrix: Value, hidden: Value): readonly [Value, Value] {
  const double = f.emit("Add", [hidden, hidden]);
  const end = f.dim(matrix, 0);
  return [f.slice(matrix, [0], double, [0]), f.slice(matrix, double, end, [0])];
}

const plus = (f: Formula, value: Value, bias: Value | null): Value => (bias === null ? value : f.add(value, bias));

function gru(f: Formula, call: Call): readonly (Value | null)[] {
  const { x, w, r, zero } = layer(f, call);
  const bias = gruBias(f, call.optional(3));
  const [gateRows, hiddenRows] = gruRows(f, r, f.dim(r, 1)).map((rows) => transposed(f, rows)) as [Value, Value];
  const beforeReset = call.int("linear_before_reset", 0) !== 0;
  const [h, hs, gates] = scan(f, {
    name: "gru",
    carried: { h: squeezed(f, call.optional(5), 0) ?? zero },
    scanned: { x: plus(f, f.matmul(x, transposed(f, w)), bias.input) },
    collected: 2,
    step: (s, at) => {
      const [xz, xr, xn] = parts(s, at("x"), 3) as [Value, Value, Value];
      const [rz, rr] = parts(s, plus(s, s.matmul(at("h"), gateRows), bias.gates), 2) as [Value, Value];
      const [z, reset] = [s.sigmoid(s.add(xz, rz)), s.sigmoid(s.add(xr, rr))];
      const recurrent = beforeReset
        ? s.mul(reset, plus(s, s.matmul(at("h"), hiddenRows), bias.hidden))
        : plus(s, s.matmul(s.mul(reset, at("h")), hiddenRows), bias.hidden);
      const n = s.tanh(s.add(xn, recurrent));
      const hidden = s.add(s.mul(s.sub(1, z), n), s.mul(z, at("h")));
      return [hidden, hidden, s.concat([z, reset, n], -1)];
    },
  }) as [Value, Value, Value];
  return [f.unsqueeze(hs, DIRECTION), f.unsqueeze(h, [0]), f.unsqueeze(gates, DIRECTION)];
}

function gruGrad(f: Formula, call: Call): readonly (Value | null)[] {
  const { x, w, r, zero } = layer(f, call);
  const { hidden: bias } = gruBias(f, call.optional(3));
  const h0 = squeezed(f, call.optional(5), 0) ?? zero;
  const [hs, gates] = [f.squeeze(call.input(6), DIRECTION), f.squeeze(call.input(7), DIRECTION)];
  const dHs = squeezed(f, call.optional(8), 1) ?? f.zeros(f.shape(hs));
  const [gateRows, hiddenRows] = gruRows(f, r, f.dim(r, 1));
  const beforeReset = call.int("linear_before_reset", 0) !== 0;
  const earlier = before(f, h0, hs);
  const [dh, inputs, recurrent, reset] = scan(f, {
    name: "gru_grad",
    carried: { h: squeezed(f, call.optional(9), 0) ?? zero },
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
      const dr = beforeReset ? s.mul(an, plus(s, s.matmul(hp, transposed(s, hiddenRows)), bias)) : s.mul(back, hp);
      const ar = s.mul(dr, s.mul(rt, s.sub(1, rt)));
      const hidden = beforeReset ? s.matmul(s.mul(an, rt), hiddenRows) : s.mul(back, rt);
      const both = s.concat([az, ar], -1);
      const next = s.add(s.add(s.mul(h, z), s.matmul(both, gateRows)), hidden);
      const [ofBias, ofRows] = beforeReset ? [s.mul(an, rt), hp] : [an, s.mul(rt, hp)];
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
  return [
    f.matmul(inputs, w),
    f.unsqueeze(overTime(f, inputs, x), [0]),
    f.unsqueeze(dR, [0]),
    f.unsqueeze(f.concat([sums(inputs), sums(recurrent)], 0), [0]),
    f.unsqueeze(dh, [0]),
  ];
}

export const RECURRENT: readonly Lowering[] = [
  { op: "LSTMTraining", source: SOURCE, lower: lstm },
  { op: "LSTMGrad", source: SOURCE, lower: lstmGrad },
  { op: "GRUTraining", source: SOURCE, lower: gru },
  { op: "GRUGrad", source: SOURCE, lower: gruGrad },
];
