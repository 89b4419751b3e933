import { valueRanges } from "./analysis/value-ranges.ts";
import { type Kind, mapTo, NUMBER, OPTIONS, orNull, PATH, requireArgument, withFields } from "./arguments.ts";
import { PLAN_METADATA, readPlan, writePlan } from "./artifacts/portable/plan.ts";
import { A_STATE, DEFAULT_INITIAL_RATE, type TrainingState, zeros } from "./artifacts/portable/state.ts";
import { CheckpointError, namingFile, UsageError } from "./errors.ts";
import type { Value } from "./graph/graph.ts";
import { readExternalTensors } from "./graph/io/external-tensors.ts";
import { type ReadModelOptions, readModel } from "./graph/io/model-file.ts";
import { A_MODEL, type Model } from "./graph/model.ts";
import { A_TENSOR, type Tensor } from "./graph/tensor.ts";
import { formatType, tensorType } from "./graph/value-type.ts";
import type { StepModel } from "./passes/portable/step-model.ts";
import { type WholeStepOptions, wholeStep } from "./passes/portable/whole-step.ts";

/** A whole train step as artifacts: one model that takes data and state and gives the loss and the next state. */
export interface StepArtifacts {
  /** With a plan in its metadata. */
  readonly step: Model;
  /** The part of the step that makes the loss. */
  readonly evalModel: Model;
  /** Null until it is given, by `withInitialState`. */
  readonly state: TrainingState | null;
  /** State that begins at zero where it is not given: moments and counts. */
  readonly zeros: ReadonlySet<string>;
  /** What was found out about the step. */
  readonly notes: readonly string[];
}

export const STEP: Kind = withFields(
  { step: A_MODEL, evalModel: A_MODEL, state: orNull(A_STATE) },
  "a whole train step, as readStep and stepArtifacts give it",
);

/**
 * Makes a whole train step trainable, with AGR in it or without.
 * @throws as `wholeStep`; UsageError `E_OPTION` for a model of a portable set
 */
export function stepArtifacts(model: Model, options: WholeStepOptions = {}): StepArtifacts {
  requireArgument("model", model, A_MODEL);
  requireArgument("options", options, OPTIONS);
  if (model.metadata.has(PLAN_METADATA)) {
    throw new UsageError("E_OPTION", "the model is one of a portable set, which is trained as a whole", {
      hint: "Give the folder that it lies in.",
    });
  }
  const { step, evaluation, zeros: atZero, notes } = wholeStep(model, options);
  const planned = ({ model: own, ...plan }: StepModel, role: "train_step" | "eval"): Model => {
    const ranges = [...valueRanges(own)].filter(([name]) => plan.inputs.includes(name));
    writePlan(own, { role, ...plan, ...(ranges.length === 0 ? {} : { ranges }) });
    return own;
  };
  return {
    step: planned(step, "train_step"),
    evalModel: planned(evaluation, "eval"),
    state: null,
    zeros: atZero,
    notes,
  };
}

/**
 * Reads a whole train step from a file.
 * @throws as `readModel` and `stepArtifacts`
 */
export async function readStep(
  path: string,
  options: WholeStepOptions & Pick<ReadModelOptions, "strict"> = {},
): Promise<StepArtifacts> {
  requireArgument("path", path, PATH);
  requireArgument("options", options, OPTIONS);
  const { strict, ...own } = options;
  const model = await readModel(path, strict === undefined ? {} : { strict });
  await readExternalTensors(model);
  return namingFile(path, () => stepArtifacts(model, own));
}

/**
 * The step with the state it begins with.
 * @param tensors by the names of the state inputs; moments and counts that are not among them begin at zero
 * @param step updates done so far
 * @returns the step, and the names of the state that begins at zero
 * @throws CheckpointError `E_CHECKPOINT_MISMATCH`, listing what is missing or does not fit
 */
export function withInitialState(
  source: StepArtifacts,
  tensors: ReadonlyMap<string, Tensor>,
  step = 0,
): StepArtifacts & { readonly atZero: readonly string[] } {
  requireArgument("source", source, STEP);
  requireArgument("tensors", tensors, mapTo(A_TENSOR, "tensors by name"));
  requireArgument("step", step, NUMBER);
  const inputs = new Map(source.step.graph.inputs.map((value) => [value.name, value]));
  const state = new Map<string, Tensor>();
  const atZero: string[] = [];
  const differences: string[] = [];
  for (const { name } of readPlan(source.step, "train_step").state) {
    const input = inputs.get(name);
    const given = tensors.get(name) ?? input?.tensor ?? null;
    const zero = given === null && source.zeros.has(name) ? zeroOf(input) : null;
    const tensor = given ?? zero;
    if (tensor === null) differences.push(`"${name}" is missing, ${formatType(input?.type ?? null)}`);
    else if (!fits(input, tensor))
      differences.push(
        `"${name}" is ${formatType(tensorType(tensor.dtype, tensor.dims))}, not ${formatType(input?.type ?? null)}`,
      );
    else state.set(name, tensor);
    if (zero !== null) atZero.push(name);
  }
  if (differences.length > 0) {
    const more = differences.length > LISTED ? `; and ${differences.length - LISTED} more` : "";
    throw new CheckpointError(
      "E_CHECKPOINT_MISMATCH",
      `the initial state does not fit the step: ${differences.slice(0, LISTED).join("; ")}${more}`,
      {
        hint: "Give a file with a tensor for every state input of the step, named like the input; onnx-agr inspect lists them.",
      },
    );
  }
  const initial = { step, tensors: state, nominal: false, initialLearningRate: DEFAULT_INITIAL_RATE };
  return { ...source, state: { ...initial, properties: new Map() }, atZero };
}

/** Differences that one error lists at most. */
const LISTED = 10;

function zeroOf(input: Value | undefined): Tensor | null {
  const type = input?.type?.kind === "tensor" ? input.type : null;
  const dims = type?.shape?.every((dim) => typeof dim === "number") ? type.shape : null;
  return type === null || dims === null ? null : zeros(type.dtype, dims);
}

function fits(input: Value | undefined, { dtype, dims }: Tensor): boolean {
  const type = input?.type?.kind === "tensor" ? input.type : null;
  if (type === null || type.dtype !== dtype) return false;
  const { shape } = type;
  return (
    shape === null ||
    (shape.length === dims.length && shape.every((dim, axis) => typeof dim !== "number" || dim === dims[axis]))
  );
}
