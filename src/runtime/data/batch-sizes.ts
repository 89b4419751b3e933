import { NUMBER, requireArgument } from "../../arguments.ts";
import { INPUT_SPECS, type InputSpec } from "../../artifacts/ort-artifacts.ts";
import { isNameless } from "../../graph/value-type.ts";
import { A_DATASET, type Dataset } from "./dataset.ts";

/**
 * The sizes that batches of a dataset have where a model's inputs leave them open, by the names of the sizes, as
 * `TrainingSession.create` takes them. Left out are sizes without a name, those of samples that are read when a batch needs them, and names
 * that stand for different sizes in the data.
 * @param batchSize samples of a batch, where there are so many
 */
export function sizesOfBatches(
  inputs: readonly InputSpec[],
  dataset: Dataset,
  batchSize: number,
): Readonly<Record<string, number>> {
  requireArgument("inputs", inputs, INPUT_SPECS);
  requireArgument("dataset", dataset, A_DATASET);
  requireArgument("batchSize", batchSize, NUMBER);
  const { tensors, constants = [], axes = {}, source } = dataset;
  const sizes = new Map<string, number | null>();
  const samples = Math.min(batchSize, dataset.size);
  for (const { name, shape } of inputs) {
    const constant = constants.find((each) => each.name === name);
    const held = constant ?? tensors.find((each) => each.name === name);
    if (held === undefined && source?.names.includes(name) !== true) continue;
    const sampleAxis = constant === undefined ? (axes[name] ?? 0) : -1;
    for (const [axis, dim] of (shape ?? []).entries()) {
      const size = axis === sampleAxis ? samples : held?.tensor.dims[axis];
      if (typeof dim !== "string" || isNameless(dim) || size === undefined || size === 0) continue;
      const before = sizes.get(dim);
      sizes.set(dim, before === undefined || before === size ? size : null);
    }
  }
  return Object.fromEntries([...sizes].filter((entry): entry is [string, number] => entry[1] !== null));
}
