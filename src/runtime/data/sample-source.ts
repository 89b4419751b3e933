import type { NamedTensor } from "../../graph/attribute.ts";

/** What a sample may depend on beside its number. */
export interface Moment {
  readonly seed: number;
  readonly epoch: number;
}

/** Samples that are read when a batch needs them. */
export interface SampleSource {
  /** The inputs that it gives. */
  readonly names: readonly string[];
  /** What the samples of these inputs take in memory, each. */
  readonly sampleBytes: number;
  /** What tells these samples from others: names, sizes and times of their files, and how they become inputs. */
  readonly identity: () => Promise<string>;
  /** The tensors of these samples, as the model takes them, along the first axis in the order asked for. */
  readonly read: (samples: Uint32Array, moment: Moment) => Promise<readonly NamedTensor[]>;
}

/** Only some samples of a source, numbered by their places in `samples`. */
export const subsetOf = (source: SampleSource, samples: Uint32Array): SampleSource => ({
  ...source,
  identity: async () =>
    `${await source.identity()}, ${samples.length} of them: ${samples.reduce((hash, sample) => Math.imul(hash ^ sample, 16777619), 2166136261)}`,
  read: (entries, moment) =>
    source.read(
      entries.map((entry) => samples[entry] ?? 0),
      moment,
    ),
});
