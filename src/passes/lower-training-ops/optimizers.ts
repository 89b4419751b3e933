import { DataType } from "../../graph/data-type.ts";
import type { Value } from "../../graph/graph.ts";
import type { Formula } from "../../ops/formula.ts";
import type { AttributeName } from "../../ops/operators/index.ts";
import { mapTuple } from "../../tuples.ts";
import type { Call, Lowering } from "./lowering.ts";

const SOURCE = "orttraining/core/graph/optimizer_graph_builder; ORT-TRAINING 3";
const ONNX_SOURCE = "onnx/defs/training/defs.cc";
const PREVIEW = "ai.onnx.preview.training";

const scalar = (f: Formula, value: Value): Value => f.reshape(f.cast(value, f.dtype), []);

interface Moments {
  readonly m: Value;
  readonly v: Value;
}

const moments = (f: Formula, { m, v }: Moments, g: Value, alpha: number, beta: number): Moments => ({
  m: f.add(f.mul(m, alpha), f.mul(g, 1 - alpha)),
  v: f.add(f.mul(v, beta), f.mul(f.square(g), 1 - beta)),
});

/** 1 - base^t, and 1 while no update was counted. */
const correction = (f: Formula, base: number, t: Value): Value => f.where(f.greater(t, 0), f.sub(1, f.pow(base, t)), 1);

/** The gated results of an update: what `signal` says, where there is one. */
const gate = (f: Formula, signal: Value | null, next: Value, old: Value): Value =>
  signal === null ? next : f.where(f.reshape(signal, []), next, old);

function adam(f: Formula, call: Call): readonly (Value | null)[] {
  const [rate, w, g] = [scalar(f, call.input(0)), call.input(2), call.input(3)];
  const old = { m: call.input(4), v: call.input(5) };
  const refused = [6, 7, 8].find((index) => call.optional(index) !== null);
  if (refused !== undefined) throw call.refuse("its mixed-precision inputs are used");
  const signal = call.optional(9);
  const [alpha, beta] = [call.float("alpha"), call.float("beta")];
  const [decay, epsilon] = [call.float("lambda"), call.float("epsilon")];
  const t = scalar(f, call.input(1));
  const { m, v } = moments(f, old, g, alpha, beta);
  const corrects = call.int("do_bias_correction") !== 0;
  const [ac, bc] = mapTuple([alpha, beta], (base) => (corrects ? correction(f, base, t) : f.number(1)));
  const modes = [
    (): Value => {
      const step = f.div(f.div(m, ac), f.add(f.sqrt(f.div(v, bc)), epsilon));
      return f.neg(f.mul(rate, f.add(step, f.mul(decay, w))));
    },
    (): Value => {
      const step = f.div(m, f.add(f.sqrt(v), epsilon));
      const moved = f.neg(f.mul(f.mul(rate, f.div(f.sqrt(bc), ac)), step));
      return f.sub(moved, f.mul(f.mul(rate, decay), f.add(w, moved)));
    },
  ];
  const delta = modes[call.int("weight_decay_mode")]?.();
  if (delta === undefined) throw call.refuse("its weight_decay_mode is not known");
  const counted = f.typed(DataType.int64).add(call.input(1), 1);
  return [
    gate(f, signal, counted, call.input(1)),
    gate(f, signal, m, old.m),
    gate(f, signal, v, old.v),
    call.wants(3) ? gate(f, signal, f.add(w, delta), w) : null,
    call.wants(4) ? delta : null,
  ];
}

/** An attribute that has one value per tensor, and the same default for all. */
const perGroup = (call: Call, name: AttributeName<"floats">, group: number, fallback: number): number =>
  call.floats(name)?.[group] ?? fallback;

function lamb(f: Formula, call: Call): readonly (Value | null)[] {
  const signal = call.optional(0);
  if (call.optional(1) !== null || call.optional(2) !== null)
    throw call.refuse("loss_scale and global_gradient_norm are used");
  const rate = scalar(f, call.input(3));
  const step = call.optional(4);
  const t = step === null ? null : scalar(f, step);
  const corrects = call.int("do_bias_correction") !== 0 && t !== null;
  const norm = (value: Value): Value => f.sqrt(f.sum(f.square(value), null, false));
  const outputs: (Value | null)[] = [step === null ? null : f.typed(DataType.int64).add(step, 1)];
  const groups = Math.floor((call.node.inputs.length - 5 + 4) / 5);
  for (let group = 0; group < groups; group++) {
    const at = 5 + 5 * group;
    const [w, g] = [call.input(at), call.input(at + 1)];
    const old = { m: call.input(at + 2), v: call.input(at + 3) };
    if (call.optional(at + 4) !== null) throw call.refuse("its mixed-precision weights are used");
    const [alpha, beta] = [perGroup(call, "alpha", group, 0.9), perGroup(call, "beta", group, 0.999)];
    const { m, v } = moments(f, old, g, alpha, beta);
    const [ac, bc] = mapTuple([alpha, beta], (base) => (corrects && t !== null ? correction(f, base, t) : f.number(1)));
    const adapted = f.div(f.div(m, ac), f.add(f.sqrt(f.div(v, bc)), perGroup(call, "epsilon", group, 1e-6)));
    const direction = f.add(f.mul(perGroup(call, "lambda", group, 0), w), adapted);
    const [size, length] = [norm(w), norm(direction)];
    const isZero = f.emit("Or", [f.equal(size, 0), f.equal(length, 0)]);
    const least = call.float("ratio_min");
    const most = call.float("ratio_max");
    const ratio = f.min(f.max(f.div(size, f.where(isZero, 1, length)), least), most);
    const next = f.sub(w, f.mul(f.where(isZero, rate, f.mul(rate, ratio)), direction));
    outputs.push(gate(f, signal, next, w), null, gate(f, signal, m, old.m), gate(f, signal, v, old.v), null);
  }
  return outputs;
}

/** ONNX's own optimizers take R, T, then n of each kind of tensor, and give n of each that is renewed. */
function perTensor(
  call: Call,
  kinds: number,
  update: (tensors: readonly Value[]) => readonly Value[],
): readonly Value[] {
  const tensors = call.inputs.slice(2);
  const count = tensors.length / kinds;
  if (!Number.isInteger(count)) throw call.refuse(`its ${tensors.length} tensors are not ${kinds} of a kind`);
  const results = Array.from({ length: count }, (_, index) =>
    update(Array.from({ length: kinds }, (__, kind) => tensors[kind * count + index] as Value)),
  );
  const renewed = results[0]?.length ?? 0;
  return Array.from({ length: renewed }, (_, kind) => results.map((each) => each[kind] as Value)).flat();
}

/** g + norm_coefficient x */
const regularized = (f: Formula, call: Call, x: Value, g: Value): Value => {
  const coefficient = call.float("norm_coefficient");
  return coefficient === 0 ? g : f.add(g, f.mul(x, coefficient));
};

function onnxAdam(f: Formula, call: Call): readonly Value[] {
  const [rate, t] = [scalar(f, call.input(0)), scalar(f, call.input(1))];
  const [alpha, beta] = [call.float("alpha"), call.float("beta")];
  const post = call.float("norm_coefficient_post");
  const adjusted = f.mul(rate, f.div(f.sqrt(correction(f, beta, t)), correction(f, alpha, t)));
  return perTensor(call, 4, ([x, g, m, v]) => {
    if (!x || !g || !m || !v) throw call.refuse("a tensor is missing");
    const next = moments(f, { m, v }, regularized(f, call, x, g), alpha, beta);
    const step = f.div(next.m, f.add(f.sqrt(next.v), call.float("epsilon")));
    const moved = f.sub(x, f.mul(adjusted, step));
    return [post === 0 ? moved : f.mul(moved, 1 - post), next.m, next.v];
  });
}

function onnxMomentum(f: Formula, call: Call): readonly Value[] {
  const [rate, t] = [scalar(f, call.input(0)), scalar(f, call.input(1))];
  const alpha = call.float("alpha");
  const dampening = f.where(f.greater(t, 0), call.float("beta"), 1);
  const modes: Readonly<Record<string, (g: Value, v: Value) => Value>> = {
    standard: (_g, v) => v,
    nesterov: (g, v) => f.add(g, f.mul(v, alpha)),
  };
  const direction = modes[call.string("mode")];
  if (direction === undefined) throw call.refuse("its mode is not known");
  return perTensor(call, 3, ([x, given, v]) => {
    if (!x || !given || !v) throw call.refuse("a tensor is missing");
    const g = regularized(f, call, x, given);
    const next = f.add(f.mul(v, alpha), f.mul(g, dampening));
    return [f.sub(x, f.mul(rate, direction(g, next))), next];
  });
}

function onnxAdagrad(f: Formula, call: Call): readonly Value[] {
  const [rate, t] = [scalar(f, call.input(0)), scalar(f, call.input(1))];
  const decayed = f.div(rate, f.add(1, f.mul(t, call.float("decay_factor"))));
  return perTensor(call, 3, ([x, given, h]) => {
    if (!x || !given || !h) throw call.refuse("a tensor is missing");
    const g = regularized(f, call, x, given);
    const next = f.add(h, f.square(g));
    return [f.sub(x, f.mul(decayed, f.div(g, f.add(f.sqrt(next), call.float("epsilon"))))), next];
  });
}

export const OPTIMIZERS: readonly Lowering[] = [
  { op: "AdamOptimizer", source: `${SOURCE}.4`, lower: adam },
  {
    op: "SGDOptimizer",
    source: `${SOURCE}.5`,
    lower: (f, call) => {
      const change = f.neg(f.mul(call.input(2), scalar(f, call.input(0))));
      return [call.wants(0) ? f.add(call.input(1), change) : null, call.wants(1) ? change : null];
    },
  },
  { op: "LambOptimizer", source: `${SOURCE}.6`, lower: lamb },
  { domain: PREVIEW, op: "Adam", source: ONNX_SOURCE, lower: onnxAdam },
  { domain: PREVIEW, op: "Momentum", source: ONNX_SOURCE, lower: onnxMomentum },
  { domain: PREVIEW, op: "Adagrad", source: ONNX_SOURCE, lower: onnxAdagrad },
];
