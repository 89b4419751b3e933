import { NUMBER, requireArgument } from "../../arguments.ts";
import { DataError, requireOption } from "../../errors.ts";
import { permutation } from "../random.ts";
import { A_DATASET, type Dataset, gather } from "./dataset.ts";
import { subsetOf } from "./sample-source.ts";

/** No epoch has this number: the samples that are kept apart do not depend on the order of any. */
const APART = -2;

/**
 * Keeps part of the samples apart, chosen at random, the same for the same seed. Both parts keep the order of the data.
 * @param fraction of the samples, between 0 and 1; at least one is kept apart
 * @throws UsageError `E_OPTION` for another fraction; DataError `E_DATA` where one part would be empty
 */
export function splitDataset(
  dataset: Dataset,
  fraction: number,
  seed = 0,
): { readonly training: Dataset; readonly validation: Dataset } {
  requireArgument("dataset", dataset, A_DATASET);
  requireArgument("fraction", fraction, NUMBER);
  requireArgument("seed", seed, NUMBER);
  requireOption(fraction > 0 && fraction < 1, "fraction", "between 0 and 1");
  const count = Math.max(1, Math.round(fraction * dataset.size));
  if (count >= dataset.size)
    throw new DataError("E_DATA", `${dataset.size} samples cannot be split: one part would be empty`);
  const order = permutation(dataset.size, seed, APART);
  const [apart, rest] = [order.subarray(0, count).toSorted(), order.subarray(count).toSorted()];
  return { training: pick(dataset, rest), validation: pick(dataset, apart) };
}

const pick = (dataset: Dataset, samples: Uint32Array): Dataset => ({
  ...dataset,
  ...(dataset.source === undefined ? {} : { source: subsetOf(dataset.source, samples) }),
  size: samples.length,
  tensors: dataset.tensors.map(({ name, tensor }) => ({
    name,
    tensor: gather(tensor, samples, dataset.axes?.[name] ?? 0),
  })),
});
