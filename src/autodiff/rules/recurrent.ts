import type { Value } from "../../graph/graph.ts";
import { dimsOf } from "../../ops/value-types.ts";
import { gru, gruGradients, gruTrace, traceOf as gruTraceOf } from "../formulas/gru.ts";
import { type LstmTrace, lstm, lstmGradients, lstmTrace } from "../formulas/lstm.ts";
import { type LstmSizes, lstmColumns, lstmColumnsGradients } from "../formulas/lstm-columns.ts";
import { affine, before, hiddenGradients, overTime, scan, squeezed, zeroState } from "../formulas/scan.ts";
import type { Backward, GradientTable, InputGradients } from "../rule.ts";

const utf8 = new TextDecoder();

/** One direction of a recurrent layer, with the axis of directions of size 1 kept, and time running forward. */
interface Direction {
  readonly b: Backward;
  readonly x: Value;
  readonly w: Value;
  readonly r: Value;
  readonly bias: Value | null;
  readonly h0: Value | null;
  readonly c0: Value | null;
  /** Gradients of all hidden states [T, 1, N, H], of the last one and of the last cell. */
  readonly dAll: Value | null;
  readonly dLast: Value | null;
  readonly dCell: Value | null;
  /** All hidden states, [T, 1, N, H]; null where the node leaves them out. */
  readonly all: () => Value | null;
}

/** Gradients of X, W, R, B, h0 and c0. */
type DirectionGradients = readonly (Value | null)[];

/** Gives each direction's gradients, and puts them together. */
const recurrent =
  (activations: readonly string[], of: (direction: Direction) => DirectionGradients) =>
  (b: Backward): InputGradients => {
    requirePlain(b, activations);
    const { f } = b;
    const kind = b.string("direction");
    const directions = kind === "bidirectional" ? [false, true] : [kind === "reverse"];
    const isOne = directions.length === 1;
    const own = (value: Value, at: number, axis = 0): Value => (isOne ? value : f.slice(value, [at], [at + 1], [axis]));
    const pick = (value: Value | null, at: number, axis = 0): Value | null =>
      value === null ? null : own(value, at, axis);
    const turned = (value: Value, isReverse: boolean): Value =>
      isReverse ? f.slice(value, [-1], [-(2 ** 31)], [0], [-1]) : value;
    const results = directions.map((isReverse, at) => {
      const dAll = pick(b.dyOf(0), at, 1);
      const gradients = of({
        b,
        x: turned(b.input(0), isReverse),
        w: own(b.input(1), at),
        r: own(b.input(2), at),
        bias: pick(b.optional(3), at),
        h0: pick(b.optional(5), at),
        c0: pick(b.optional(6), at),
        dAll: dAll === null ? null : turned(dAll, isReverse),
        dLast: pick(b.dyOf(1), at),
        dCell: pick(b.dyOf(2), at),
        all: () => {
          const states = pick(b.node.outputs[0] ?? null, at, 1);
          return states === null ? null : turned(states, isReverse);
        },
      });
      const [dX = null, ...others] = gradients;
      return [dX === null ? null : turned(dX, isReverse), ...others];
    });
    const [first = [], second] = results;
    if (second === undefined) return placed(first);
    return placed(
      first.map((gradient, index) => {
        const other = second[index] ?? null;
        if (gradient === null || other === null) return null;
        return index === 0 ? f.add(gradient, other) : f.concat([gradient, other], 0);
      }),
    );
  };

/** Input 4 is the lengths of the sequences. */
const placed = ([
  dX = null,
  dW = null,
  dR = null,
  dB = null,
  dh0 = null,
  dc0 = null,
]: DirectionGradients): InputGradients => [...[dX, dW, dR, dB, null, dh0, dc0]];

function requirePlain(b: Backward, defaults: readonly string[]): void {
  if (b.optional(4) !== null) throw b.refuse("it has lengths of sequences (sequence_lens)");
  if (b.optional(7) !== null) throw b.refuse("it has peepholes");
  if ((b.floatOrNull("clip") ?? 0) !== 0) throw b.refuse("it clips what goes into its activations");
  if ((b.intOrNull("input_forget") ?? 0) !== 0) throw b.refuse("its gates are coupled (input_forget)");
  const given = b.node.attributes.get("activations");
  const names = given?.kind === "strings" ? given.value.map((name) => utf8.decode(name).toLowerCase()) : [];
  const isDefault = names.every((name, index) => name === defaults[index % defaults.length]);
  if (!isDefault) throw b.refuse(`its activations are ${names.join(", ")}`);
}

/**
 * From these many multiplications per time step on, a loop in the place of the operator costs less than the operator and its gates once
 * more: some 20 small nodes a step against the products of all steps.
 */
const MULTIPLICATIONS = 3e6;

/** The sizes of a layer whose forward pass is to be a loop that keeps what the gradient needs; null where it is to be the operator. */
function loopSizes(b: Backward): LstmSizes | null {
  const [, batch, inputs] = dimsOf(b.input(0)) ?? [];
  const hidden = dimsOf(b.input(2))?.at(-1);
  if (typeof batch !== "number" || typeof inputs !== "number" || typeof hidden !== "number") return null;
  if (b.string("direction") !== "forward" || batch * 8 * hidden * (inputs + hidden) < MULTIPLICATIONS) return null;
  return { batch, inputs, hidden };
}

/** ONNX's operator gives neither cells nor gates: they are made again from the hidden states, or the operator gives way to a loop that keeps them. */
function lstmRule(direction: Direction): DirectionGradients {
  const { b, x, w, r, bias, h0, c0, dAll, dLast, dCell, all } = direction;
  const layer = { x, w, r, h0, c0 };
  const given = { hidden: dAll, lastHidden: dLast, lastCell: dCell };
  const sizes = loopSizes(b);
  if (sizes !== null && sizes.batch <= sizes.hidden) {
    const trace = b.giveWay((f) => {
      const { trace: made, hidden, lastHidden, lastCell } = lstmColumns(f, layer, bias, sizes);
      return { made, outputs: [hidden, lastHidden, lastCell] };
    });
    const made = lstmColumnsGradients(b.f, layer, trace, given, sizes);
    return [made.x, made.w, made.r, made.bias, made.h0, made.c0];
  }
  const hidden = all();
  const again = (): LstmTrace =>
    hidden === null ? lstm(b.f, layer, bias, null).trace : lstmTrace(b.f, layer, bias, hidden);
  const loop = (): LstmTrace =>
    b.giveWay((f) => {
      const { trace, lastHidden, lastCell } = lstm(f, layer, bias, null);
      return { made: trace, outputs: [f.unsqueeze(trace.hidden, [1]), lastHidden, lastCell] };
    });
  const made = lstmGradients(b.f, layer, sizes === null ? again() : loop(), given);
  return [made.x, made.w, made.r, made.bias, made.h0, made.c0];
}

function gruRule({ b, x, w, r, bias, h0, dAll, dLast, all }: Direction): DirectionGradients {
  const layer = { x, w, r, bias, h0, linearBeforeReset: b.int("linear_before_reset") !== 0 };
  const hidden = all();
  const trace = hidden === null ? gruTraceOf(b.f, layer, gru(b.f, layer)) : gruTrace(b.f, layer, hidden);
  const made = gruGradients(b.f, layer, trace, { hidden: dAll, lastHidden: dLast });
  return [made.x, made.w, made.r, made.bias, made.h0];
}

/** h[t] = tanh(W x[t] + R h[t-1] + b): a = (dh[t] + R^T a[t+1]) (1 - h[t]^2). */
function elman({ b, x, w, r, h0, dAll, dLast, all }: Direction): DirectionGradients {
  const { f } = b;
  const hidden = all();
  if (hidden === null) throw b.refuse("it leaves out its first output, all hidden states");
  const [W, R] = [f.squeeze(w, [0]), f.squeeze(r, [0])];
  const states = f.squeeze(hidden, [1]);
  const zero = zeroState(f, x, R);
  const { first, earlier } = hiddenGradients(f, squeezed(f, dAll, 1), squeezed(f, dLast, 0), zero);
  const [dh0, slopes] = scan(f, {
    name: "rnn_grad",
    carried: { h: first },
    scanned: { slope: f.sub(1, f.square(states)), ...(earlier === null ? {} : { earlier }) },
    backward: true,
    collected: 1,
    step: (s, at) => {
      const a = s.mul(at("h"), at("slope"));
      return [affine(s, a, R, earlier === null ? null : at("earlier")), a];
    },
  });
  const start = h0 === null ? zero : f.squeeze(h0, [0]);
  const dB = f.sum(slopes, [0, 1], false);
  return [
    f.matmul(slopes, W),
    f.unsqueeze(overTime(f, slopes, x), [0]),
    f.unsqueeze(overTime(f, slopes, before(f, start, states)), [0]),
    f.unsqueeze(f.concat([dB, dB], 0), [0]),
    f.unsqueeze(dh0, [0]),
    null,
  ];
}

export const RECURRENT_RULES: GradientTable = {
  LSTM: {
    source: "onnxruntime gradient_builder.cc GetLSTMGradient",
    gradient: recurrent(["sigmoid", "tanh", "tanh"], lstmRule),
  },
  GRU: { source: "onnxruntime gradient_builder.cc GetGRUGradient", gradient: recurrent(["sigmoid", "tanh"], gruRule) },
  RNN: { gradient: recurrent(["tanh"], elman) },
};
