import { OPTIONS, requireArgument } from "./arguments.ts";
import { PassError } from "./errors.ts";
import { lowerArtifacts } from "./lower-artifacts.ts";
import { type Placement, placementOf } from "./runtime/ort-node/placement.ts";
import type { OrtNodeOptions } from "./runtime/ort-node/providers.ts";
import { isPortable, isStep, TRAINABLE, type Trainable } from "./source.ts";

/**
 * Runs one training step of artifacts, lowered where need be, and tells on which execution provider each node ran.
 * @throws what `lowerArtifacts` throws; BackendError `E_EXECUTION_PROVIDER`, `E_LOAD`; PassError `E_NO_STATE` without a
 *   checkpoint
 */
export async function inspectPlacement(source: Trainable, options: OrtNodeOptions = {}): Promise<Placement> {
  requireArgument("source", source, TRAINABLE);
  requireArgument("options", options, OPTIONS);
  const { trainStep, gradients, state } = isStep(source)
    ? { trainStep: source.step, gradients: source.step, state: source.state }
    : isPortable(source)
      ? source
      : await lowerArtifacts(source);
  if (state === null || state.nominal) {
    throw new PassError("E_NO_STATE", "without a checkpoint's values no step can be run to see where its nodes go", {
      hint: "Give a folder with the full checkpoint.",
    });
  }
  const step = trainStep ?? gradients;
  const role = trainStep === null ? "gradients" : "train_step";
  return placementOf({ step, role, state }, options);
}
