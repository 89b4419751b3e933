import type { Tensor } from "onnxruntime-common";
import { type Kind, listOf, NUMBER, OPTIONS, optional, requireArgument, TEXT, withFields } from "../arguments.ts";
import type { InputSpec } from "../artifacts/ort-artifacts.ts";
import { DataError, UsageError } from "../errors.ts";
import { DataType, dataTypeName } from "../graph/data-type.ts";
import { Tensor as GraphTensor } from "../graph/tensor.ts";
import { ortTensor } from "./ort-tensor.ts";
import type { Fetches, NamedTensors, RunOptions } from "./session.ts";
import { NAMES } from "./session.ts";
import { checkRange, describeRange } from "./value-range.ts";

/** ONNX Runtime's names for element types in JavaScript. */
const ORT_TYPES = new Map<number, Tensor.Type>([
  [DataType.float, "float32"],
  [DataType.double, "float64"],
  [DataType.float16, "float16"],
  [DataType.int8, "int8"],
  [DataType.uint8, "uint8"],
  [DataType.int16, "int16"],
  [DataType.uint16, "uint16"],
  [DataType.int32, "int32"],
  [DataType.uint32, "uint32"],
  [DataType.int64, "int64"],
  [DataType.uint64, "uint64"],
  [DataType.bool, "bool"],
]);

/** A tensor for ONNX Runtime with the same elements. @throws DataError `E_DATA_TYPE` for types it does not take. */
export function toOrtTensor(tensor: GraphTensor, name: string): Tensor {
  const type = ORT_TYPES.get(tensor.dtype);
  if (type === undefined) {
    throw new DataError(
      "E_DATA_TYPE",
      `"${name}" is ${dataTypeName(tensor.dtype)}, which ONNX Runtime does not take from JavaScript`,
      {
        field: name,
      },
    );
  }
  return ortTensor(type, tensor.values() as Tensor["data"], tensor.dims);
}

/** The same elements as a tensor of the graph's kind; they are not copied. */
export function fromOrtTensor({ type, dims, data }: Tensor): GraphTensor {
  const entry = [...ORT_TYPES].find(([, name]) => name === type);
  return GraphTensor.from(entry?.[0] ?? DataType.undefined, [...dims], data as Float32Array);
}

const describe = (spec: InputSpec): string => {
  const type = ORT_TYPES.get(spec.dtype) ?? dataTypeName(spec.dtype);
  const range = spec.range === undefined ? "" : ` of ${describeRange(spec.range)}`;
  return `${type}[${(spec.shape ?? ["..."]).map((dim) => dim ?? "?").join(",")}]${range}`;
};

export const ORT_TENSOR: Kind = withFields(
  { type: TEXT, dims: listOf(NUMBER, "sizes"), data: { what: "elements", holds: (given) => given !== undefined } },
  'a Tensor as onnx-agr exports it: new Tensor("float32", data, dims)',
);

/** Tensors by name: what a step is fed with, gradients. */
export const FEEDS: Kind = {
  what: `an object of names and tensors: { name: new Tensor("float32", data, dims) }`,
  holds: (given) => OPTIONS.holds(given) && Object.values(given as object).every(ORT_TENSOR.holds),
};

/** @throws UsageError `E_ARGUMENT`; as `checkFeeds` */
export function checkBatches(specs: readonly InputSpec[], batches: unknown, rates: unknown): void {
  requireArgument("batches", batches, BATCHES);
  requireArgument("rates", rates, RATES);
  const all = batches as readonly NamedTensors[];
  const given = rates as readonly number[] | undefined;
  if (given !== undefined && given.length !== all.length) {
    throw new UsageError("E_OPTION", `${given.length} learning rates for ${all.length} steps`, { field: "rates" });
  }
  for (const feeds of all) checkFeeds(specs, feeds);
}

const ONE_NUMBER = "Give each class as one number, not as a row with a one in it: np.argmax(labels, -1).";
const BATCHES = listOf(OPTIONS, "a list of batches, each an object of names and tensors");
const A_BATCH: Kind = { ...OPTIONS, what: FEEDS.what };
const RATES = optional(listOf(NUMBER, "a list of learning rates, one per step"));

/**
 * Checks feeds against what a model takes; symbolic dimensions must agree among the inputs.
 * @throws DataError `E_FEED`, naming what was expected and what was given; `E_INDEX` for classes and rows that do not exist
 */
export function checkFeeds(specs: readonly InputSpec[], feeds: NamedTensors): void {
  requireArgument("feeds", feeds, A_BATCH);
  for (const name of Object.keys(feeds)) {
    if (!specs.some((spec) => spec.name === name)) throw unfit(specs, `the model has no input "${name}"`, name);
  }
  const symbols = new Map<string, number>();
  for (const spec of specs) {
    const { name, dtype, shape, range } = spec;
    const tensor = Object.hasOwn(feeds, name) ? feeds[name] : undefined;
    if (tensor === undefined) throw unfit(specs, `the input "${name}" is missing`, name);
    if (!ORT_TENSOR.holds(tensor)) requireArgument(`feeds["${name}"]`, tensor, ORT_TENSOR);
    if (tensor.type !== ORT_TYPES.get(dtype)) {
      throw unfit(specs, said(name, tensor), name, `Convert its elements to ${dataTypeName(dtype)}.`);
    }
    if (shape === null) continue;
    if (shape.length !== tensor.dims.length) {
      const isRow = /class/.test(range?.of ?? "") && tensor.dims.length === shape.length + 1;
      throw unfit(specs, said(name, tensor), name, isRow ? ONE_NUMBER : undefined);
    }
    for (let axis = 0; axis < shape.length; axis++) {
      const dim = tensor.dims[axis] ?? 0;
      const wanted = shape[axis];
      const expected = typeof wanted === "string" ? (symbols.get(wanted) ?? dim) : (wanted ?? dim);
      if (typeof wanted === "string") symbols.set(wanted, expected);
      if (dim !== expected) throw unfit(specs, `${said(name, tensor)}, its axis ${axis} must be ${expected}`, name);
    }
    checkRange(name, tensor.data as Float32Array, tensor.dims[0] ?? 1, range);
  }
}

const said = (name: string, { type, dims }: Tensor): string => `"${name}" is ${type}[${dims.join(",")}]`;

function unfit(specs: readonly InputSpec[], reason: string, field: string, hint?: string): DataError {
  const wanted = specs.map((spec) => `${spec.name} ${describe(spec)}`).join(", ");
  return new DataError("E_FEED", `${reason}; the model takes ${wanted}`, {
    field,
    ...(hint === undefined ? {} : { hint }),
  });
}

/** The outputs a run is to fetch, and the tensors that some of them are to be written into. */
export interface ResolvedFetches {
  readonly names: readonly string[];
  readonly into: ReadonlyMap<string, Tensor>;
}

/** A bundle may have a class of tensors of its own, so they are known by what they have. */
const isTensor = (value: unknown): value is Tensor => ORT_TENSOR.holds(value);

const FETCHES: Kind = {
  what: "a list of names of outputs, or an object of names and tensors or null",
  holds: (given) => NAMES.holds(given) || OPTIONS.holds(given),
};

/**
 * Tells fetches from run options as onnxruntime-common does: an object is fetches where one of its keys is an output whose
 * value is null or a tensor.
 * @throws DataError `E_FETCH` for names that are no outputs.
 */
export function resolveFetches(outputs: readonly string[], fetches: Fetches | RunOptions | undefined): ResolvedFetches {
  const all = { names: outputs, into: new Map<string, Tensor>() };
  if (fetches === undefined) return all;
  requireArgument("fetches", fetches, FETCHES);
  const isList = Array.isArray(fetches);
  const entries: readonly (readonly [string, unknown])[] = isList
    ? fetches.map((name: string) => [name, null])
    : Object.entries(fetches);
  const isOutput = ([name, value]: readonly [string, unknown]): boolean =>
    outputs.includes(name) && (value === null || isTensor(value));
  if (!isList && !entries.some(isOutput)) return all;
  const unknown = entries.find((entry) => !isOutput(entry));
  if (unknown !== undefined) {
    throw new DataError("E_FETCH", `there is no output "${unknown[0]}"; there is ${outputs.join(", ")}`, {
      field: unknown[0],
    });
  }
  const into = new Map(
    entries.flatMap(([name, value]): [string, Tensor][] => (isTensor(value) ? [[name, value]] : [])),
  );
  return { names: entries.map(([name]) => name), into };
}

/** The wanted outputs out of all. */
export function deliver(results: NamedTensors, { names, into }: ResolvedFetches): NamedTensors {
  return Object.fromEntries(
    names.flatMap((name): [string, Tensor][] => {
      const result = results[name];
      if (result === undefined) return [];
      const target = into.get(name);
      if (target === undefined) return [[name, result]];
      if (target.type !== result.type || target.size !== result.size) {
        throw new DataError(
          "E_FETCH",
          `"${name}" is ${result.type}[${result.dims.join(",")}], which does not fit the tensor it is to be written into`,
          {
            field: name,
          },
        );
      }
      (target.data as Float32Array).set(result.data as Float32Array);
      return [[name, target]];
    }),
  );
}
