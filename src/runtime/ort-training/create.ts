import { BackendError } from "../../errors.ts";
import { ERRORS_ONLY } from "../session-options.ts";
import type { NativeModels, NativeModule, NativeSession } from "./load.ts";

/** Creates the session; on failure adds the artifacts one by one to find out which the build does not take. */
export async function createNative(module: NativeModule, models: NativeModels): Promise<NativeSession> {
  try {
    return await module.TrainingSession.create(models, ERRORS_ONLY);
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
      const failed = await module.TrainingSession.create(attempt, ERRORS_ONLY).then(
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
  return new BackendError("E_LOAD", `ONNX Runtime 1.19.2 could not load ${what}: ${reasonOf(cause)}`, {
    hint: "An operator that this build lacks, shapes that contradict each other, and too little memory are the usual causes.",
    cause,
  });
}

/** The build throws bare numbers (addresses of C++ exceptions), and a RangeError where WebAssembly's memory ends. */
export function reasonOf(cause: unknown): string {
  if (typeof cause === "number") return "it gave no reason (an exception inside WebAssembly)";
  if (cause instanceof RangeError && /memory|allocation/i.test(cause.message)) {
    return "WebAssembly's memory of 4 GiB is used up; the model is too large for this runtime";
  }
  return cause instanceof Error ? cause.message : String(cause);
}
