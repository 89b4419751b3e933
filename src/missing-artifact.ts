import { UsageError } from "./errors.ts";

export function missingArtifact(file: string): UsageError {
  return new UsageError("E_ARTIFACT_MISSING", `training needs the ${file}, which the artifacts do not have`, {
    field: file,
  });
}
