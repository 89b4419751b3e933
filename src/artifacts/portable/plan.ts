import { oneOf, requireArgument } from "../../arguments.ts";
import { FormatError } from "../../errors.ts";
import { DataType } from "../../graph/data-type.ts";
import type { Model } from "../../graph/model.ts";
import { A_MODEL } from "../../graph/model.ts";
import type { ValueRange } from "../../graph/value-range.ts";
import { type InputSpec, withRanges } from "../ort-artifacts.ts";

/** Where a portable model says what its inputs and outputs are. */
export const PLAN_METADATA = "onnx-agr.plan";

export const ROLES = ["train_step", "gradients", "apply", "eval"] as const;
export type Role = (typeof ROLES)[number];

/**
 * What a piece of state is: a trainable parameter, a frozen one, running statistics, what a batch takes over from the one before,
 * an optimizer's slot, or the sum of gradients since they were last reset.
 */
export const STATE_KINDS = ["parameter", "frozen", "buffer", "carried", "slot", "accumulator"] as const;
export type StateKind = (typeof STATE_KINDS)[number];

/** An input that holds state, and the output that renews it; null where the model only reads it. */
export interface PlannedState {
  readonly name: string;
  readonly next: string | null;
  readonly kind: StateKind;
  /** Of a slot that has not its parameter's shape. */
  readonly shape?: readonly number[];
  /** Of a slot that belongs to no parameter: the number it begins at. */
  readonly initial?: number;
}

/** What a runtime must know to run a portable model: which inputs the user feeds, and which output becomes which input next. */
export interface Plan {
  readonly role: Role;
  /** In the order of the original training or eval model. */
  readonly inputs: readonly string[];
  /** Outputs for the user, the loss first. */
  readonly outputs: readonly string[];
  readonly state: readonly PlannedState[];
  /** Input that takes the learning rate, float32 [1]. */
  readonly learningRate: string | null;
  /** Input that takes the number of the update counted from 1, int64 [1]. */
  readonly step: string | null;
  /** Input that says whether this step's gradients take the place of the accumulated ones, bool [1]. */
  readonly reset: string | null;
  /** Parameter and the input that holds its gradient: its accumulator in `gradients`, an input of its own in `apply`. */
  readonly gradients: readonly (readonly [parameter: string, input: string])[];
  /** The state that holds the loss's scale, and that which counts the updates left out. Absent: the scale does not change. */
  readonly lossScale?: readonly [scale: string, skipped: string];
  /** Which numbers inputs take that hold classes or rows. Absent: nothing is known of any. */
  readonly ranges?: readonly (readonly [input: string, range: ValueRange])[];
  /** Of an eval model: inputs that are its output of the batch before. Absent: none. */
  readonly carried?: readonly (readonly [input: string, output: string])[];
}

/** Everything that a checkpoint of a training keeps: all state but the sums of gradients. */
export function keptState(gradients: Plan, apply: Plan | null): readonly PlannedState[] {
  const slots = apply?.state.filter(({ kind }) => kind === "slot") ?? [];
  const isRenewed = new Set(slots.map(({ name }) => name));
  const read = gradients.state.filter(({ name, kind }) => kind !== "accumulator" && !isRenewed.has(name));
  return [...read, ...slots];
}

const SCHEMA = 1;

export function writePlan(model: Model, plan: Plan): void {
  model.metadata.set(PLAN_METADATA, JSON.stringify({ schema: SCHEMA, ...plan }));
}

/** @throws FormatError `E_PLAN` where the model has no plan, or one that this version does not understand */
export function readPlan(model: Model, role: Role): Plan {
  requireArgument("model", model, A_MODEL);
  requireArgument("role", role, oneOf(...ROLES));
  const fail = (reason: string, cause?: unknown): FormatError =>
    new FormatError("E_PLAN", `the model ${reason}`, {
      field: `metadata_props.${PLAN_METADATA}`,
      hint: "Write the portable artifacts again with onnx-agr lower.",
      cause,
    });
  const text = model.metadata.get(PLAN_METADATA);
  if (text === undefined) throw fail("has no plan: it is not one of a portable set");
  let plan: unknown;
  try {
    plan = JSON.parse(text);
  } catch (cause) {
    throw fail("has a plan that is not JSON", cause);
  }
  if (!isPlan(plan)) throw fail("has a plan that this version does not understand");
  if (plan.role !== role) throw fail(`is a ${plan.role} by its plan, not a ${role}`);
  const inputs = new Set(model.graph.inputs.map(({ name }) => name));
  const outputs = new Set(model.graph.outputs.map(({ name }) => name));
  const optional = [plan.learningRate, plan.step, plan.reset, ...(plan.lossScale ?? [])].filter(
    (name) => name !== null,
  );
  const read = [
    ...plan.inputs,
    ...plan.state.map(({ name }) => name),
    ...optional,
    ...plan.gradients.map(([, input]) => input),
    ...(plan.carried ?? []).map(([input]) => input),
  ];
  const carried = (plan.carried ?? []).map(([, output]) => output);
  const made = [...plan.outputs, ...carried, ...plan.state.flatMap(({ next }) => (next === null ? [] : [next]))];
  const missing = read.find((name) => !inputs.has(name)) ?? made.find((name) => !outputs.has(name));
  if (missing !== undefined) throw fail(`has a plan with "${missing}", which is not in the graph`);
  return plan;
}

/** Types and shapes of the inputs a user feeds, and what numbers they take. */
export function plannedInputs(model: Model, plan: Plan): readonly InputSpec[] {
  return withRanges(inputSpecs(model, plan.inputs), new Map(plan.ranges));
}

/** Types and shapes of a model's inputs of these names. */
export function inputSpecs(model: Model, names: readonly string[]): readonly InputSpec[] {
  const types = new Map(model.graph.inputs.map(({ name, type }) => [name, type]));
  return names.map((name) => {
    const type = types.get(name);
    const tensor = type?.kind === "tensor" ? type : null;
    return { name, dtype: tensor?.dtype ?? DataType.undefined, shape: tensor?.shape ?? null };
  });
}

const isName = (value: unknown): value is string => typeof value === "string";
const isOptional = (value: unknown): boolean => value === null || isName(value);
const isList = (value: unknown, check: (each: unknown) => boolean): boolean =>
  Array.isArray(value) && value.every((each) => check(each));

const isPair = (value: unknown): boolean => isList(value, isName) && (value as readonly unknown[]).length === 2;

function isNamedRange(value: unknown): boolean {
  if (!Array.isArray(value) || value.length !== 2 || !isName(value[0])) return false;
  if (typeof value[1] !== "object" || value[1] === null) return false;
  const { least, greatest, ignored, of } = value[1] as Partial<Record<keyof ValueRange, unknown>>;
  const areNumbers = [least, greatest, ignored ?? 0].every((each) => typeof each === "number");
  return areNumbers && isName(of);
}

function isPlan(value: unknown): value is Plan {
  if (typeof value !== "object" || value === null) return false;
  const plan = value as Partial<Record<keyof Plan | "schema", unknown>>;
  const isState = (each: unknown): boolean => {
    if (typeof each !== "object" || each === null) return false;
    const { name, next, kind, shape = [], initial = 0 } = each as Partial<Record<keyof PlannedState, unknown>>;
    const isShape = isList(shape, (dim) => Number.isSafeInteger(dim) && Number(dim) >= 0);
    return (
      isName(name) && isOptional(next) && STATE_KINDS.includes(kind as StateKind) && isShape && Number.isFinite(initial)
    );
  };
  return (
    plan.schema === SCHEMA &&
    ROLES.includes(plan.role as Role) &&
    isList(plan.inputs, isName) &&
    isList(plan.outputs, isName) &&
    isList(plan.state, isState) &&
    isOptional(plan.learningRate) &&
    isOptional(plan.step) &&
    isOptional(plan.reset) &&
    isList(plan.gradients, isPair) &&
    isList(plan.carried ?? [], isPair) &&
    (plan.lossScale === undefined || isPair(plan.lossScale)) &&
    (plan.ranges === undefined || isList(plan.ranges, isNamedRange))
  );
}
