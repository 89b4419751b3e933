import { join } from "node:path";
import { type Kind, orNull, withFields } from "../../arguments.ts";
import { FormatError, namingFile } from "../../errors.ts";
import { type ReadModelOptions, readModel } from "../../graph/io/model-file.ts";
import { listFolder, readRegularFile } from "../../graph/io/read-file.ts";
import type { Model } from "../../graph/model.ts";
import { A_MODEL } from "../../graph/model.ts";
import { readPlan } from "./plan.ts";
import { A_STATE, decodeState, type TrainingState } from "./state.ts";

/** The files of a portable set. */
export const PORTABLE_FILES = {
  trainStep: "train_step.onnx",
  gradients: "gradients.onnx",
  apply: "apply.onnx",
  evalModel: "eval.onnx",
  state: "state.safetensors",
} as const;

/**
 * Training in standard operators: any ONNX runtime takes the models, and their plans say which output becomes which input of
 * the next step. `trainStep` is a whole step; `gradients` and `apply` are its halves, for accumulation and all-reduce.
 */
export interface PortableArtifacts {
  /** Null where there is no optimizer, as is `apply`. */
  readonly trainStep: Model | null;
  readonly gradients: Model;
  readonly apply: Model | null;
  readonly evalModel: Model | null;
  /** Null where the artifacts had no checkpoint. */
  readonly state: TrainingState | null;
}

const MODEL_OR_NULL = orNull(A_MODEL);

export const PORTABLE: Kind = withFields(
  {
    ...{ gradients: A_MODEL, trainStep: MODEL_OR_NULL, apply: MODEL_OR_NULL, evalModel: MODEL_OR_NULL },
    state: orNull(A_STATE),
  },
  "a portable set, as readPortable gives it",
);

const PLANNED = [
  ["gradients", "gradients"],
  ["trainStep", "train_step"],
  ["apply", "apply"],
  ["evalModel", "eval"],
] as const;

async function readState(path: string): Promise<TrainingState> {
  const bytes = await readRegularFile(path);
  return namingFile(path, () => decodeState(bytes));
}

/** `readPortable`, of a folder whose files are known to belong together. */
export async function loadPortable(
  folder: string,
  options: Pick<ReadModelOptions, "strict"> = {},
): Promise<PortableArtifacts> {
  const names = await listFolder(folder);
  const model = async (file: string): Promise<Model | null> =>
    names.includes(file) ? readModel(join(folder, file), options) : null;
  const gradients = await model(PORTABLE_FILES.gradients);
  if (gradients === null) {
    throw new FormatError("E_NO_ARTIFACTS", `${folder} has no ${PORTABLE_FILES.gradients}`, {
      file: folder,
      hint: `A portable set is ${Object.values(PORTABLE_FILES).join(", ")}; onnx-agr lower writes it.`,
    });
  }
  const artifacts = {
    trainStep: await model(PORTABLE_FILES.trainStep),
    gradients,
    apply: await model(PORTABLE_FILES.apply),
    evalModel: await model(PORTABLE_FILES.evalModel),
    state: names.includes(PORTABLE_FILES.state) ? await readState(join(folder, PORTABLE_FILES.state)) : null,
  };
  for (const [kind, role] of PLANNED) {
    const each = artifacts[kind];
    if (each !== null) namingFile(join(folder, PORTABLE_FILES[kind]), () => readPlan(each, role));
  }
  return artifacts;
}
