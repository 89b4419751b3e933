import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { FormatError } from "../../errors.ts";
import { readModel } from "../../graph/io/model-file.ts";
import { readRegularFile } from "../../graph/io/read-file.ts";
import type { Model } from "../../graph/model.ts";
import { readPlan } from "./plan.ts";
import { decodeState, type TrainingState } from "./state.ts";

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

/** `readPortable`, of a folder whose files are known to belong together. */
export async function loadPortable(folder: string): Promise<PortableArtifacts> {
  const names = await readdir(folder).catch((cause: unknown) => {
    throw new FormatError("E_NO_FILE", `${folder}: no such folder`, { file: folder, cause });
  });
  const model = async (file: string): Promise<Model | null> =>
    names.includes(file) ? readModel(join(folder, file)) : null;
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
    state: names.includes(PORTABLE_FILES.state)
      ? decodeState(await readRegularFile(join(folder, PORTABLE_FILES.state)))
      : null,
  };
  readPlan(gradients, "gradients");
  if (artifacts.trainStep !== null) readPlan(artifacts.trainStep, "train_step");
  if (artifacts.apply !== null) readPlan(artifacts.apply, "apply");
  if (artifacts.evalModel !== null) readPlan(artifacts.evalModel, "eval");
  return artifacts;
}
