import type { Tensor } from "onnxruntime-common";
import { type Kind, NUMBER, requireArgument, withFields } from "../../arguments.ts";
import { INPUT_SPECS, type InputSpec } from "../../artifacts/ort-artifacts.ts";
import { DataError, UsageError } from "../../errors.ts";
import { NAMED_TENSORS, type NamedTensor } from "../../graph/attribute.ts";
import { dataTypeName, layoutOf } from "../../graph/data-type.ts";
import { Tensor as GraphTensor } from "../../graph/tensor.ts";
import { FEEDS } from "../feeds.ts";
import type { Dataset } from "./dataset.ts";

/** How the tensors of a dataset become the inputs of a model. */
export interface DatasetOptions {
  /**
   * Inputs that are the same for every batch, by name: a tensor, or a number that fills the input's shape. An axis of open size
   * is then as long as the batch. Default: none, but for inputs that are scalars.
   */
  readonly constants?: Readonly<Record<string, number | GraphTensor | Tensor>>;
  /** The axis along which an input has its samples, where it is not the first, by name: 1 for a state of shape [layers, N, size]. */
  readonly sampleAxes?: Readonly<Record<string, number>>;
}

/** What to do with an input that has no samples along its first axis. */
export const asConstant = (name: string, value: string | number = "<file or value>"): string =>
  `if it is the same for every batch: --input ${name}=constant:${value} (constants)`;

/** @throws UsageError `E_OPTION` where an option names no input, or an axis that it does not have */
export function checkInputOptions(inputs: readonly InputSpec[], { constants, sampleAxes }: DatasetOptions): void {
  for (const name of [...Object.keys(constants ?? {}), ...Object.keys(sampleAxes ?? {})]) {
    if (inputs.some((spec) => spec.name === name)) continue;
    throw new UsageError("E_OPTION", `the model has no input "${name}"`, {
      field: name,
      hint: `It takes ${inputs.map((spec) => spec.name).join(", ")}.`,
    });
  }
  for (const [name, axis] of Object.entries(sampleAxes ?? {})) {
    const rank = inputs.find((spec) => spec.name === name)?.shape?.length ?? Number.POSITIVE_INFINITY;
    if (Number.isSafeInteger(axis) && axis >= 0 && axis < rank) continue;
    const axes = rank === 0 ? "it is a scalar" : `its axes count from 0${rank < 100 ? ` to ${rank - 1}` : ""}`;
    throw new UsageError("E_OPTION", `${axis} is no sample axis of "${name}": ${axes}`, { field: name });
  }
}

/** A number as a tensor of the input's shape; an axis of open size is `samples` long and said, -1 where there is none. */
export function filled(
  { name, dtype, shape }: InputSpec,
  value: number,
  samples: number,
  sampleAxis: number | undefined,
): { readonly tensor: GraphTensor; readonly axis: number } {
  const open = [...(shape ?? []).entries()].flatMap(([axis, dim]) => (typeof dim === "number" ? [] : [axis]));
  const axis = sampleAxis ?? open[0] ?? -1;
  if (shape === null || open.some((each) => each !== axis)) {
    throw new DataError(
      "E_DATA",
      `one number does not fill "${name}": its shape is ${shape === null ? "not known" : `[${shape.map((dim) => dim ?? "?").join(",")}]`}`,
      { field: name, hint: `Give it as a tensor: --input ${name}=constant:<file> (constants).` },
    );
  }
  const dims = shape.map((dim, each) => (each === axis || typeof dim !== "number" ? samples : dim));
  const ArrayType = layoutOf(dtype)?.array;
  const one = ArrayType === undefined ? null : elementsOf(ArrayType, value);
  if (one === null || Number(one[0]) !== (one instanceof Float32Array ? Math.fround(value) : value)) {
    throw new DataError("E_DATA", `"${name}" is ${dataTypeName(dtype)}, which ${value} is not`, { field: name });
  }
  const size = dims.reduce((product, dim) => product * dim, 1);
  const values = new (one.constructor as Float32ArrayConstructor)(size).fill(one[0] as number);
  return { tensor: GraphTensor.from(dtype, dims, values), axis };
}

type Elements = Float32Array | Float64Array | BigInt64Array | BigUint64Array | Int32Array;

/** One element; null for types whose elements are bit patterns, and for what is no whole number where one is needed. */
function elementsOf(ArrayType: unknown, value: number): Elements | null {
  if (ArrayType === Uint16Array) return null;
  if (ArrayType !== BigInt64Array && ArrayType !== BigUint64Array) return (ArrayType as typeof Int32Array).of(value);
  return Number.isSafeInteger(value) ? (ArrayType as typeof BigInt64Array).of(BigInt(value)) : null;
}

const A_DATASET: Kind = withFields({ tensors: NAMED_TENSORS, size: NUMBER }, "a dataset, as datasetFor gives it");

/** The batch size that the model asks for; undefined where any will do. */
export function fixedBatchSize(inputs: readonly InputSpec[], dataset: Dataset): number | undefined {
  requireArgument("inputs", inputs, INPUT_SPECS);
  requireArgument("dataset", dataset, A_DATASET);
  const { constants = [], axes = {} } = dataset;
  const dims = inputs.map(({ name, shape }) =>
    constants.some((each) => each.name === name) ? undefined : shape?.[axes[name] ?? 0],
  );
  return dims.find((dim) => typeof dim === "number");
}

/** How many samples a batch of the dataset has. */
export function samplesOf(dataset: Dataset, feeds: Readonly<Record<string, Tensor>>): number {
  requireArgument("dataset", dataset, A_DATASET);
  requireArgument("feeds", feeds, FEEDS);
  const name = dataset.tensors[0]?.name ?? dataset.source?.names[0];
  return (name !== undefined && feeds[name]?.dims[dataset.axes?.[name] ?? 0]) || 0;
}

/** Samples of each tensor must be equally many; what most have is taken for right, or the larger number. */
export function countSamples(tensors: readonly NamedTensor[], axes: Readonly<Record<string, number>>): number {
  const countOf = ({ name, tensor }: NamedTensor): number => tensor.dims[axes[name] ?? 0] ?? 0;
  const counts = tensors.map(countOf);
  const votes = (count: number): number => counts.filter((each) => each === count).length;
  const size = counts.reduce(
    (best, count) => ((votes(count) - votes(best) || count - best) > 0 ? count : best),
    counts[0] ?? 0,
  );
  const [usual, other] = [counts.indexOf(size), counts.findIndex((count) => count !== size)];
  const [right, wrong] = [tensors[usual], tensors[other]];
  if (right === undefined || wrong === undefined) return size;
  const axis = wrong.tensor.dims.indexOf(size);
  const along = `if they lie along its axis ${axis}: --sample-axis ${wrong.name}=${axis} (sampleAxes); `;
  throw new DataError("E_DATA", `"${right.name}" has ${size} samples, "${wrong.name}" has ${counts[other]}`, {
    field: wrong.name,
    hint: `Samples of "${wrong.name}": ${axis >= 0 ? along : ""}${asConstant(wrong.name)}.`,
  });
}

export const NUMBERS_BY_NAME: Kind = {
  what: "numbers by name",
  holds: (given) => given !== null && typeof given === "object" && Object.values(given).every(NUMBER.holds),
};
