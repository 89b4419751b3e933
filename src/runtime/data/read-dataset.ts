import { requireArgument } from "../../arguments.ts";
import { INPUT_SPECS, type InputSpec } from "../../artifacts/ort-artifacts.ts";
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
 * @throws what `readData` and `datasetFor` throw; of tables with the line and column of a label that is out of range
 */
export async function readDataset(
  inputs: readonly InputSpec[],
  specification: string,
  options: ReadDatasetOptions = {},
): Promise<Dataset> {
  requireArgument("inputs", inputs, INPUT_SPECS);
  const { tensors, classes, where } = await readData(specification, options);
  const tell = options.tell ?? (() => undefined);
  for (const [name, names] of Object.entries(classes ?? {}))
    tell(
      `"${name}": ${names.length} classes, ${names
        .slice(0, 12)
        .map((each, index) => `${index} ${each}`)
        .join(", ")}${names.length > 12 ? ", ..." : ""}`,
    );
  const fitted = fitTensors(inputs, tensors, options);
  if (where !== undefined) {
    for (const { name, range } of inputs) {
      const tensor = fitted.find((each) => each.name === name)?.tensor;
      if (tensor !== undefined)
        checkRange(name, tensor.values(), tensor.dims[0] ?? 1, range, (row) => where("labels", row));
    }
  }
  return datasetFor(inputs, fitted, options);
}
