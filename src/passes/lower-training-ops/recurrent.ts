import { type GruLayer, gru, gruGradients, traceOf as gruTraceOf } from "../../autodiff/formulas/gru.ts";
import { lstm, lstmGradients, traceOf } from "../../autodiff/formulas/lstm.ts";
import type { Value } from "../../graph/graph.ts";
import type { Formula } from "../../ops/formula.ts";
import type { Call, Lowering } from "./lowering.ts";

const SOURCE = "orttraining/core/graph/training_op_defs.cc; ORT-TRAINING 4.11";

function requireDefaults(call: Call): void {
  const direction = call.string("direction");
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

/** @param sequenceLens the input that has the lengths of the sequences */
function requirePlain(call: Call, sequenceLens: number): void {
  requireDefaults(call);
  if (call.optional(sequenceLens) !== null) throw call.refuse("sequence_lens is not supported");
}

function lstmTraining(f: Formula, call: Call): readonly Value[] {
  requirePlain(call, 4);
  const [x, w, r] = [call.input(0), call.input(1), call.input(2)];
  const layer = { x, w, r, h0: call.optional(5), c0: call.optional(6) };
  const { trace, lastHidden, lastCell } = lstm(f, layer, call.optional(3), call.optional(7));
  const directed = (value: Value): Value => f.unsqueeze(value, [1]);
  const gates = directed(f.concat(trace.gates, -1));
  return [directed(trace.hidden), lastHidden, lastCell, directed(trace.cells), gates];
}

function lstmGrad(f: Formula, call: Call): readonly (Value | null)[] {
  requirePlain(call, 3);
  const [x, w, r] = [call.input(0), call.input(1), call.input(2)];
  const layer = { x, w, r, h0: call.optional(4), c0: call.optional(5) };
  const trace = traceOf(f, call.input(6), call.input(7), call.input(8));
  const given = { hidden: call.optional(9), lastHidden: call.optional(10), lastCell: call.optional(11) };
  const made = lstmGradients(f, layer, trace, given);
  return [made.x, made.w, made.r, made.bias, made.h0, made.c0, call.wants(6) ? made.peephole() : null];
}

const gruLayer = (call: Call): GruLayer => {
  requirePlain(call, 4);
  const [x, w, r, bias, h0] = [call.input(0), call.input(1), call.input(2), call.optional(3), call.optional(5)];
  return { x, w, r, bias, h0, linearBeforeReset: call.int("linear_before_reset") !== 0 };
};

function gruTraining(f: Formula, call: Call): readonly Value[] {
  const { hidden, lastHidden, gates } = gru(f, gruLayer(call));
  return [hidden, lastHidden, gates];
}

function gruGrad(f: Formula, call: Call): readonly Value[] {
  const states = { hidden: call.input(6), gates: call.input(7) };
  const layer = gruLayer(call);
  const given = { hidden: call.optional(8), lastHidden: call.optional(9) };
  const made = gruGradients(f, layer, gruTraceOf(f, layer, states), given);
  return [made.x, made.w, made.r, made.bias, made.h0];
}

export const RECURRENT: readonly Lowering[] = [
  { op: "LSTMTraining", source: SOURCE, lower: lstmTraining },
  { op: "LSTMGrad", source: SOURCE, lower: lstmGrad },
  { op: "GRUTraining", source: SOURCE, lower: gruTraining },
  { op: "GRUGrad", source: SOURCE, lower: gruGrad },
];
