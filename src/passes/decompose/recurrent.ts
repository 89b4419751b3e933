import { parts, scan, squeezedOr, transposed, zeroState } from "../../autodiff/formulas/scan.ts";
import { attribute } from "../../graph/attribute.ts";
import { DataType } from "../../graph/data-type.ts";
import type { Node, Value } from "../../graph/graph.ts";
import type { Formula } from "../../ops/formula.ts";
import { NodeView } from "../../ops/node-view.ts";
import type { StandardOperator } from "../../ops/operators/index.ts";
import { mapTuple, type Several } from "../../tuples.ts";
import type { Call } from "../lower-training-ops/lowering.ts";
import type { Compound } from "./compound.ts";

/** Recurrent layers with lengths of sequences, peepholes, clipping, coupled gates or other activations: a Scan of their cell. */

/** What may stand for the sigmoid and the tangent. */
const ACTIVATIONS: Readonly<Record<string, StandardOperator>> = {
  sigmoid: "Sigmoid",
  tanh: "Tanh",
  relu: "Relu",
  hardsigmoid: "HardSigmoid",
  softsign: "Softsign",
  softplus: "Softplus",
};

const DEFAULTS: Readonly<Record<string, readonly string[]>> = {
  LSTM: ["sigmoid", "tanh", "tanh"],
  GRU: ["sigmoid", "tanh"],
  RNN: ["tanh"],
};

const activationsOf = (view: NodeView): readonly string[] =>
  view.strings("activations")?.map((name) => name.toLowerCase()) ?? [];

/** Whether a layer is none of those that have a gradient of their own. */
export function isUnusual(node: Node): boolean {
  const view = new NodeView(node);
  const defaults = DEFAULTS[node.opType] ?? [];
  const isOther = activationsOf(view).some((name, at) => name !== defaults[at % defaults.length]);
  const isGiven = (index: number): boolean => view.optional(index) !== null;
  const isCoupled = (view.intOrNull("input_forget") ?? 0) !== 0;
  return isGiven(4) || isGiven(7) || isOther || isCoupled || (view.floatOrNull("clip") ?? 0) !== 0;
}

/** One direction of a layer: the cell's formulas need these. */
interface Cell {
  readonly f: Formula;
  readonly call: Call;
  /** [T, N, I], in the order of the steps. */
  readonly x: Value;
  /** Without the axis of directions; null: none. */
  readonly w: Value;
  readonly r: Value;
  readonly bias: Value | null;
  readonly peepholes: Value | null;
  /** Activation `at` of this direction, of what is clipped if clipping is asked for. */
  readonly activate: (s: Formula, at: number, value: Value, isClipped?: boolean) => Value;
}

/** What goes into the loop, and what a step makes of its states. */
interface Step {
  readonly scanned: Value;
  /** @returns the new states, the hidden one first */
  readonly next: (s: Formula, x: Value, states: readonly Value[]) => readonly Value[];
}

const plus = (f: Formula, value: Value, bias: Value | null | undefined): Value =>
  bias === null || bias === undefined ? value : f.add(value, bias);

/** Both biases of a layer at once: they are added. */
const summedBias = (f: Formula, bias: Value | null): Value | null =>
  bias === null ? null : parts(f, bias, 2).reduce((a, b) => f.add(a, b));

function rnn({ f, x, w, r, bias, activate }: Cell): Step {
  const rows = transposed(f, r);
  return {
    scanned: plus(f, f.matmul(x, transposed(f, w)), summedBias(f, bias)),
    next: (s, now, [h]) => [activate(s, 0, s.add(now, s.matmul(h as Value, rows)))],
  };
}

function lstm({ f, call, x, w, r, bias, peepholes, activate }: Cell): Step {
  const rows = transposed(f, r);
  const [pi, po, pf] = peepholes === null ? [] : parts(f, peepholes, 3);
  const isCoupled = call.int("input_forget") !== 0;
  return {
    scanned: plus(f, f.matmul(x, transposed(f, w)), summedBias(f, bias)),
    next: (s, now, states) => {
      const [h, c] = states as [Value, Value];
      const [i, o, forget, g] = parts(s, s.add(now, s.matmul(h, rows)), 4);
      const peep = (value: Value, p: Value | undefined, cell: Value): Value =>
        p === undefined ? value : s.add(value, s.mul(p, cell));
      const it = activate(s, 0, peep(i, pi, c));
      const ft = isCoupled ? s.sub(1, it) : activate(s, 0, peep(forget, pf, c));
      const cell = s.add(s.mul(ft, c), s.mul(it, activate(s, 1, g)));
      const ot = activate(s, 0, peep(o, po, cell));
      return [s.mul(ot, activate(s, 2, cell, false)), cell];
    },
  };
}

function gru({ f, call, x, w, r, bias, activate }: Cell): Step {
  /** As the gradient's formulas part it: ONNX Runtime takes two Splits of one value into unlike numbers of parts for the same (opset 17). */
  const [wz, wr, wh, bz, br, bh] = bias === null ? [] : parts(f, bias, 6);
  const ofInput = wz === undefined || wr === undefined || wh === undefined ? null : f.concat([wz, wr, wh], 0);
  const [rz, rr, rh] = mapTuple(rowBlocks(f, r), (rows) => transposed(f, rows));
  const isLinear = call.int("linear_before_reset") !== 0;
  return {
    scanned: plus(f, f.matmul(x, transposed(f, w)), ofInput),
    next: (s, now, states) => {
      const [h] = states as [Value];
      const [xz, xr, xh] = parts(s, now, 3);
      const gate = (value: Value, rows: Value, own: Value | undefined): Value =>
        activate(s, 0, s.add(value, plus(s, s.matmul(h, rows), own)));
      const [z, reset] = [gate(xz, rz, bz), gate(xr, rr, br)];
      const recurrent = isLinear
        ? s.mul(reset, plus(s, s.matmul(h, rh), bh))
        : plus(s, s.matmul(s.mul(reset, h), rh), bh);
      const made = activate(s, 1, s.add(xh, recurrent));
      return [s.add(s.mul(s.sub(1, z), made), s.mul(z, h))];
    },
  };
}

/** The rows of the three gates of a matrix [3H, ...]. */
function rowBlocks(f: Formula, matrix: Value): Several<Value, 3> {
  const attributes = [attribute.int("axis", 0), ...(f.opset >= 18 ? [attribute.int("num_outputs", 3)] : [])];
  return f.build.emitAll("Split", [matrix], 3, { attributes });
}

const unrolled =
  (of: (cell: Cell) => Step, states: number) =>
  (f: Formula, call: Call): readonly (Value | null)[] => {
    const kind = call.string("direction");
    const directions = kind === "bidirectional" ? [false, true] : [kind === "reverse"];
    const results = directions.map((isReverse, at) => direction(f, call, of, states, isReverse, at));
    const together = (index: number, axis: number): Value =>
      f.concat(
        results.map((each) => f.unsqueeze(each[index] as Value, [axis])),
        axis,
      );
    return [together(0, 1), ...Array.from({ length: states }, (_, at) => together(1 + at, 0))];
  };

/** @returns all hidden states [T, N, H], then the last of each state [N, H] */
function direction(
  f: Formula,
  call: Call,
  of: (cell: Cell) => Step,
  states: number,
  isReverse: boolean,
  at: number,
): readonly Value[] {
  const pick = (index: number): Value | null => {
    const value = call.optional(index);
    return value === null ? null : f.squeeze(f.slice(value, [at], [at + 1], [0]), [0]);
  };
  const lengths = call.optional(4);
  const turned = (value: Value): Value => (isReverse ? reversed(f, value, lengths) : value);
  const [w, r] = [pick(1), pick(2)];
  if (w === null || r === null) throw call.refuse("it has no weights");
  const x = turned(call.input(0));
  const cell = { f, call, x, w, r, bias: pick(3), peepholes: pick(7), activate: activation(call, at) };
  const { scanned, next } = of(cell);
  const zero = zeroState(f, x, r);
  const begin = [5, 6].slice(0, states).map((index) => squeezedOr(f, sliced(f, call.optional(index), at), 0, zero));
  const names = ["h", "c"].slice(0, states);
  const made = scan(f, {
    name: call.node.opType.toLowerCase(),
    carried: Object.fromEntries(names.map((name, index) => [name, begin[index] as Value])),
    scanned: { x: scanned, ...(lengths === null ? {} : { counts: within(f, x, lengths) }) },
    collected: 1,
    step: (s, value) => {
      const before = names.map((name) => value(name));
      const after = next(s, value("x"), before);
      const [hidden] = after as [Value];
      if (lengths === null) return [...after, hidden];
      const counts = s.greater(value("counts"), 0);
      return [...after.map((each, index) => s.where(counts, each, before[index] as Value)), s.where(counts, hidden, 0)];
    },
  });
  const all = made[states] as Value;
  return [turned(all), ...made.slice(0, states)];
}

const sliced = (f: Formula, value: Value | null, at: number): Value | null =>
  value === null ? null : f.slice(value, [at], [at + 1], [0]);

/** The first axis turned round: of each sample as far as it goes. */
function reversed(f: Formula, value: Value, lengths: Value | null): Value {
  if (lengths === null) return f.slice(value, [-1], [-(2 ** 31)], [0], [-1]);
  const attributes = [attribute.int("time_axis", 0), attribute.int("batch_axis", 1)];
  return f.emit("ReverseSequence", [value, f.cast(lengths, DataType.int64)], { attributes });
}

/** 1 where a sample has this step, else 0: [T, N, 1]. */
function within(f: Formula, x: Value, lengths: Value): Value {
  const int = f.typed(DataType.int64);
  const steps = int.unsqueeze(int.range(f.reshape(f.dim(x, 0), [])), [1]);
  return f.cast(int.unsqueeze(int.greater(f.cast(lengths, DataType.int64), steps), [2]), f.dtype);
}

function activation(call: Call, direction: number): Cell["activate"] {
  const defaults = DEFAULTS[call.node.opType] ?? [];
  const given = activationsOf(call);
  const clip = call.floatOrNull("clip") ?? 0;
  return (s, at, value, isClipped = true) => {
    const name = given[direction * defaults.length + at] ?? defaults[at] ?? "tanh";
    const op = Object.hasOwn(ACTIVATIONS, name) ? ACTIVATIONS[name] : undefined;
    if (op === undefined) throw call.refuse(`its activation is ${name}`);
    const limited = clip > 0 && isClipped ? s.min(s.max(value, -clip), clip) : value;
    return s.emit(op, [limited]);
  };
}

const SOURCE = "ONNX's operators";

export const RECURRENT: readonly Compound[] = [
  { domain: "", op: "LSTM", source: SOURCE, when: isUnusual, parts: unrolled(lstm, 2) },
  { domain: "", op: "GRU", source: SOURCE, when: isUnusual, parts: unrolled(gru, 1) },
  { domain: "", op: "RNN", source: SOURCE, when: isUnusual, parts: unrolled(rnn, 1) },
];
