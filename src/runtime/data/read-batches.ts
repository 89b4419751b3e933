import { NUMBER, requireArgument } from "../../arguments.ts";
import type { NamedTensor } from "../../graph/attribute.ts";
import { toOrtTensor } from "../feeds.ts";
import type { NamedTensors } from "../session.ts";
import { augmented, drawAll, partnersOf } from "./augment.ts";
import { A_DATASET, BATCHING, type BatchOptions, type Dataset, gather, samplesOfBatches } from "./dataset.ts";

/** What batches that are read ahead may take. */
const AHEAD_BYTES = 64 * 2 ** 20;
const MOST_AHEAD = 32;

/**
 * The batches of one epoch, as feeds, from batch `first` on: as `batches` gives them, and of data that are not in memory too. Those are
 * read ahead, beside the steps. Augmentation, where the options ask for it, depends on seed, epoch and sample alone.
 * @throws what reading the files throws; UsageError `E_OPTION` where the augmentation does not fit the data
 */
export async function* readBatches(
  dataset: Dataset,
  epoch: number,
  options: BatchOptions,
  first = 0,
): AsyncGenerator<NamedTensors, void, undefined> {
  requireArgument("dataset", dataset, A_DATASET);
  requireArgument("epoch", epoch, NUMBER);
  requireArgument("options", options, BATCHING);
  const { source } = dataset;
  let index = 0;
  if (source === undefined) {
    for (const samples of samplesOfBatches(dataset, epoch, options))
      if (index++ >= first) yield await feedsOf(dataset, samples, epoch, options);
    return;
  }
  const bytes = Math.max(1, source.sampleBytes * options.batchSize);
  const depth = Math.max(2, Math.min(MOST_AHEAD, Math.floor(AHEAD_BYTES / bytes)));
  const pending: Promise<NamedTensors>[] = [];
  for (const samples of samplesOfBatches(dataset, epoch, options)) {
    if (index++ < first) continue;
    const next = feedsOf(dataset, samples, epoch, options);
    /** It is awaited when its turn comes: until then a failure is nobody's. */
    next.catch(() => undefined);
    pending.push(next);
    if (pending.length > depth) yield await (pending.shift() as Promise<NamedTensors>);
  }
  for (const next of pending) yield await next;
}

async function feedsOf(
  dataset: Dataset,
  samples: Uint32Array,
  epoch: number,
  { seed, augment }: BatchOptions,
): Promise<NamedTensors> {
  const tensors = await tensorsOf(dataset, samples, { seed, epoch });
  const changed = augment === undefined ? tensors : await augmentBatch();
  return Object.fromEntries(
    [...changed, ...(dataset.constants ?? [])].map(({ name, tensor }) => [name, toOrtTensor(tensor, name)]),
  );

  async function augmentBatch(): Promise<readonly NamedTensor[]> {
    const chosen = augment ?? {};
    const draws = drawAll(chosen, samples, seed, epoch);
    if (chosen.mixup === undefined) return augmented(tensors, null, draws, chosen);
    const others = partnersOf(samples, dataset.size, seed, epoch);
    const mixed = await tensorsOf(dataset, others, { seed, epoch });
    return augmented(tensors, mixed, draws, chosen);
  }
}

async function tensorsOf(
  { tensors, axes, source }: Dataset,
  samples: Uint32Array,
  moment: { readonly seed: number; readonly epoch: number },
): Promise<readonly NamedTensor[]> {
  const read = source === undefined ? [] : await source.read(samples, moment);
  return [
    ...tensors.map(({ name, tensor }) => ({ name, tensor: gather(tensor, samples, axes?.[name] ?? 0) })),
    ...read,
  ];
}
