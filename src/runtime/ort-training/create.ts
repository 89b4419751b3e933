import type { BackendError } from "../../errors.ts";
import { runtimeError } from "../ort-errors.ts";
import { NO_LOG } from "../session-options.ts";
import type { NativeModels, NativeModule, NativeSession } from "./load.ts";

/** Creates the session; on failure adds the artifacts one by one to find out which the build does not take. */
export async function createNative(module: NativeModule, models: NativeModels): Promise<NativeSession> {
  try {
    return await module.TrainingSession.create(models, NO_LOG);
  } catch (cause) {
    const { checkpointState, trainModel, evalModel, optimizerModel } = models;
    const attempts: readonly (readonly [string, NativeModels])[] = [
      ["the training model or the checkpoint", { checkpointState, trainModel }],
      ["the eval model", { checkpointState, trainModel, ...(evalModel === undefined ? {} : { evalModel }) }],
      [
        "the optimizer model",
        { checkpointState, trainModel, ...(optimizerModel === undefined ? {} : { optimizerModel }) },
      ],
    ];
    for (const [what, attempt] of attempts) {
      const failed = await module.TrainingSession.create(attempt, NO_LOG).then(
        async (session) => {
          await session.release();
          return false;
        },
        () => true,
      );
      if (failed) throw loadError(what, cause);
    }
    throw loadError("the artifacts together", cause);
  }
}

function loadError(what: string, cause: unknown): BackendError {
  return runtimeError("E_LOAD", `ONNX Runtime 1.19.2 could not load ${what}`, cause, {
    hint: "An operator that this build lacks, shapes that contradict each other, and too little memory are the usual causes.",
  });
}
