import type { Tensor } from "onnxruntime-common";
import { type Kind, NUMBER, OPTIONS, requireArgument, TEXT, withFields } from "../../arguments.ts";
import { INPUT_SPECS, type InputSpec } from "../../artifacts/ort-artifacts.ts";
import { DataError } from "../../errors.ts";
import { NAMED_TENSORS, type NamedTensor } from "../../graph/attribute.ts";
import { A_TENSOR, Tensor as GraphTensor } from "../../graph/tensor.ts";
import { fromOrtTensor, ORT_TENSOR, toOrtTensor } from "../feeds.ts";
import { permutation } from "../random.ts";
import type { NamedTensors } from "../session.ts";
import { checkRange } from "../value-range.ts";

/** Training data in memory: one tensor per model input, samples along the first axis. */
export interface Dataset {
  readonly tensors: readonly NamedTensor[];
  /** Number of samples. */
  readonly size: number;
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

/**
 * Takes the tensors a model needs out of those a data file has.
 * @throws DataError `E_DATA` where one is missing or the numbers of samples differ; `E_INDEX` for classes and rows that
 *   the model does not have
 */
export function datasetFor(inputs: readonly InputSpec[], tensors: DataTensors): Dataset {
  requireArgument("inputs", inputs, INPUT_SPECS);
  requireArgument("tensors", tensors, DATA_TENSORS);
  const byName = new Map(named(tensors).map((each) => [each.name, each]));
  const used = inputs.map(({ name }) => {
    const found = byName.get(name);
    if (found === undefined) {
      const has = [...byName.keys()].map((each) => `"${each}"`).join(", ") || "nothing";
      throw new DataError("E_DATA", `the data have no tensor "${name}", which the model takes; they have ${has}`, {
        field: name,
        hint: "Name the tensors of the data file after the model's inputs.",
      });
    }
    if (found.tensor.dims.length === 0) {
      throw new DataError("E_DATA", `"${name}" is a scalar; samples must lie along its first axis`, { field: name });
    }
    return found;
  });
  const [first] = used;
  if (first === undefined) throw new DataError("E_DATA", "the model takes no inputs");
  const size = first.tensor.dims[0] ?? 0;
  const other = used.find(({ tensor }) => tensor.dims[0] !== size);
  if (other !== undefined) {
    throw new DataError("E_DATA", `"${first.name}" has ${size} samples, "${other.name}" has ${other.tensor.dims[0]}`, {
      field: other.name,
    });
  }
  if (size === 0) throw new DataError("E_DATA", "the data have no samples");
  for (const { name, range } of inputs) {
    const tensor = byName.get(name)?.tensor;
    if (tensor !== undefined && range !== undefined) checkRange(name, tensor.values(), size, range);
  }
  return { tensors: used, size };
}

export interface BatchOptions {
  readonly batchSize: number;
  readonly shuffle: boolean;
  readonly seed: number;
  /** Leave out the last batch of an epoch where it has fewer than `batchSize` samples. */
  readonly dropLast: boolean;
}

/** Number of batches of one epoch. */
export function batchCount(
  dataset: Dataset,
  { batchSize, dropLast }: Pick<BatchOptions, "batchSize" | "dropLast">,
): number {
  return dropLast ? Math.floor(dataset.size / batchSize) : Math.ceil(dataset.size / batchSize);
}

/** The batches of one epoch, as feeds. Without shuffling in file order. */
export function batches(dataset: Dataset, epoch: number, options: BatchOptions): Generator<NamedTensors> {
  requireArgument("dataset", dataset, A_DATASET);
  requireArgument("epoch", epoch, NUMBER);
  requireArgument("options", options, BATCHING);
  return generateBatches(dataset, epoch, options);
}

const BATCHING: Kind = withFields({ batchSize: NUMBER }, "options: { batchSize, shuffle, seed, dropLast }");

function* generateBatches(dataset: Dataset, epoch: number, options: BatchOptions): Generator<NamedTensors> {
  const order = options.shuffle ? permutation(dataset.size, options.seed, epoch) : null;
  for (let batch = 0; batch < batchCount(dataset, options); batch++) {
    const begin = batch * options.batchSize;
    const end = Math.min(begin + options.batchSize, dataset.size);
    const rows = order?.subarray(begin, end) ?? Uint32Array.from({ length: end - begin }, (_, index) => begin + index);
    yield Object.fromEntries(
      dataset.tensors.map(({ name, tensor }) => [name, toOrtTensor(gatherRows(tensor, rows), name)]),
    );
  }
}

/** The given rows of a tensor's first axis, copied. */
function gatherRows(tensor: GraphTensor, rows: Uint32Array): GraphTensor {
  const [, ...shape] = tensor.dims;
  const width = shape.reduce((size, dim) => size * dim, 1);
  const values = tensor.values();
  const gathered = values.slice(0, rows.length * width);
  for (const [index, row] of rows.entries()) {
    gathered.set(values.subarray(row * width, (row + 1) * width) as never, index * width);
  }
  return GraphTensor.from(tensor.dtype, [rows.length, ...shape], gathered);
}
