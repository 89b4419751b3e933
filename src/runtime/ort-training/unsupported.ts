import { BackendError } from "../../errors.ts";
import type { Abilities } from "../session.ts";

/** What the training build has no call for. */
export function unsupported(what: string, hint: string): BackendError {
  return new BackendError("E_UNSUPPORTED", `ort-training cannot ${what}: ONNX Runtime 1.19.2 has no call for it`, {
    hint,
  });
}

export const cannotSetRate = (): BackendError =>
  unsupported("set the learning rate", "Give learningRate when the session is made, or use ort-node.");

export async function takesNoGradients(): Promise<never> {
  throw unsupported("take gradients", "Use ort-node.");
}

/** What a session of the training build can do. */
export const ABILITIES: Abilities = {
  ...{ setLearningRate: false, getGradients: false, keepState: false, shareUpdates: false },
  saveCheckpoint: true,
};
