import { dependsOn } from "../../analysis/find-optimizers/plain-step/anatomy.ts";
import { identicalTo } from "../../analysis/find-optimizers/plain-step/flow.ts";
import { type StepState, stepState } from "../../analysis/find-optimizers/plain-step/step-state.ts";
import type { FindOptions } from "../../analysis/find-optimizers/site.ts";
import { removeDeadNodes } from "../../edits/dead-nodes.ts";
import { AGR_RECORD, readRecord } from "../../edits/record.ts";
import { PassError, UsageError } from "../../errors.ts";
import { DataType, isGradientType } from "../../graph/data-type.ts";
import { Value } from "../../graph/graph.ts";
import type { Model } from "../../graph/model.ts";
import { Names } from "../../graph/names.ts";
import { tensorType } from "../../graph/value-type.ts";
import { Builder } from "../../ops/builder.ts";
import { Formula } from "../../ops/formula.ts";
import type { StateTensor, StepModel } from "./step-model.ts";

export interface WholeStepOptions extends Pick<FindOptions, "state" | "trainable"> {
  /**
   * The input that takes the learning rate. Default: the only number that is neither state nor part of the loss and whose name
   * says so (`lr`, `learning_rate`); null for none.
   */
  readonly learningRate?: string | null;
}

/** A whole train step, told apart: what it takes, renews and gives. */
export interface WholeStep {
  readonly step: StepModel;
  /** The part of it that makes the loss, without the update. */
  readonly evaluation: StepModel;
  /** State that begins at zero where it is not given: moments, and counts. */
  readonly zeros: ReadonlySet<string>;
  readonly notes: readonly string[];
}

const RATE = /(^|[^a-z])(lr|learning_?rate)([^a-z]|$)/i;

/**
 * Makes of a train step that somebody exported (or `insertAgr` edited) what a session runs. Which output renews which input is
 * told by names, by the model's metadata, by the data flow, or by `state`.
 * @throws PassError `E_NO_STEP` where nothing is renewed or there is no loss; UsageError `E_STATE` where what renews what is not
 *   unique, `E_OPTION` for an input that takes no rate
 */
export function wholeStep(source: Model, options: WholeStepOptions = {}): WholeStep {
  const model = source.clone();
  const recorded = (readRecord(model, AGR_RECORD)?.options ?? {}) as Pick<FindOptions, "state" | "trainable">;
  const { state: pairs = recorded.state ?? [], trainable = recorded.trainable } = options;
  const found = stepState(model, { state: pairs, ...(trainable === undefined ? {} : { trainable }) });
  const state = requireStep(found);
  const { graph } = model;
  const outputs = new Map(graph.outputs.map((value) => [value.name, value]));
  const renewals = new Map(
    [...state.parameters, ...state.parameters.flatMap(({ slots }) => slots), ...state.others].map((each) => [
      each.state,
      each.renewedBy,
    ]),
  );
  const isRenewal = new Set(renewals.values());
  const [first = ""] = state.losses;
  const loss = outputs.get(first);
  if (loss === undefined) throw new PassError("E_NO_STEP", `the loss "${first}" is no output`);
  const given = graph.inputs.filter((value) => value.tensor === null && !renewals.has(value.name));
  const rate = rateOf(given, loss, options.learningRate);
  if (rate !== null) takeAs(model, rate, DataType.float);
  const numbers = graph.outputs.filter((value) => !isRenewal.has(value.name) && value !== loss);
  const lossName = asFloat(model, loss);
  const inputs = given.filter((value) => value !== rate).map(({ name }) => name);
  const planned = plannedOf(state);
  const rest = { inputs, step: null, reset: null, gradients: [] };
  const step: StepModel = {
    ...{ ...rest, model, outputs: [lossName, ...numbers.map(({ name }) => name)] },
    ...{ state: planned, learningRate: rate?.name ?? null },
  };
  return {
    step,
    evaluation: { ...rest, ...evaluationOf(step), learningRate: null },
    zeros: zerosOf(graph.inputs, state, outputs),
    notes: notesOf(state, rate),
  };
}

function requireStep(state: StepState | null): StepState {
  if (state === null || state.losses.length === 0) {
    throw new PassError("E_NO_STEP", "the model is no train step: no output renews an input, or none is a loss", {
      hint: "Give a folder of training artifacts, or a whole train step; say with --state <input>=<output> which output renews which input.",
    });
  }
  if (state.open.length > 0) {
    const flags = state.open.map((each) => `--state ${each}`).join(" ");
    throw new UsageError("E_STATE", "which output renews which input is not unique", { hint: `Say: ${flags}.` });
  }
  return state;
}

function plannedOf({ parameters, others }: StepState): readonly StateTensor[] {
  return [
    ...parameters.map(({ state, renewedBy }): StateTensor => ({ name: state, next: renewedBy, kind: "parameter" })),
    ...parameters
      .flatMap(({ slots }) => slots)
      .map(({ state, renewedBy }): StateTensor => ({ name: state, next: renewedBy, kind: "slot" })),
    ...others.map(({ state, renewedBy }): StateTensor => ({ name: state, next: renewedBy, kind: "buffer" })),
  ];
}

function rateOf(inputs: readonly Value[], loss: Value, told: string | null | undefined): Value | null {
  if (told === null) return null;
  const fits = (value: Value): boolean => isNumber(value) && !dependsOn(loss, [value]);
  if (told !== undefined) {
    const value = inputs.find(({ name }) => name === told);
    if (value !== undefined && fits(value)) return value;
    throw new UsageError(
      "E_OPTION",
      `"${told}" takes no learning rate: it must be an input of one number, and no state`,
      {
        field: told,
        hint: `Inputs of one number are ${
          inputs
            .filter(fits)
            .map(({ name }) => name)
            .join(", ") || "none"
        }.`,
      },
    );
  }
  const named = inputs.filter((value) => fits(value) && RATE.test(value.name));
  const [only, ...others] = named;
  return only === undefined || others.length > 0 ? null : only;
}

const isNumber = ({ type }: Value): boolean =>
  type?.kind === "tensor" && isGradientType(type.dtype) && (type.shape?.every((dim) => dim === 1) ?? false);

/** Lets an input of one number take it as float32 [1]. */
function takeAs(model: Model, value: Value, dtype: number): void {
  const { type } = value;
  if (type?.kind !== "tensor" || (type.dtype === dtype && type.shape?.length === 1)) return;
  const { graph } = model;
  const names = new Names(model);
  const build = new Builder({ prefix: "onnx-agr/inputs", names });
  const f = new Formula(build, model.opset);
  const fed = new Value(value.name, tensorType(dtype, [1]));
  const shaped = f.cast(f.reshape(fed, (type.shape ?? []).map(Number)), type.dtype);
  value.name = names.fresh(`${value.name}/scalar`);
  value.replaceAllUsesWith(shaped);
  graph.replaceInputs(graph.inputs.map((each) => (each === value ? fed : each)));
  const [first] = graph.nodes;
  if (first === undefined) graph.append(build.nodes);
  else graph.insertBefore(first, build.nodes);
  value.name = fed.name;
}

/** A loss in float16 is read as float32. */
function asFloat(model: Model, loss: Value): string {
  const { graph } = model;
  const dtype = loss.type?.kind === "tensor" ? loss.type.dtype : DataType.float;
  if (dtype === DataType.float || dtype === DataType.double) return loss.name;
  const build = new Builder({ prefix: "onnx-agr/outputs", names: new Names(model) });
  const wide = build.cast(loss, DataType.float);
  graph.append(build.nodes);
  const shape = loss.type?.kind === "tensor" ? loss.type.shape : [];
  wide.type = tensorType(DataType.float, shape ?? []);
  const at = graph.outputs.indexOf(loss);
  graph.setOutput(at, wide);
  return wide.name;
}

/** The loss and what else is made of data and parameters alone. */
function evaluationOf({
  model: step,
  outputs,
  state,
  learningRate,
}: StepModel): Pick<StepModel, "model" | "outputs" | "state"> {
  const model = step.clone();
  const { graph } = model;
  const values = new Map(graph.outputs.map((value) => [value.name, value]));
  const slots = new Set(state.flatMap(({ name, kind }) => (kind === "slot" ? [name] : [])));
  const ofUpdate = graph.inputs.filter(({ name }) => slots.has(name) || name === learningRate);
  const kept = outputs.flatMap((name) => {
    const value = values.get(name);
    return value === undefined || dependsOn(value, ofUpdate) ? [] : [value];
  });
  graph.replaceOutputs(kept);
  removeDeadNodes(graph);
  const read = state.filter(({ name }) => graph.inputs.some((value) => value.name === name && value.isUsed));
  const gone = new Set(state.filter((each) => !read.includes(each)).map(({ name }) => name));
  graph.replaceInputs(graph.inputs.filter(({ name }) => !gone.has(name) && name !== learningRate));
  return {
    model,
    outputs: kept.map(({ name }) => name),
    state: read.map(({ name, kind }) => ({ name, next: null, kind: kind === "buffer" ? "frozen" : kind })),
  };
}

/** Moments and whole numbers that count; float32 masters are no zeros. */
function zerosOf(
  inputs: readonly Value[],
  { parameters, others }: StepState,
  outputs: ReadonlyMap<string, Value>,
): ReadonlySet<string> {
  const isMaster = (parameter: string, slot: string): boolean => {
    let at = outputs.get(parameter) ?? null;
    while (at !== null && /^(Cast|Identity)$/.test(at.producer?.opType ?? "")) at = at.producer?.inputs[0] ?? null;
    const master = outputs.get(slot);
    return at !== null && master !== undefined && identicalTo(master).includes(at);
  };
  const slots = parameters.flatMap(({ renewedBy, slots: own }) =>
    own.filter((slot) => !isMaster(renewedBy, slot.renewedBy)).map(({ state }) => state),
  );
  const types = new Map(inputs.map(({ name, type }) => [name, type]));
  const counts = others.flatMap(({ state }) => {
    const type = types.get(state);
    const isWhole = type?.kind === "tensor" && (type.dtype === DataType.int64 || type.dtype === DataType.int32);
    return isWhole && type.shape?.every((dim) => dim === 1) ? [state] : [];
  });
  return new Set([...slots, ...counts]);
}

function notesOf({ inferred }: StepState, rate: Value | null): readonly string[] {
  return [
    ...(inferred.length === 0
      ? []
      : [`state paired by data flow: ${inferred.map((pair) => pair.replace("=", " renewed by ")).join(", ")}`]),
    ...(rate === null ? [] : [`"${rate.name}" takes the learning rate`]),
  ];
}
