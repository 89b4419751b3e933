import { decodeCheckpoint } from "./artifacts/checkpoint/read-odtc.ts";
import type { TrainingArtifacts } from "./artifacts/ort-artifacts.ts";
import { namingFile } from "./errors.ts";
import { checkModel } from "./graph/check.ts";
import { readExternalTensors } from "./graph/io/external-tensors.ts";
import type { Model } from "./graph/model.ts";
import { encodeModel } from "./graph/serde/encode.ts";
import { missingArtifact } from "./missing-artifact.ts";
import type { TrainingSessionCreateOptions } from "./runtime/session.ts";
import type { DecodedArtifacts } from "./runtime/session-files.ts";

/**
 * Copies of the models, as the files of a session would give them.
 * @throws UsageError `E_ARTIFACT_MISSING`; what `readExternalTensors`, `checkModel` and `decodeCheckpoint` throw
 */
export async function decodedOf(artifacts: TrainingArtifacts): Promise<DecodedArtifacts> {
  const { checkpoint, trainingModel, evalModel, optimizerModel } = artifacts;
  if (checkpoint === null) throw missingArtifact("checkpoint");
  if (trainingModel === null) throw missingArtifact("training model");
  const copy = async (option: string, model: Model): Promise<Model> => {
    const own = model.clone();
    await readExternalTensors(own);
    namingFile(option, () => checkModel(own));
    return own;
  };
  return {
    checkpoint: namingFile("checkpointState", () => decodeCheckpoint(checkpoint)),
    trainModel: await copy("trainModel", trainingModel),
    evalModel: evalModel === null ? null : await copy("evalModel", evalModel),
    optimizerModel: optimizerModel === null ? null : await copy("optimizerModel", optimizerModel),
  };
}

/** The artifacts as files, as `ort-training` takes them. @throws UsageError `E_ARTIFACT_MISSING` */
export async function toFiles(artifacts: TrainingArtifacts): Promise<TrainingSessionCreateOptions> {
  const { checkpoint, trainingModel, evalModel, optimizerModel } = artifacts;
  if (checkpoint === null) throw missingArtifact("checkpoint");
  if (trainingModel === null) throw missingArtifact("training model");
  const optional = async (
    name: "evalModel" | "optimizerModel",
    model: Model | null,
  ): Promise<Record<string, Uint8Array>> => (model === null ? {} : { [name]: await wholeModel(model) });
  return {
    checkpointState: checkpoint,
    trainModel: await wholeModel(trainingModel),
    ...(await optional("evalModel", evalModel)),
    ...(await optional("optimizerModel", optimizerModel)),
  };
}

/** The model's bytes with its external data in it: the runtime gets no folder to look into. */
async function wholeModel(model: Model): Promise<Uint8Array> {
  const own = model.clone();
  await readExternalTensors(own);
  return encodeModel(own);
}
