import { valueRanges } from "./analysis/value-ranges.ts";
import { type Kind, mapTo, OPTIONS, oneOf, optional, PATH, requireArgument } from "./arguments.ts";
import { type Checkpoint, requireElements } from "./artifacts/checkpoint/checkpoint.ts";
import { isCheckpointFile, readCheckpointFile } from "./artifacts/checkpoint/checkpoint-file.ts";
import { decodeCheckpoint } from "./artifacts/checkpoint/read-odtc.ts";
import { isPbseqFile, pbseqAlone } from "./artifacts/checkpoint/read-pbseq.ts";
import { encodeCheckpoint } from "./artifacts/checkpoint/write-odtc.ts";
import {
  ARTIFACTS,
  type InputSpec,
  type ReadSetOptions,
  type TrainingArtifacts,
  userInputs,
  withRanges,
} from "./artifacts/ort-artifacts.ts";
import { plannedInputs, readPlan } from "./artifacts/portable/plan.ts";
import type { PortableArtifacts } from "./artifacts/portable/portable-artifacts.ts";
import { PORTABLE } from "./artifacts/portable/portable-artifacts.ts";
import { decodeState, isState, type TrainingState, zeros } from "./artifacts/portable/state.ts";
import { loadRun } from "./artifacts/run-checkpoint/folder.ts";
import { decodeSafetensors } from "./artifacts/safetensors.ts";
import { checkCheckpointFits } from "./artifacts/trainable-parameters.ts";
import { A_SET, checkFolder, loadTrainingSet, type TrainingSet } from "./artifacts/training-set.ts";
import { checkConsistency } from "./consistency.ts";
import { AGR_RECORD, readRecord } from "./edits/record.ts";
import { CheckpointError, FormatError, namingFile, PassError, UsageError } from "./errors.ts";
import type { NamedTensor } from "./graph/attribute.ts";
import { sha256 } from "./graph/io/digest.ts";
import { completeAround } from "./graph/io/file-set.ts";
import { isFolder, listFolder, readRegularFile } from "./graph/io/read-file.ts";
import type { Model } from "./graph/model.ts";
import { encodeModel } from "./graph/serde/encode.ts";
import type { Tensor } from "./graph/tensor.ts";
import { A_TENSOR } from "./graph/tensor.ts";
import { STEP, type StepArtifacts, withInitialState } from "./step-artifacts.ts";

/** What can be trained: ONNX Runtime's artifacts, a portable set, or a whole step. */
export type Trainable = TrainingArtifacts | PortableArtifacts | StepArtifacts;

export const TRAINABLE: Kind = {
  what: "a portable set, training artifacts or a whole step, as readPortable, readArtifacts, readTrainable and readStep give them",
  holds: (given) => PORTABLE.holds(given) || ARTIFACTS.holds(given) || STEP.holds(given),
};

export function isPortable(source: Trainable): source is PortableArtifacts {
  requireArgument("source", source, TRAINABLE);
  return "gradients" in source;
}

export function isStep(source: Trainable): source is StepArtifacts {
  requireArgument("source", source, TRAINABLE);
  return "step" in source;
}

export interface ReadTrainableOptions extends ReadSetOptions {
  /** Which set to take of a folder that has both. Default `portable`. */
  readonly prefer?: "portable" | "onnxruntime";
}

/**
 * Reads a folder of either kind.
 * @throws FormatError `E_SET` where the folder's files do not belong together, and what `readArtifacts` and `readPortable`
 *   throw
 */
export async function readTrainable(folder: string, options: ReadTrainableOptions = {}): Promise<Trainable> {
  requireArgument("folder", folder, PATH);
  requireArgument("options", options, OPTIONS);
  const { prefer, ...reading } = options;
  requireArgument("options.prefer", prefer, optional(oneOf("portable", "onnxruntime")));
  const set = await loadTrainingSet(folder, reading);
  await checkTrainingSet(folder, set);
  return trainableOf(set, prefer);
}

/** Which models of a set are trained. */
export function trainableOf(set: TrainingSet, prefer: "portable" | "onnxruntime" = "portable"): Trainable {
  requireArgument("set", set, A_SET);
  requireArgument("prefer", prefer, oneOf("portable", "onnxruntime"));
  const { onnxruntime, portable } = set;
  const [first, second] = prefer === "portable" ? [portable, onnxruntime] : [onnxruntime, portable];
  const chosen = first ?? second;
  if (chosen === null) throw new FormatError("E_NO_ARTIFACTS", "the set is empty");
  return chosen;
}

/** @throws FormatError `E_SET`, naming files that do not belong together */
export async function checkTrainingSet(folder: string, set: TrainingSet): Promise<void> {
  requireArgument("folder", folder, PATH);
  requireArgument("set", set, A_SET);
  await checkFolder(folder);
  checkConsistency(set, folder);
}

/**
 * The inputs that training data must have.
 * @throws UsageError `E_ARTIFACT_MISSING` without a training model or a checkpoint; PassError `E_NOMINAL` for one without
 *   values; CheckpointError `E_CHECKPOINT_MISMATCH`
 */
export function trainingInputsOf(source: Trainable, folder: string): readonly InputSpec[] {
  requireArgument("source", source, TRAINABLE);
  requireArgument("folder", folder, PATH);
  const missing = (file: string): UsageError =>
    new UsageError("E_ARTIFACT_MISSING", `${folder} has no ${file}, which training needs`, { file: folder });
  if (isStep(source)) return plannedInputs(source.step, readPlan(source.step, "train_step"));
  if (isPortable(source)) {
    if (source.state === null) throw missing("state.safetensors");
    return plannedInputs(source.gradients, readPlan(source.gradients, "gradients"));
  }
  if (source.checkpoint === null) throw missing("checkpoint");
  if (source.trainingModel === null) throw missing("training model");
  const checkpoint = decodeCheckpoint(source.checkpoint);
  if (checkpoint.nominal) {
    throw isNominal(`the checkpoint of ${folder}`, folder);
  }
  checkCheckpointFits(source.trainingModel, checkpoint);
  return rangedInputs(source.trainingModel, checkpoint);
}

function isNominal(what: string, file: string): PassError {
  return new PassError("E_NOMINAL", `${what} is nominal: it has the parameters' names and no values`, {
    file,
    hint: "Use the full checkpoint that was exported beside it.",
  });
}

/** The user's inputs of a training or eval model of ONNX Runtime, and what numbers they take. */
export function rangedInputs(model: Model, checkpoint: Checkpoint): readonly InputSpec[] {
  return withRanges(userInputs(model, checkpoint), valueRanges(model));
}

/** The models of a set, by what they are, and AGR's options: what a run that resumes must find again. */
export function identityOf(source: Trainable): {
  readonly hashes: Readonly<Record<string, string>>;
  readonly agr: string | null;
} {
  requireArgument("source", source, TRAINABLE);
  const models: Readonly<Record<string, Model | null>> = isStep(source)
    ? { train_step: source.step }
    : isPortable(source)
      ? { train_step: source.trainStep, gradients: source.gradients, apply: source.apply }
      : { training_model: source.trainingModel, optimizer_model: source.optimizerModel };
  const present = Object.entries(models).flatMap(([name, model]) => (model === null ? [] : [[name, model] as const]));
  const record = present.map(([, model]) => readRecord(model, AGR_RECORD)).find((each) => each !== null);
  return {
    hashes: Object.fromEntries(present.map(([name, model]) => [name, sha256(encodeModel(model))])),
    agr: record === undefined ? null : JSON.stringify(record.options),
  };
}

/**
 * Reads the weights of a checkpoint of any form: a folder of run checkpoints, `state.safetensors` or other safetensors with the
 * parameters under their names, or ONNX Runtime's.
 * @throws CheckpointError `E_NO_CHECKPOINT` for a path that is none of them, and what their readers throw
 */
export async function readWeights(path: string): Promise<ReadonlyMap<string, Tensor>> {
  requireArgument("path", path, PATH);
  await completeAround(path);
  const isOfFolder = await isFolder(path);
  if (isOfFolder && !(await listFolder(path)).some((name) => name.endsWith(".pbseq"))) {
    return (await loadRun(path)).state.tensors;
  }
  if (isOfFolder || (await isCheckpointFile(path))) {
    const checkpoint = decodeCheckpoint(await readCheckpointFile(path));
    const { trainable, frozen, nominal } = checkpoint;
    if (nominal) throw isNominal(`the checkpoint ${path}`, path);
    namingFile(path, () => requireElements(checkpoint));
    return new Map([...trainable, ...frozen].map(({ name, tensor }) => [name, tensor]));
  }
  if (isPbseqFile(path)) throw pbseqAlone(path);
  const bytes = await readRegularFile(path);
  return namingFile(path, () => {
    const file = decodeSafetensors(bytes);
    if (isState(file)) return decodeState(bytes).tensors;
    return new Map(file.tensors.map(({ name, tensor }) => [name, tensor]));
  });
}

/**
 * The same set with other weights, and an optimizer that begins anew.
 * @throws CheckpointError `E_CHECKPOINT_MISMATCH`, listing up to ten differences
 */
export function withWeights<Source extends Trainable>(source: Source, weights: ReadonlyMap<string, Tensor>): Source {
  requireArgument("source", source, TRAINABLE);
  requireArgument("weights", weights, mapTo(A_TENSOR, "a map of names to tensors, as readWeights gives it"));
  if (isStep(source)) {
    const kept = [...(source.state?.tensors ?? []), ...weights].filter(([name]) => !source.zeros.has(name));
    return { ...source, ...withInitialState(source, new Map(kept)) };
  }
  if (isPortable(source)) {
    return source.state === null ? source : { ...source, state: stateWith(source, source.state, weights) };
  }
  if (source.checkpoint === null) return source;
  const checkpoint = decodeCheckpoint(source.checkpoint);
  const replace = exchanger(weights);
  const next = {
    ...checkpoint,
    trainable: checkpoint.trainable.map(replace.one),
    frozen: checkpoint.frozen.map(replace.one),
    nominal: false,
    optimizerGroups: [],
  };
  replace.check();
  return { ...source, checkpoint: encodeCheckpoint(next) };
}

function stateWith(
  { gradients }: PortableArtifacts,
  state: TrainingState,
  weights: ReadonlyMap<string, Tensor>,
): TrainingState {
  const kept = new Set(readPlan(gradients, "gradients").state.map(({ name }) => name));
  const replace = exchanger(weights);
  const tensors = [...state.tensors].map(([name, tensor]) =>
    kept.has(name) ? replace.one({ name, tensor }) : { name, tensor: zeros(tensor.dtype, tensor.dims) },
  );
  replace.check();
  return { ...state, step: 0, tensors: new Map(tensors.map(({ name, tensor }) => [name, tensor])) };
}

/** Puts weights in the place of tensors of the same name, type and shape, and collects what does not fit. */
function exchanger(weights: ReadonlyMap<string, Tensor>): {
  readonly one: (held: NamedTensor) => NamedTensor;
  readonly check: () => void;
} {
  const differences: string[] = [];
  const one = ({ name, tensor }: NamedTensor): NamedTensor => {
    const next = weights.get(name);
    if (next === undefined) differences.push(`"${name}" is missing`);
    else if (next.dtype !== tensor.dtype) differences.push(`"${name}" has another element type`);
    else if (next.dims.join() !== tensor.dims.join()) {
      differences.push(`"${name}" has shape [${next.dims.join(",")}], not [${tensor.dims.join(",")}]`);
    }
    return { name, tensor: next ?? tensor };
  };
  const check = (): void => {
    if (differences.length === 0) return;
    const more = differences.length > 10 ? `; and ${differences.length - 10} more` : "";
    throw new CheckpointError(
      "E_CHECKPOINT_MISMATCH",
      `the weights do not fit these artifacts: ${differences.slice(0, 10).join("; ")}${more}`,
      { hint: "Use weights that were trained from the same model." },
    );
  };
  return { one, check };
}
