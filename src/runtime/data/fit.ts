import { OPTIONS, requireArgument } from "../../arguments.ts";
import { INPUT_SPECS, type InputSpec } from "../../artifacts/ort-artifacts.ts";
import { DataError, UsageError } from "../../errors.ts";
import { NAMED_TENSORS, type NamedTensor } from "../../graph/attribute.ts";
import { DataType, dataTypeName, type TypedArray } from "../../graph/data-type.ts";
import { fromBfloat, fromHalf } from "../../graph/half.ts";
import { Tensor } from "../../graph/tensor.ts";
import { fitShape } from "./fit-shape.ts";
import {
  MomentSums,
  type Normalization,
  type NormalizationNumbers,
  normalizationOption,
  normalizationTold,
  normalize,
} from "./normalize.ts";

/** How data become what a model takes. */
export interface FitOptions {
  /** What numbers of samples are multiplied by. Default: 1/255 for images of bytes that become floats, else 1. */
  readonly scale?: number;
  /** Per channel, after scaling: (x - mean) / std, of the data themselves or as given. Default: none. */
  readonly normalize?: Normalization;
  /** Told once of each thing that was chosen. */
  readonly tell?: (note: string) => void;
}

/** With who is told of each input's mean and deviation that were computed. */
export interface FitTold extends FitOptions {
  readonly computed?: (input: string, moments: NormalizationNumbers) => void;
}

const LABEL = /^(labels?|targets?)$/;

/** Whether a tensor of data is called as labels are: as columns of tables too. */
export const isCalledLabel = (name: string): boolean => /^(labels?|class(es)?|targets?|y)$/i.test(name);
/** Labels of another kind beside them, as CIFAR-100 has: no samples. */
const OTHER_LABELS = /_labels$/;

/** Element types whose values are numbers in memory; float16 and its kin are bit patterns there. */
const NUMERIC = new Map<number, new (size: number) => TypedArray>([
  [DataType.float, Float32Array],
  [DataType.double, Float64Array],
  [DataType.int8, Int8Array],
  [DataType.uint8, Uint8Array],
  [DataType.int16, Int16Array],
  [DataType.uint16, Uint16Array],
  [DataType.int32, Int32Array],
  [DataType.uint32, Uint32Array],
  [DataType.int64, BigInt64Array],
  [DataType.uint64, BigUint64Array],
]);

/** Those, and what number bits of theirs are. */
const HALVES = new Map<number, (bits: number) => number>([
  [DataType.float16, fromHalf],
  [DataType.bfloat16, fromBfloat],
]);

const isFloat = (dtype: number): boolean => dtype === DataType.float || dtype === DataType.double;

/**
 * Gives the tensors of a file the names, element types and shapes of a model's inputs, where there is one way to do it. What
 * does not fit stays as it is: `datasetFor` refuses it by name.
 * @throws DataError `E_DATA` for numbers that another type cannot hold
 */
export function fitTensors(
  inputs: readonly InputSpec[],
  tensors: readonly NamedTensor[],
  options: FitTold = {},
): readonly NamedTensor[] {
  requireArgument("inputs", inputs, INPUT_SPECS);
  requireArgument("tensors", tensors, NAMED_TENSORS);
  requireArgument("options", options, OPTIONS);
  const tell = options.tell ?? (() => undefined);
  const pairs = pairInputs(inputs, tensors, tell);
  const [given] = (["scale", "normalize"] as const).filter((name) => options[name] !== undefined);
  if (given !== undefined && pairs.size > 0 && ![...pairs].some(([input, { tensor }]) => isScaled(input, tensor))) {
    throw new UsageError("E_OPTION", `--${given} (${given}) is for samples of floats, and no input takes such`, {
      field: given,
    });
  }
  const used = new Set([...pairs.values()]);
  const others = tensors.filter((each) => !used.has(each));
  return [
    ...others,
    ...[...pairs].map(([input, { tensor }]) => ({ name: input.name, tensor: fitTensor(input, tensor, options, tell) })),
  ];
}

/** Whether an input is one of labels: by its name, or because a loss takes it for classes. */
export const isLabelInput = ({ name, range }: InputSpec): boolean => LABEL.test(name) || /class/.test(range?.of ?? "");

/** By name; what is left by what it is, where that is clear: labels to labels, the one other tensor to the one other input. */
export function pairInputs(
  inputs: readonly InputSpec[],
  tensors: readonly NamedTensor[],
  tell: (note: string) => void,
): ReadonlyMap<InputSpec, NamedTensor> {
  const pairs = new Map<InputSpec, NamedTensor>();
  for (const input of inputs) {
    const same = tensors.find(({ name }) => name === input.name);
    if (same !== undefined) pairs.set(input, same);
  }
  for (const isLabel of [true, false]) {
    const taken = new Set(pairs.values());
    const open = inputs.filter((input) => !pairs.has(input) && isLabelInput(input) === isLabel);
    const free = tensors.filter((each) => !taken.has(each) && !OTHER_LABELS.test(each.name));
    const left = free.filter(({ name }) => (isLabel ? isCalledLabel(name) : !LABEL.test(name)));
    const [input, tensor] = [open[0], left[0]];
    if (input === undefined || tensor === undefined || open.length > 1 || left.length > 1) continue;
    pairs.set(input, tensor);
    tell(`"${tensor.name}" of the data is the model's "${input.name}"`);
  }
  return pairs;
}

/** Whether scale and normalization are for it. */
export const isScaled = ({ name, dtype }: InputSpec, tensor: Tensor): boolean =>
  !LABEL.test(name) && isFloat(dtype) && (NUMERIC.has(tensor.dtype) || HALVES.has(tensor.dtype));

/** One tensor as an input takes it. @throws DataError `E_DATA` for numbers that another type cannot hold */
export function fitTensor(input: InputSpec, tensor: Tensor, options: FitTold, tell: (note: string) => void): Tensor {
  const { name, dtype } = input;
  const shaped = fitShape(input, tensor, tell);
  if (!isScaled(input, shaped)) return converted(input, shaped, tell);
  const isImage = shaped.dtype === DataType.uint8 && shaped.dims.length >= 3;
  const scale = options.scale ?? (isImage ? 1 / 255 : 1);
  if (scale === 1 && options.normalize === undefined) return converted(input, shaped, tell);
  const floats = converted(input, shaped, () => undefined);
  const values = floats.realValues().slice();
  if (scale !== 1) {
    for (let index = 0; index < values.length; index++) values[index] = (values[index] ?? 0) * scale;
    const factor = scale === 1 / 255 ? "1/255" : String(scale);
    const way = options.scale === undefined ? " (--scale 1 leaves them)" : "";
    tell(`"${name}": ${dataTypeName(shaped.dtype)} to ${dataTypeName(dtype)}, times ${factor}${way}`);
  }
  if (options.normalize !== undefined) {
    const isComputed = options.normalize === "computed";
    const moments = options.normalize === "computed" ? momentsOf(name, values, floats.dims) : options.normalize;
    normalize(values, floats.dims, moments);
    tell(`"${name}": ${normalizationTold(moments)}${isComputed ? " (mean and deviation of these data)" : ""}`);
    const again = isComputed ? normalizationOption(moments) : null;
    if (again !== null) tell(`"${name}": ${again}`);
    if (isComputed) options.computed?.(name, moments);
  }
  return Tensor.from(dtype, floats.dims, values);
}

function momentsOf(name: string, values: ArrayLike<number>, dims: readonly number[]): NormalizationNumbers {
  const sums = new MomentSums(name);
  sums.add(values, dims);
  return sums.moments;
}

/** Every number of 16 bits is one of 32. */
function widened(name: string, dtype: number, tensor: Tensor, tell: (note: string) => void): Tensor {
  const numberOf = HALVES.get(tensor.dtype) ?? Number;
  const bits = tensor.values();
  const values = Float64Array.from({ length: bits.length }, (_, index) => numberOf(Number(bits[index])));
  tell(`"${name}": ${dataTypeName(tensor.dtype)} to ${dataTypeName(dtype)}`);
  return Tensor.from(dtype, tensor.dims, dtype === DataType.double ? values : Float32Array.from(values));
}

/** As it is where classes or rows are no whole numbers: of those the range is told. @throws DataError `E_DATA` where a number cannot be held */
function converted({ name, dtype, range }: InputSpec, tensor: Tensor, tell: (note: string) => void): Tensor {
  const Target = NUMERIC.get(dtype);
  if (isFloat(dtype) && HALVES.has(tensor.dtype)) return widened(name, dtype, tensor, tell);
  const isBoolean = tensor.dtype === DataType.bool;
  if (tensor.dtype === dtype || Target === undefined || !(isBoolean || NUMERIC.has(tensor.dtype))) return tensor;
  const from = tensor.values();
  const to = new Target(from.length);
  const isBig = to instanceof BigInt64Array || to instanceof BigUint64Array;
  for (let index = 0; index < from.length; index++) {
    const value = from[index] ?? 0;
    const isWhole = typeof value === "bigint" || Number.isInteger(value);
    if (isBig) to[index] = isWhole ? BigInt(value) : 0n;
    else to[index] = Number(value);
    const isHeld = isFloat(dtype)
      ? isFloat(tensor.dtype) || Number(to[index]) === Number(value)
      : isWhole && BigInt(to[index] ?? 0) === BigInt(value);
    if (isHeld) continue;
    if (range !== undefined) return tensor;
    throw new DataError(
      "E_DATA",
      `"${name}" is ${dataTypeName(dtype)}, which cannot hold ${value} of sample ${Math.floor(index / (from.length / (tensor.dims[0] ?? 1)))}`,
      {
        field: name,
      },
    );
  }
  tell(`"${name}": ${dataTypeName(tensor.dtype)} to ${dataTypeName(dtype)}`);
  return Tensor.from(dtype, tensor.dims, to);
}
