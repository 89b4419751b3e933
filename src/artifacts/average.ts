import { CheckpointError, NumericError, requireOption, UsageError } from "../errors.ts";
import { DataType, dataTypeName } from "../graph/data-type.ts";
import { Tensor } from "../graph/tensor.ts";

/**
 * What becomes of the values that several checkpoints have for one element. `mean`, weighted; `trimmed-mean`: without the smallest
 * and the largest of them (Yin et al. 2018, arXiv 1803.01498); `median`: the middle one, or the mean of the two in the middle.
 */
export const AVERAGE_METHODS = ["mean", "trimmed-mean", "median"] as const;
export type AverageMethod = (typeof AVERAGE_METHODS)[number];

export interface AverageOptions {
  /** Default `mean`. */
  readonly method?: AverageMethod;
  /** How much each checkpoint counts: the samples it was trained with, say. For `mean` alone. Default: all the same. */
  readonly weights?: readonly number[];
  /** `trimmed-mean`: the share that is left out at either end, rounded down to whole checkpoints. Default 0.1. */
  readonly trim?: number;
}

export const AVERAGE_DEFAULTS = { method: "mean", trim: 0.1 } as const;

/** One value out of those of all checkpoints, which it may reorder. */
type Combine = (values: Float64Array) => number;

/** Checkpoints that are left out at either end. What is 7 but for a rounding, 0.07 times 100 say, is 7. */
const leftOut = (trim: number, count: number): number => Math.floor(trim * count + 1e-9);

const sumOf = (values: Float64Array): number => values.reduce((sum, value) => sum + value, 0);

const METHODS: Readonly<Record<AverageMethod, (weights: readonly number[], trim: number) => Combine>> = {
  mean: (weights) => {
    /** By the largest first: a sum of large weights may be beyond what a number holds. */
    const largest = Math.max(...weights);
    const total = weights.reduce((sum, weight) => sum + weight / largest, 0);
    const shares = weights.map((weight) => weight / largest / total);
    return (values) => values.reduce((sum, value, index) => sum + value * (shares[index] ?? 0), 0);
  },
  "trimmed-mean": ({ length }, trim) => {
    const left = leftOut(trim, length);
    return (values) => sumOf(values.sort().subarray(left, length - left)) / (length - 2 * left);
  },
  median: ({ length }) => {
    const [low, high] = [Math.floor((length - 1) / 2), Math.ceil((length - 1) / 2)];
    return (values) => {
      values.sort();
      return low === high ? (values[low] ?? Number.NaN) : ((values[low] ?? 0) + (values[high] ?? 0)) / 2;
    };
  },
};

/** @throws UsageError `E_OPTION` */
function combineOf(count: number, options: AverageOptions): Combine {
  const { method, trim } = { ...AVERAGE_DEFAULTS, ...options };
  const { weights } = options;
  if (!AVERAGE_METHODS.includes(method)) {
    throw new UsageError("E_OPTION", `there is no method "${method}"; there is ${AVERAGE_METHODS.join(", ")}`, {
      field: "method",
    });
  }
  requireOption(weights === undefined || method === "mean", "weights", "left out: they are for the method mean");
  requireOption(
    options.trim === undefined || method === "trimmed-mean",
    "trim",
    "left out: it is for the method trimmed-mean",
  );
  requireOption(trim >= 0 && trim < 0.5, "trim", "a number from 0 to below 0.5");
  if (method === "trimmed-mean" && trim > 0 && leftOut(trim, count) === 0) throw trimsNone(trim, count);
  const counted = weights ?? Array.from({ length: count }, () => 1);
  requireOption(counted.length === count, "weights", `as many as there are checkpoints, ${count}`);
  requireOption(
    counted.every((weight) => Number.isFinite(weight) && weight >= 0) && counted.some((weight) => weight > 0),
    "weights",
    "numbers from 0 on, not all 0",
  );
  return METHODS[method](counted, trim);
}

function trimsNone(trim: number, count: number): UsageError {
  const enough = Math.ceil(1000 / count) / 1000;
  return new UsageError("E_OPTION", `trim ${trim} of ${count} checkpoints leaves none out: that is the mean`, {
    field: "trim",
    hint:
      count < 3
        ? "Give three checkpoints or more, or use the method mean."
        : `Give ${enough} or more, or use the method median.`,
  });
}

export interface AveragedTensors {
  readonly tensors: ReadonlyMap<string, Tensor>;
  /** Names of those that are the same in all, bit for bit, and stay as they are. */
  readonly same: readonly string[];
}

const FLOATS: readonly number[] = [DataType.float, DataType.double];

/**
 * Averages tensors by name, in float64.
 * @param sources tensors of each checkpoint, by what an error calls it
 * @throws CheckpointError `E_CHECKPOINT_MISMATCH` where names, types or shapes differ, or elements that are not float32 or float64;
 *   NumericError `E_NOT_FINITE`; UsageError `E_OPTION`
 */
export function averageTensors(
  sources: readonly (readonly [what: string, tensors: ReadonlyMap<string, Tensor>])[],
  options: AverageOptions,
): AveragedTensors {
  const combine = combineOf(sources.length, options);
  const [first] = sources;
  if (first === undefined) throw new RangeError("there is nothing to average");
  const tensors = new Map<string, Tensor>();
  const same: string[] = [];
  for (const [what, each] of sources) {
    const other = [...each.keys()].find((name) => !first[1].has(name));
    if (other !== undefined) throw mismatch(what, `has "${other}", which ${first[0]} has not`, other);
  }
  for (const [name, tensor] of first[1]) {
    const all = sources.map(([what, each]) => alike(what, each.get(name), name, tensor, first[0]));
    const bytes = all.map((each) => Buffer.from(bytesOf(each)));
    if (bytes.every((each) => bytes[0]?.equals(each))) {
      requireNumbers(first[0], name, tensor);
      tensors.set(name, tensor);
      same.push(name);
    } else if (FLOATS.includes(tensor.dtype)) {
      tensors.set(name, averaged(name, all, sources, combine));
    } else {
      throw mismatch(sources[1]?.[0] ?? "", `has another "${name}", which is ${dataTypeName(tensor.dtype)}`, name);
    }
  }
  return { tensors, same };
}

/** Infinities that are the same in all may be meant, as in a mask; NaN never is. */
function requireNumbers(what: string, name: string, tensor: Tensor): void {
  if (FLOATS.includes(tensor.dtype) && tensor.realValues().some(Number.isNaN)) throw notFinite(name, what, Number.NaN);
}

function bytesOf(tensor: Tensor): Uint8Array {
  const values = tensor.values();
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
}

function alike(what: string, found: Tensor | undefined, name: string, like: Tensor, firstName: string): Tensor {
  if (found === undefined) throw mismatch(what, `has no "${name}", which ${firstName} has`, name);
  if (found.dtype !== like.dtype) {
    const [is, was] = [dataTypeName(found.dtype), dataTypeName(like.dtype)];
    throw mismatch(what, `has "${name}" in ${is}, ${firstName} in ${was}`, name);
  }
  if (found.dims.join() === like.dims.join()) return found;
  throw mismatch(
    what,
    `has "${name}" in the shape [${found.dims.join(",")}], ${firstName} in [${like.dims.join(",")}]`,
    name,
  );
}

function mismatch(what: string, how: string, field: string): CheckpointError {
  return new CheckpointError("E_CHECKPOINT_MISMATCH", `${what} ${how}`, {
    file: what,
    field,
    hint: "Average checkpoints that were trained from the same model.",
  });
}

function averaged(
  name: string,
  all: readonly Tensor[],
  sources: readonly (readonly [what: string, unknown])[],
  combine: Combine,
): Tensor {
  const values = all.map((tensor) => tensor.realValues());
  const [like] = values;
  if (like === undefined) throw new RangeError("there is nothing to average");
  const result = like.slice();
  const column = new Float64Array(values.length);
  for (let index = 0; index < result.length; index++) {
    for (const [at, each] of values.entries()) {
      const value = each[index] ?? Number.NaN;
      if (!Number.isFinite(value)) throw notFinite(name, sources[at]?.[0] ?? "", value);
      column[at] = value;
    }
    const value = column[0] ?? 0;
    result[index] = column.every((each) => each === value) ? value : combine(column);
  }
  return Tensor.from(all[0]?.dtype ?? DataType.float, all[0]?.dims ?? [], result);
}

function notFinite(name: string, what: string, value: number): NumericError {
  return new NumericError("E_NOT_FINITE", `${what} has ${value} in "${name}"`, {
    file: what,
    field: name,
    hint: "Leave this checkpoint out, or use an earlier one of its run.",
  });
}
