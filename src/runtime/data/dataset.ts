import type { Tensor } from "onnxruntime-common";
import { type Kind, NUMBER, OPTIONS, optional, requireArgument, TEXT, withFields } from "../../arguments.ts";
import { INPUT_SPECS, type InputSpec } from "../../artifacts/ort-artifacts.ts";
import { DataError, UsageError } from "../../errors.ts";
import { NAMED_TENSORS, type NamedTensor } from "../../graph/attribute.ts";
import { A_TENSOR, Tensor as GraphTensor } from "../../graph/tensor.ts";
import { fromOrtTensor, ORT_TENSOR, toOrtTensor } from "../feeds.ts";
import { permutation } from "../random.ts";
import type { NamedTensors } from "../session.ts";
import { checkRange } from "../value-range.ts";
import type { Augmentation } from "./augment.ts";
import {
  asConstant,
  checkInputOptions,
  countSamples,
  type DatasetOptions,
  filled,
  NUMBERS_BY_NAME,
} from "./dataset-inputs.ts";
import type { NormalizationNumbers } from "./normalize.ts";
import type { SampleSource } from "./sample-source.ts";

/** Training data: one tensor per model input, in memory or read as batches need them. */
export interface Dataset {
  /** Those with samples. */
  readonly tensors: readonly NamedTensor[];
  /** Number of samples. */
  readonly size: number;
  /** The axis along which a tensor has its samples, by name. Default 0. */
  readonly axes?: Readonly<Record<string, number>>;
  /** What every batch has as it is. Default: nothing. */
  readonly constants?: readonly NamedTensor[];
  /** The words that the numbers of a label of text stand for, in their order. Default: the label was no text. */
  readonly classes?: readonly string[];
  /** Of tables whose columns have names: those of the features, in their order. Default: they are no such tables. */
  readonly columns?: readonly string[];
  /** With `normalize: "computed"` for one input: the mean and deviation of its samples, for other data to take. */
  readonly normalization?: NormalizationNumbers;
  /** What gives the inputs whose samples are not in memory. Default: all are. */
  readonly source?: SampleSource;
}

export const A_DATASET: Kind = withFields(
  { tensors: NAMED_TENSORS, size: NUMBER },
  "a dataset, as datasetFor gives it",
);

/** Tensors for a dataset: as `readDataFile` gives them, or by name; of this package's graphs or of ONNX Runtime. */
export type DataTensors =
  | readonly { readonly name: string; readonly tensor: GraphTensor | Tensor }[]
  | Readonly<Record<string, GraphTensor | Tensor>>;

const EITHER_TENSOR: Kind = { what: "a tensor", holds: (given) => A_TENSOR.holds(given) || ORT_TENSOR.holds(given) };

const DATA_TENSORS: Kind = {
  what: 'tensors by name, { name: new Tensor("float32", data, dims) }, or what readDataFile gives',
  holds: (given) =>
    Array.isArray(given)
      ? given.every(withFields({ name: TEXT, tensor: EITHER_TENSOR }, "").holds)
      : OPTIONS.holds(given) && Object.values(given as object).every(EITHER_TENSOR.holds),
};

function named(tensors: DataTensors): readonly NamedTensor[] {
  const entries = Array.isArray(tensors)
    ? (tensors as readonly { readonly name: string; readonly tensor: GraphTensor | Tensor }[])
    : Object.entries(tensors).map(([name, tensor]) => ({ name, tensor }));
  return entries.map(({ name, tensor }) => ({
    name,
    tensor: tensor instanceof GraphTensor ? tensor : fromOrtTensor(tensor),
  }));
}

const DATASET_OPTIONS: Kind = withFields(
  {
    constants: optional({
      what: "numbers or tensors by name",
      holds: (given) =>
        OPTIONS.holds(given) &&
        Object.values(given as object).every((each) => NUMBER.holds(each) || EITHER_TENSOR.holds(each)),
    }),
    sampleAxes: optional(NUMBERS_BY_NAME),
  },
  "options: { constants: { <input>: <number or tensor> }, sampleAxes: { <input>: <axis> } }",
);

/**
 * Takes the tensors a model needs out of those a data file has.
 * @throws DataError `E_DATA` where one is missing or the numbers of samples differ; `E_INDEX` for classes and rows that
 *   the model does not have; UsageError `E_OPTION` for options that fit no input
 */
export function datasetFor(inputs: readonly InputSpec[], tensors: DataTensors, options: DatasetOptions = {}): Dataset {
  requireArgument("inputs", inputs, INPUT_SPECS);
  requireArgument("tensors", tensors, DATA_TENSORS);
  requireArgument("options", options, OPTIONS);
  requireArgument("options", options, DATASET_OPTIONS);
  checkInputOptions(inputs, options);
  const byName = new Map(named(tensors).map((each) => [each.name, each]));
  const given = new Map(Object.entries(options.constants ?? {}));
  const axes: Record<string, number> = { ...options.sampleAxes };
  const constants: NamedTensor[] = [];
  const sampled: NamedTensor[] = [];
  for (const { name, shape } of inputs) {
    const value = given.get(name);
    if (typeof value === "number") continue;
    if (value !== undefined) {
      constants.push({ name, tensor: value instanceof GraphTensor ? value : fromOrtTensor(value) });
      continue;
    }
    const found = required(byName, name);
    const isScalar = found.tensor.dims.length === 0;
    if (isScalar && shape?.length !== 0) {
      throw new DataError("E_DATA", `"${name}" is a scalar; samples must lie along its first axis`, {
        field: name,
        hint: `Give one entry per sample, or, ${asConstant(name, String(found.tensor.values()[0]))}.`,
      });
    }
    (isScalar ? constants : sampled).push(found);
  }
  if (inputs.length === 0) throw new DataError("E_DATA", "the model takes no inputs");
  if (sampled.length === 0) {
    throw new DataError("E_DATA", "no input has samples: all are the same for every batch");
  }
  const size = countSamples(sampled, axes);
  if (size === 0) throw new DataError("E_DATA", "the data have no samples");
  for (const spec of inputs) {
    const value = given.get(spec.name);
    if (typeof value !== "number") continue;
    const { tensor, axis } = filled(spec, value, size, axes[spec.name]);
    (axis < 0 ? constants : sampled).push({ name: spec.name, tensor });
    if (axis > 0) axes[spec.name] = axis;
  }
  for (const { name, range } of inputs) {
    const tensor = byName.get(name)?.tensor;
    /** Of what is not in memory, every batch is checked when it is fed. */
    if (tensor !== undefined && tensor.data.kind !== "external" && range !== undefined)
      checkRange(name, tensor.values(), size, range);
  }
  return {
    ...{ tensors: sampled, size },
    ...(Object.keys(axes).length === 0 ? {} : { axes }),
    ...(constants.length === 0 ? {} : { constants }),
  };
}

function required(tensors: ReadonlyMap<string, NamedTensor>, name: string): NamedTensor {
  const found = tensors.get(name);
  if (found !== undefined) return found;
  const has = [...tensors.keys()].map((each) => `"${each}"`).join(", ") || "nothing";
  throw new DataError("E_DATA", `the data have no tensor "${name}", which the model takes; they have ${has}`, {
    field: name,
    hint: `Name the tensors of the data file after the model's inputs; ${asConstant(name)}.`,
  });
}

export interface BatchOptions {
  readonly batchSize: number;
  readonly shuffle: boolean;
  /**
   * The samples follow one another: they are cut into as many runs as a batch has samples, and each batch has the next sample of each
   * run. Default false.
   */
  readonly sequential?: boolean;
  readonly seed: number;
  /** Leave out the last batch of an epoch where it has fewer than `batchSize` samples. */
  readonly dropLast: boolean;
  /** Which part of every batch to give. Default: all of it. */
  readonly shard?: Shard;
  /** What is done to images at random. Default: nothing. */
  readonly augment?: Augmentation;
}

/** The part of every batch that one of several ranks takes. */
export interface Shard {
  readonly rank: number;
  readonly size: number;
  /** A part is a multiple of so many samples: the batch size of a model that takes no other. */
  readonly unit: number;
}

/** The samples of a batch that a rank takes, from the first to the one after the last. Parts differ by one unit at most. */
export function partOf(samples: number, { rank, size, unit }: Shard): readonly [from: number, to: number] {
  const units = Math.ceil(samples / unit);
  const place = (part: number): number => Math.min(samples, unit * Math.floor((part * units) / size));
  return [place(rank), place(rank + 1)];
}

/** How many samples a batch of an epoch has, over all ranks. */
export function sizeOfBatch(dataset: Dataset, batch: number, batchSize: number): number {
  return Math.min(batchSize, dataset.size - batch * batchSize);
}

/** Number of batches of one epoch. */
export function batchCount(
  dataset: Dataset,
  { batchSize, dropLast }: Pick<BatchOptions, "batchSize" | "dropLast">,
): number {
  return dropLast ? Math.floor(dataset.size / batchSize) : Math.ceil(dataset.size / batchSize);
}

/**
 * The batches of one epoch, as feeds. Without shuffling in file order.
 * @throws UsageError `E_OPTION` for data that are not in memory, and for augmentation: `readBatches` does both
 */
export function batches(dataset: Dataset, epoch: number, options: BatchOptions): Generator<NamedTensors> {
  requireArgument("dataset", dataset, A_DATASET);
  requireArgument("epoch", epoch, NUMBER);
  requireArgument("options", options, BATCHING);
  if (dataset.source !== undefined || options.augment !== undefined) {
    throw new UsageError("E_OPTION", "batches gives what is in memory, as it is", { hint: "Use readBatches." });
  }
  return generateBatches(dataset, epoch, options);
}

export const BATCHING: Kind = withFields({ batchSize: NUMBER }, "options: { batchSize, shuffle, seed, dropLast }");

function* generateBatches(dataset: Dataset, epoch: number, options: BatchOptions): Generator<NamedTensors> {
  for (const samples of samplesOfBatches(dataset, epoch, options)) {
    yield Object.fromEntries([
      ...dataset.tensors.map(({ name, tensor }) => [
        name,
        toOrtTensor(gather(tensor, samples, dataset.axes?.[name] ?? 0), name),
      ]),
      ...(dataset.constants ?? []).map(({ name, tensor }) => [name, toOrtTensor(tensor, name)]),
    ]);
  }
}

/** The samples of an epoch in the order in which batches take them; null: as they lie. */
function orderOf(
  dataset: Dataset,
  epoch: number,
  { shuffle, sequential, seed, batchSize, dropLast }: BatchOptions,
): Uint32Array | null {
  if (sequential !== true) return shuffle ? permutation(dataset.size, seed, epoch) : null;
  if (dataset.size % batchSize !== 0 && !dropLast) {
    throw new DataError("E_BATCH", `${dataset.size} samples are no ${batchSize} runs of equal length`, {
      hint: "Leave out what is left with --drop-last (dropLast), or give a multiple of the batch size.",
    });
  }
  const length = Math.floor(dataset.size / batchSize);
  return Uint32Array.from(
    { length: length * batchSize },
    (_, at) => (at % batchSize) * length + Math.floor(at / batchSize),
  );
}

/** The numbers of the samples of each batch of an epoch: a function of seed and epoch. */
export function* samplesOfBatches(dataset: Dataset, epoch: number, options: BatchOptions): Generator<Uint32Array> {
  const order = orderOf(dataset, epoch, options);
  for (let batch = 0; batch < batchCount(dataset, options); batch++) {
    const first = batch * options.batchSize;
    const samples = sizeOfBatch(dataset, batch, options.batchSize);
    const [from, to] = options.shard === undefined ? [0, samples] : partOf(samples, options.shard);
    const [begin, end] = [first + from, first + to];
    yield order?.subarray(begin, end) ?? Uint32Array.from({ length: end - begin }, (_, index) => begin + index);
  }
}

/** The given entries along an axis of a tensor, copied. */
export function gather(tensor: GraphTensor, entries: Uint32Array, axis: number): GraphTensor {
  const product = (sizes: readonly number[]): number => sizes.reduce((size, dim) => size * dim, 1);
  const { dims } = tensor;
  const length = dims[axis] ?? 1;
  const width = product(dims.slice(axis + 1));
  const outer = product(dims.slice(0, axis));
  const values = tensor.values();
  const gathered = values.slice(0, outer * entries.length * width);
  for (let block = 0; block < outer; block++) {
    for (const [index, entry] of entries.entries()) {
      const from = (block * length + entry) * width;
      gathered.set(values.subarray(from, from + width) as never, (block * entries.length + index) * width);
    }
  }
  return GraphTensor.from(tensor.dtype, dims.with(axis, entries.length), gathered);
}
