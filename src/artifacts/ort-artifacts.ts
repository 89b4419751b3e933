import { stat } from "node:fs/promises";
import { join } from "node:path";
import {
  BYTES,
  type Kind,
  listOf,
  NUMBER,
  optional,
  orNull,
  PATH,
  requireArgument,
  TEXT,
  withFields,
} from "../arguments.ts";
import { CheckpointError, FormatError, OnnxAgrError } from "../errors.ts";
import { DataType } from "../graph/data-type.ts";
import { completeAround } from "../graph/io/file-set.ts";
import { type ReadModelOptions, readModel } from "../graph/io/model-file.ts";
import { listFolder, readRange, readRegularFile, withFile } from "../graph/io/read-file.ts";
import type { Model } from "../graph/model.ts";
import { A_MODEL } from "../graph/model.ts";
import type { ValueRange } from "../graph/value-range.ts";
import type { Dimension } from "../graph/value-type.ts";
import { bufferName, isGradientName, parameterOfBuffer, RESET_FLAG } from "../onnxruntime/training-names.ts";
import type { Checkpoint } from "./checkpoint/checkpoint.ts";
import { A_CHECKPOINT } from "./checkpoint/checkpoint.ts";
import { decodeCheckpoint, ODTC, ODTC_DATA_SUFFIX } from "./checkpoint/read-odtc.ts";
import { decodePbseqCheckpoint, isPbseqFile } from "./checkpoint/read-pbseq.ts";
import { encodeCheckpoint } from "./checkpoint/write-odtc.ts";

/** The files `generate_artifacts` of onnxruntime-training writes into a folder, without the user's prefix. */
export const ARTIFACT_FILES = {
  trainingModel: "training_model.onnx",
  evalModel: "eval_model.onnx",
  optimizerModel: "optimizer_model.onnx",
  checkpoint: "checkpoint",
} as const;

export type ArtifactKind = keyof typeof ARTIFACT_FILES;

/** A set of ONNX Runtime training artifacts. Null: the folder does not have that file. */
export interface TrainingArtifacts {
  /** What the files' names begin with (`prefix` of `generate_artifacts`); usually empty. */
  readonly prefix: string;
  readonly trainingModel: Model | null;
  readonly evalModel: Model | null;
  readonly optimizerModel: Model | null;
  /** The checkpoint as it is in the file, in today's format also where the folder has the old one. */
  readonly checkpoint: Uint8Array | null;
  /** The file with the tensors a large checkpoint keeps outside itself; it is copied, never read whole. */
  readonly checkpointData: string | null;
}

const MODEL_OR_NULL = orNull(A_MODEL);

const PARAMETERS_SOURCE: Kind = withFields(
  { trainingModel: MODEL_OR_NULL, checkpoint: optional(orNull(BYTES)) },
  "training artifacts: { trainingModel, checkpoint? }",
);

export const ARTIFACTS: Kind = withFields(
  {
    ...{ trainingModel: MODEL_OR_NULL, evalModel: MODEL_OR_NULL, optimizerModel: MODEL_OR_NULL },
    checkpoint: orNull(BYTES),
  },
  "training artifacts, as readArtifacts gives them",
);

/** A parameter the training graph takes, with the shape it has there. */
export interface TrainableParameter {
  readonly name: string;
  readonly shape: readonly number[];
}

/** How the models of a folder are read. */
export type ReadSetOptions = Pick<ReadModelOptions, "strict">;

/** `readArtifacts`, of a folder whose files are known to belong together. */
export async function loadArtifacts(folder: string, options: ReadSetOptions = {}): Promise<TrainingArtifacts> {
  const names = await listFolder(folder);
  const prefix = findPrefix(names, folder);
  const dataFile = prefix + ARTIFACT_FILES.checkpoint + ODTC_DATA_SUFFIX;
  const model = async (kind: ArtifactKind): Promise<Model | null> => {
    const name = prefix + ARTIFACT_FILES[kind];
    return names.includes(name) ? readModel(join(folder, name), options) : null;
  };
  return {
    prefix,
    trainingModel: await model("trainingModel"),
    evalModel: await model("evalModel"),
    optimizerModel: await model("optimizerModel"),
    checkpoint: await readCheckpointBytes(folder, prefix, names),
    checkpointData: names.includes(dataFile) ? join(folder, dataFile) : null,
  };
}

/** What folders without models hold that people take for artifacts. */
const OTHER_FOLDERS = [
  {
    has: (name: string) => name.endsWith(".ort"),
    what: "models in ONNX Runtime's .ort format",
    hint: "Give a folder of the .onnx models they were converted from.",
  },
  {
    has: isPbseqFile,
    what: "a checkpoint of ONNX Runtime up to 1.15, without the models",
    hint: "Give the folder of the models; a checkpoint alone is for inspect and for --init-from.",
  },
];

function findPrefix(names: readonly string[], folder: string): string {
  const { trainingModel, optimizerModel } = ARTIFACT_FILES;
  const prefixes = [trainingModel, optimizerModel].flatMap((file) =>
    names.filter((name) => name.endsWith(file)).map((name) => name.slice(0, name.length - file.length)),
  );
  const distinct = [...new Set(prefixes)].sort();
  const [first] = distinct;
  if (first === undefined) {
    const other = OTHER_FOLDERS.find(({ has }) => names.some(has));
    const found = other === undefined ? "" : `; it holds ${other.what}`;
    throw new FormatError("E_NO_ARTIFACTS", `${folder} has neither ${trainingModel} nor ${optimizerModel}${found}`, {
      file: folder,
      hint: other?.hint ?? `ONNX Runtime's training artifacts are ${Object.values(ARTIFACT_FILES).join(", ")}.`,
    });
  }
  if (distinct.length > 1 && first !== "") {
    throw new FormatError(
      "E_NO_ARTIFACTS",
      `${folder} has several sets of artifacts: ${distinct.map((each) => `"${each}"`).join(", ")}`,
      {
        file: folder,
        hint: "Put each set into a folder of its own.",
      },
    );
  }
  return first;
}

async function readCheckpointBytes(
  folder: string,
  prefix: string,
  names: readonly string[],
): Promise<Uint8Array | null> {
  const name = prefix + ARTIFACT_FILES.checkpoint;
  if (names.includes(name)) return readCheckpointFile(join(folder, name));
  return names.some(isPbseqFile) ? readCheckpointFile(folder) : null;
}

/**
 * Reads a checkpoint file, or a folder in the format before 1.16, which is converted.
 * @throws FormatError `E_CHECKPOINT`; PassError `E_CHECKPOINT_VERSION`
 */
export async function readCheckpointFile(path: string): Promise<Uint8Array> {
  requireArgument("path", path, PATH);
  const isFolder = await stat(path).then(
    (found) => found.isDirectory(),
    () => false,
  );
  try {
    if (!isFolder) {
      await completeAround(path);
      const bytes = await readRegularFile(path);
      decodeCheckpoint(bytes);
      return bytes;
    }
    const files = (await listFolder(path)).filter(isPbseqFile);
    const contents = await Promise.all(
      files.map(async (name) => [name, await readRegularFile(join(path, name))] as const),
    );
    return encodeCheckpoint(decodePbseqCheckpoint(new Map(contents)));
  } catch (error) {
    throw error instanceof OnnxAgrError ? error.inFile(path) : error;
  }
}

/** True for a folder that is a checkpoint of ONNX Runtime up to 1.15, and holds no models beside it. */
export async function isCheckpointFolder(folder: string): Promise<boolean> {
  requireArgument("folder", folder, PATH);
  const names = await listFolder(folder).catch(() => []);
  return names.some(isPbseqFile) && !names.some((name) => name.endsWith(".onnx"));
}

/** True for a file that begins as a checkpoint does. @throws FileSystemError `E_FILE_SYSTEM` where that cannot be told */
export async function isCheckpointFile(path: string): Promise<boolean> {
  requireArgument("path", path, PATH);
  const head = await withFile(path, (handle, size) => readRange(handle, path, 0, Math.min(size, 8))).catch(
    (error: unknown) => {
      if (error instanceof FormatError) return null;
      throw error;
    },
  );
  return head !== null && String.fromCharCode(...head.subarray(4, 8)) === ODTC;
}

/**
 * The trainable parameters, in the order of the training model's inputs, with the shapes it declares or, where it leaves
 * them open, those of the checkpoint; null where there is no training model.
 * @throws FormatError `E_NO_SHAPE` where neither tells a shape
 */
export function trainableParameters(
  artifacts: Pick<TrainingArtifacts, "trainingModel"> & Partial<Pick<TrainingArtifacts, "checkpoint">>,
): readonly TrainableParameter[] | null {
  requireArgument("artifacts", artifacts, PARAMETERS_SOURCE);
  const { trainingModel, checkpoint = null } = artifacts;
  if (trainingModel === null) return null;
  const inputs = trainingModel.graph.inputs;
  const trained = new Set(inputs.map(({ name }) => parameterOfBuffer(name)));
  const trainable = checkpoint === null ? [] : decodeCheckpoint(checkpoint).trainable;
  const held = new Map(trainable.map(({ name, tensor }) => [name, tensor]));
  return inputs
    .filter(({ name }) => trained.has(name))
    .map(({ name, type }) => {
      const declared = type?.kind === "tensor" ? type.shape : null;
      if (declared?.every((dim) => typeof dim === "number")) return { name, shape: declared };
      const tensor = held.get(name);
      if (tensor !== undefined) return { name, shape: tensor.dims };
      throw new FormatError(
        "E_NO_SHAPE",
        `neither the training model nor a checkpoint tells the shape of parameter "${name}"`,
        {
          field: name,
          hint: "Put the checkpoint that was exported with the model into the folder.",
        },
      );
    });
}

/**
 * Checks that a checkpoint has what a training model takes: every parameter, with its shape and type, trainable where the
 * model keeps a gradient for it. Tensors the model does not take are allowed, as in ONNX Runtime.
 * @throws CheckpointError `E_CHECKPOINT_MISMATCH`, listing up to ten differences.
 */
export function checkCheckpointFits(trainingModel: Model, checkpoint: Checkpoint): void {
  requireArgument("trainingModel", trainingModel, A_MODEL);
  requireArgument("checkpoint", checkpoint, A_CHECKPOINT);
  const held = new Map([...checkpoint.trainable, ...checkpoint.frozen].map(({ name, tensor }) => [name, tensor]));
  const trainable = new Set(checkpoint.trainable.map(({ name }) => name));
  const inputs = new Map(trainingModel.graph.inputs.map((value) => [value.name, value.type]));
  const differences: string[] = [];
  for (const name of trainable) {
    if (inputs.has(name) && !inputs.has(bufferName(name)))
      differences.push(`"${name}" is trainable only in the checkpoint`);
  }
  for (const [name, type] of inputs) {
    const parameter = parameterOfBuffer(name);
    if (parameter !== null) {
      if (!held.has(parameter)) differences.push(`"${parameter}" is missing in the checkpoint`);
      else if (!trainable.has(parameter))
        differences.push(`"${parameter}" is frozen in the checkpoint, trainable in the model`);
    }
    const tensor = held.get(name);
    if (tensor === undefined || type?.kind !== "tensor") continue;
    if (tensor.dtype !== type.dtype) differences.push(`"${name}" has another element type`);
    if (!checkpoint.nominal && type.shape !== null && !isShape(tensor.dims, type.shape)) {
      differences.push(`"${name}" has shape [${tensor.dims.join(",")}], the model takes [${type.shape.join(",")}]`);
    }
  }
  if (differences.length === 0) return;
  const more = differences.length > 10 ? `; and ${differences.length - 10} more` : "";
  throw new CheckpointError(
    "E_CHECKPOINT_MISMATCH",
    `the checkpoint does not fit the training model: ${differences.slice(0, 10).join("; ")}${more}`,
    {
      hint: "Use the checkpoint that was exported together with this training model.",
    },
  );
}

/** Symbolic and unknown dimensions take any size. */
function isShape(dims: readonly number[], shape: readonly Dimension[]): boolean {
  return dims.length === shape.length && shape.every((dim, axis) => typeof dim !== "number" || dim === dims[axis]);
}

/** What a model takes as one input. A dimension is a size, a symbolic name, or null where nothing is known. */
export interface InputSpec {
  readonly name: string;
  /** A code of `DataType`. */
  readonly dtype: number;
  readonly shape: readonly Dimension[] | null;
  /** Which numbers it takes, where it holds classes of a loss or rows of a table. */
  readonly range?: ValueRange;
}

export const INPUT_SPECS: Kind = listOf(
  withFields({ name: TEXT, dtype: NUMBER }, "an input"),
  "a list of inputs, as trainingInputs of a session gives it",
);

/** Specifications with the ranges of those inputs that have one. */
export function withRanges(specs: readonly InputSpec[], ranges: ReadonlyMap<string, ValueRange>): readonly InputSpec[] {
  return specs.map((spec) => {
    const range = ranges.get(spec.name);
    return range === undefined ? spec : { ...spec, range };
  });
}

/**
 * The user's inputs of a training or eval model: what is neither a parameter of the checkpoint, a gradient buffer nor the
 * reset flag (ORT-TRAINING 1.1).
 */
export function userInputs(model: Model, checkpoint: Checkpoint): readonly InputSpec[] {
  requireArgument("model", model, A_MODEL);
  requireArgument("checkpoint", checkpoint, A_CHECKPOINT);
  const parameters = new Set([...checkpoint.trainable, ...checkpoint.frozen].map(({ name }) => name));
  return model.graph.inputs
    .filter(({ name }) => !parameters.has(name) && name !== RESET_FLAG && !isGradientName(name))
    .map(({ name, type }) => {
      const tensor = type?.kind === "tensor" ? type : null;
      return { name, dtype: tensor?.dtype ?? DataType.undefined, shape: tensor?.shape ?? null };
    });
}
