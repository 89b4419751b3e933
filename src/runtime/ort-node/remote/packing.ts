import type { Tensor } from "onnxruntime-common";
import * as errors from "../../../errors.ts";
import { Tensor as GraphTensor } from "../../../graph/tensor.ts";
import { ortTensor } from "../../ort-tensor.ts";

/**
 * What structured cloning leaves of objects is their data. `pack` writes down which of our classes they were of, `unpack`
 * makes them again; everything else passes as it is.
 */

type Plain = Readonly<Record<string, unknown>>;

/** One class: how to take it apart and put it together. */
interface Packing {
  readonly is: (value: unknown) => boolean;
  readonly pack: (value: never) => unknown;
  readonly unpack: (packed: never) => unknown;
}

/** By their names in the code: a minifier calls the classes of each bundle otherwise. */
const CLASSES = new Map<
  string,
  new (
    code: string,
    message: string,
    details: errors.ErrorDetails,
  ) => errors.OnnxAgrError
>(
  Object.entries({
    BackendError: errors.BackendError,
    CheckpointError: errors.CheckpointError,
    DataError: errors.DataError,
    DistributedError: errors.DistributedError,
    FileSystemError: errors.FileSystemError,
    FormatError: errors.FormatError,
    GradientError: errors.GradientError,
    GraphError: errors.GraphError,
    NumericError: errors.NumericError,
    PassError: errors.PassError,
    UsageError: errors.UsageError,
  }),
);

const PACKINGS: Readonly<Record<string, Packing>> = {
  tensor: {
    /** The runtime's module may have a Tensor class of its own. */
    is: (value) => isPlain(value) && "type" in value && "dims" in value && "location" in value,
    pack: ({ type, dims, data }: Tensor) => ({ type, dims: [...dims], data }),
    unpack: ({ type, dims, data }: Tensor) => ortTensor(type, data, dims),
  },
  "graph-tensor": {
    is: (value) => value instanceof GraphTensor,
    pack: ({ dtype, dims, data }: GraphTensor) => ({ dtype, dims, data }),
    unpack: ({ dtype, dims, data }: GraphTensor) => new GraphTensor(dtype, dims, data),
  },
  map: {
    is: (value) => value instanceof Map,
    pack: (value: Map<unknown, unknown>) => [...value].map(([key, each]) => [key, pack(each)]),
    unpack: (entries: [unknown, unknown][]) => new Map(entries.map(([key, each]) => [key, unpack(each)])),
  },
  error: {
    is: (value) => value instanceof Error,
    pack: packError,
    unpack: unpackError,
  },
};

function packError(error: Error): Plain {
  const { name, message, stack } = error;
  const cause = error.cause instanceof Error ? packError(error.cause) : error.cause?.toString();
  if (!(error instanceof errors.OnnxAgrError)) return { name, message, stack, cause };
  const { code, file, field, hint } = error;
  return { name, message, stack, cause, code, file, field, hint };
}

interface PackedError {
  readonly name: string;
  readonly message: string;
  readonly stack?: string;
  readonly cause?: PackedError | string;
  readonly code?: string;
  readonly file?: string;
  readonly field?: string;
  readonly hint?: string;
}

function unpackError({ name, message, stack, cause: packed, code, file, field, hint }: PackedError): Error {
  const Class = CLASSES.get(name);
  const cause = typeof packed === "object" ? unpackError(packed) : packed;
  if (Class === undefined || code === undefined) {
    const error = new Error(message, cause === undefined ? {} : { cause });
    /** Where it happened is on the other side. */
    if (stack !== undefined) error.stack = stack;
    return error;
  }
  return new Class(code, message, {
    ...(cause === undefined ? {} : { cause }),
    ...(file === undefined ? {} : { file }),
    ...(field === undefined ? {} : { field }),
    ...(hint === undefined ? {} : { hint }),
  });
}

const isPlain = (value: unknown): value is Plain =>
  typeof value === "object" && value !== null && !ArrayBuffer.isView(value) && !(value instanceof ArrayBuffer);

export function pack(value: unknown): unknown {
  if (!isPlain(value)) return value;
  if (Array.isArray(value)) return value.map(pack);
  const found = Object.entries(PACKINGS).find(([, { is }]) => is(value));
  if (found !== undefined) return { packed: found[0], value: found[1].pack(value as never) };
  return { packed: "object", value: Object.entries(value).map(([key, each]) => [key, pack(each)]) };
}

export function unpack(value: unknown): unknown {
  if (!isPlain(value)) return value;
  if (Array.isArray(value)) return value.map(unpack);
  const packing = PACKINGS[String(value["packed"])];
  if (packing !== undefined) return packing.unpack(value["value"] as never);
  const entries = (value["value"] ?? []) as [string, unknown][];
  return Object.fromEntries(entries.map(([key, each]) => [key, unpack(each)]));
}
