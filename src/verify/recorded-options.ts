import type { EdgeParameter } from "../analysis/find-optimizers/site.ts";
import { wrongMetadata } from "../edits/json-metadata.ts";
import { AGR_RECORD, type InsertionRecord } from "../edits/record.ts";
import { OnnxAgrError } from "../errors.ts";
import { type InsertAgrOptions, settingsOf } from "../passes/insert-agr/options.ts";

/** The options of a record, which anyone may have written. @throws GraphError `E_RECORD` */
export function optionsOf({ options }: InsertionRecord): InsertAgrOptions {
  const wrong = (name: string): OnnxAgrError =>
    wrongMetadata(AGR_RECORD, `has options whose ${name} is not understood`);
  const isText = (value: unknown): boolean => typeof value === "string";
  for (const name of ["state", "gradient", "trainable", "select"]) {
    const value = options[name];
    const isFit = value === undefined || (Array.isArray(value) && value.every(isText));
    if (!isFit && !(name === "select" && isText(value))) throw wrong(name);
  }
  const { parameters } = options;
  const isParameter = (each: unknown): boolean =>
    typeof each === "object" &&
    each !== null &&
    isText((each as EdgeParameter).name) &&
    Array.isArray((each as EdgeParameter).shape) &&
    ((each as EdgeParameter).shape ?? []).every(Number.isSafeInteger);
  if (parameters !== undefined && !(Array.isArray(parameters) && parameters.every(isParameter)))
    throw wrong("parameters");
  try {
    settingsOf(options as InsertAgrOptions);
  } catch (cause) {
    throw cause instanceof OnnxAgrError && cause.field !== undefined ? wrong(cause.field) : cause;
  }
  return options as InsertAgrOptions;
}
