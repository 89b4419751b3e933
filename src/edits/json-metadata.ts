import { GraphError } from "../errors.ts";
import type { Model } from "../graph/model.ts";

/** What an entry of a model's metadata says that is not what it must say. */
export function wrongMetadata(key: string, reason: string, cause?: unknown): GraphError {
  return new GraphError("E_RECORD", `metadata "${key}" ${reason}`, {
    field: `metadata_props.${key}`,
    hint: "The file was changed by something that damaged the entry; start from the original model.",
    cause,
  });
}

/** An entry that is JSON; undefined where there is none. @throws GraphError `E_RECORD` where it is no JSON */
export function jsonMetadata(model: Model, key: string): unknown {
  const text = model.metadata.get(key);
  if (text === undefined) return undefined;
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw wrongMetadata(key, "is not JSON", cause);
  }
}

/** An entry that is a JSON object of names by names; null where there is none. @throws GraphError `E_RECORD` */
export function namesMetadata(model: Model, key: string): ReadonlyMap<string, string> | null {
  const value = jsonMetadata(model, key);
  if (value === undefined) return null;
  const entries = typeof value === "object" && value !== null && !Array.isArray(value) ? Object.entries(value) : null;
  if (entries === null || !entries.every(([, name]) => typeof name === "string"))
    throw wrongMetadata(key, "is not an object of names");
  return new Map(entries as [string, string][]);
}
