import { OPTIONS, PATH, requireArgument } from "./arguments.ts";
import { A_SET, type WriteSetOptions, writeTrainingSet } from "./artifacts/training-set.ts";
import type { BuiltArtifacts } from "./build-artifacts.ts";

/**
 * Writes what was built into a folder, which must exist, as one: the folder holds the earlier set or the new one, whole.
 * @throws as `writeTrainingSet`
 */
export async function writeBuilt(
  folder: string,
  built: BuiltArtifacts,
  options: WriteSetOptions = {},
): Promise<readonly string[]> {
  requireArgument("folder", folder, PATH);
  requireArgument("built", built, A_SET);
  requireArgument("options", options, OPTIONS);
  return writeTrainingSet(folder, built, options);
}
