import { join } from "node:path";
import { FormatError, namingFile } from "../../errors.ts";
import { type ReadModelOptions, readModel } from "../../graph/io/model-file.ts";
import { listFolder, readRegularFile } from "../../graph/io/read-file.ts";
import type { Model } from "../../graph/model.ts";
import { readPlan } from "./plan.ts";
import { PORTABLE_FILES, type PortableArtifacts } from "./portable-artifacts.ts";
import { decodeState, type TrainingState } from "./state.ts";

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
