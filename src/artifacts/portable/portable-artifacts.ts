import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { FormatError } from "../../errors.ts";
import { prepareModel, readModel } from "../../graph/io/model-file.ts";
import { readRegularFile } from "../../graph/io/read-file.ts";
import { type PendingFile, publishAll, writePending } from "../../graph/io/write-file.ts";
import type { Model } from "../../graph/model.ts";
import { readPlan } from "./plan.ts";
import { decodeState, stateParts, type TrainingState } from "./state.ts";

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

/** Whether a folder has a portable set. */
export async function isPortableFolder(folder: string): Promise<boolean> {
  return readdir(folder).then(
    (names) => names.includes(PORTABLE_FILES.gradients),
    () => false,
  );
}

/**
 * Reads a folder that `writePortable` or `onnx-agr lower` wrote.
 * @throws FormatError `E_NO_ARTIFACTS`, `E_PLAN`, and what `readModel` and `decodeState` throw
 */
export async function readPortable(folder: string): Promise<PortableArtifacts> {
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

/**
 * Writes a portable set into a folder, which must exist: every file is written in full before the first becomes visible.
 * @throws FileSystemError `E_FILE_SYSTEM`
 */
export async function writePortable(folder: string, artifacts: PortableArtifacts): Promise<void> {
  await publishAll(await preparePortable(folder, artifacts));
}

/** Writes every file in full under a temporary name; what cannot be written leaves none. */
export async function preparePortable(folder: string, artifacts: PortableArtifacts): Promise<PendingFile[]> {
  const pending: PendingFile[] = [];
  try {
    for (const kind of ["trainStep", "gradients", "apply", "evalModel"] as const) {
      const model = artifacts[kind];
      if (model !== null) pending.push(...(await prepareModel(join(folder, PORTABLE_FILES[kind]), model)));
    }
    if (artifacts.state !== null) {
      pending.push(await writePending(join(folder, PORTABLE_FILES.state), stateParts(artifacts.state)));
    }
  } catch (error) {
    for (const file of pending) await file.discard();
    throw error;
  }
  return pending;
}
