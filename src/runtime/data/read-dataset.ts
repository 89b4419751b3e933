import { requireArgument } from "../../arguments.ts";
import { INPUT_SPECS, type InputSpec } from "../../artifacts/ort-artifacts.ts";
import { DataError } from "../../errors.ts";
import { checkRange } from "../value-range.ts";
import { type Dataset, datasetFor } from "./dataset.ts";
import type { DatasetOptions } from "./dataset-inputs.ts";
import { type FitOptions, fitTensors } from "./fit.ts";
import type { TableOptions } from "./formats/format.ts";
import { readData } from "./read-data.ts";

export interface ReadDatasetOptions extends TableOptions, FitOptions, DatasetOptions {}

/**
 * Reads data and makes of them what a model takes: `readData`, names, types and shapes fitted where there is one way to, `datasetFor`.
 *
 * @param inputs `trainingInputs` of a session
 * @param specification as `readData` takes it
 * @throws DataError `E_CLASSES` where words are not as many as the model has classes, and `classes` does not say them; what `readData` and `datasetFor` throw; of tables with the line and column of a label that is out of range
 */
export async function readDataset(
  inputs: readonly InputSpec[],
  specification: string,
  options: ReadDatasetOptions = {},
): Promise<Dataset> {
  requireArgument("inputs", inputs, INPUT_SPECS);
  const { tensors, classes, where } = await readData(specification, options);
  const tell = options.tell ?? (() => undefined);
  const fitted = fitTensors(inputs, tensors, options);
  const words = classes?.["labels"];
  if (words !== undefined) {
    if (options.classes === undefined) requireAll(words, inputs);
    tell(`"labels": ${words.length} classes, ${listed(words)}`);
  }
  if (where !== undefined) {
    for (const { name, range } of inputs) {
      const tensor = fitted.find((each) => each.name === name)?.tensor;
      if (tensor !== undefined)
        checkRange(name, tensor.values(), tensor.dims[0] ?? 1, range, (row) => where("labels", row));
    }
  }
  const dataset = datasetFor(inputs, fitted, options);
  return words === undefined ? dataset : { ...dataset, classes: words };
}

const listed = (words: readonly string[]): string =>
  `${words
    .slice(0, 12)
    .map((word, index) => `${index} ${word}`)
    .join(", ")}${words.length > 12 ? ", ..." : ""}`;

/** Where a file lacks a class, those behind it would have other numbers than in one that has them all. */
function requireAll(words: readonly string[], inputs: readonly InputSpec[]): void {
  for (const { name, range } of inputs) {
    if (range === undefined || !/class/.test(range.of)) continue;
    const count = range.greatest - range.least + 1;
    if (count === words.length) continue;
    throw new DataError(
      "E_CLASSES",
      `the data have ${words.length} classes, ${listed(words)}; the model's "${name}" has ${count}`,
      {
        field: name,
        hint: `Say which number each word is, by its place, with all ${count} of them: --classes ${words.join(",")},... (classes).`,
      },
    );
  }
}
