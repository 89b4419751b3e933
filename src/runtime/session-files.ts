import { bytesOf } from "../arguments.ts";
import type { Checkpoint } from "../artifacts/checkpoint/checkpoint.ts";
import { readCheckpointFile } from "../artifacts/checkpoint/checkpoint-file.ts";
import { decodeCheckpoint } from "../artifacts/checkpoint/read-odtc.ts";
import { OnnxAgrError, UsageError } from "../errors.ts";
import { checkModel } from "../graph/check.ts";
import { completeAround } from "../graph/io/file-set.ts";
import { readRegularFile } from "../graph/io/read-file.ts";
import type { Model } from "../graph/model.ts";
import { decodeModel } from "../graph/serde/decode.ts";
import type { NativeModels } from "./ort-training/load.ts";
import type { TrainingSessionCreateOptions, UriOrBuffer } from "./session.ts";

/** What a session's files hold. */
export interface DecodedArtifacts {
  readonly checkpoint: Checkpoint;
  readonly trainModel: Model;
  readonly evalModel: Model | null;
  readonly optimizerModel: Model | null;
}

/**
 * Reads and decodes the files of a session.
 * @throws what `decodeModel`, `checkModel` and `decodeCheckpoint` throw, naming the file or, for bytes, the option
 */
export async function readSessionFiles(
  files: TrainingSessionCreateOptions,
): Promise<{ readonly bytes: NativeModels; readonly decoded: DecodedArtifacts }> {
  const bytes = await readAll(files);
  const nameOf = (option: keyof TrainingSessionCreateOptions): string => {
    const source = files[option];
    return typeof source === "string" ? source : option;
  };
  const model = (option: "trainModel" | "evalModel" | "optimizerModel"): Model | null => {
    const found = bytes[option];
    if (found === undefined) return null;
    return naming(nameOf(option), () => {
      const decoded = decodeModel(found);
      checkModel(decoded);
      return decoded;
    });
  };
  const trainModel = model("trainModel");
  if (trainModel === null) throw new UsageError("E_OPTION", "trainModel is missing", { field: "trainModel" });
  const checkpoint = naming(nameOf("checkpointState"), () => decodeCheckpoint(bytes.checkpointState));
  const decoded = { checkpoint, trainModel, evalModel: model("evalModel"), optimizerModel: model("optimizerModel") };
  return { bytes, decoded };
}

async function readAll(files: TrainingSessionCreateOptions): Promise<NativeModels> {
  const read = async (source: UriOrBuffer): Promise<Uint8Array> => {
    if (typeof source !== "string") return bytesOf("an artifact", source);
    await completeAround(source);
    return readRegularFile(source);
  };
  const { checkpointState: checkpoint, evalModel, optimizerModel } = files;
  return {
    checkpointState:
      typeof checkpoint === "string" ? await readCheckpointFile(checkpoint) : bytesOf("checkpointState", checkpoint),
    trainModel: await read(files.trainModel),
    ...(evalModel === undefined ? {} : { evalModel: await read(evalModel) }),
    ...(optimizerModel === undefined ? {} : { optimizerModel: await read(optimizerModel) }),
  };
}

function naming<T>(file: string, run: () => T): T {
  try {
    return run();
  } catch (error) {
    throw error instanceof OnnxAgrError ? error.inFile(file) : error;
  }
}
