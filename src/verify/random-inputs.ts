import { Tensor } from "onnxruntime-common";
import { uniformFloat32 } from "pure-rand/distribution/uniformFloat32";
import { xoroshiro128plus } from "pure-rand/generator/xoroshiro128plus";
import { DataType } from "../graph/data-type.ts";
import type { Graph, Value } from "../graph/graph.ts";
import { toHalf } from "../graph/half.ts";
import type { ValueRange } from "../graph/value-range.ts";
import { formatType } from "../graph/value-type.ts";
import { evaluate } from "../ops/inference/named-sizes.ts";
import type { NamedTensors } from "../runtime/session.ts";

/** What an unknown or symbolic dimension is taken to be. */
const SYMBOLIC_SIZE = 3;

/** The generator's first numbers are nearly the same for all small seeds: scalars would all be 1. */
const SKIPPED = 16;

/** So many numbers are drawn; larger tensors repeat them. A prime: the rows of a matrix are not the same. */
const PERIOD = 65_521;

/** Uniform in [-1, 1). */
export function randomValues(size: number, seed: number): Float64Array {
  return repeated(Float64Array, size, drawn(size, seed));
}

/** The same as float32, each made what `make` says. */
export function randomFloats(size: number, seed: number, make: (value: number) => number): Float32Array {
  return repeated(Float32Array, size, Float32Array.from(drawn(size, seed), make));
}

function drawn(size: number, seed: number): Float64Array {
  const random = xoroshiro128plus(Math.imul(seed + 1, 0x9e3779b1));
  for (let skipped = 0; skipped < SKIPPED; skipped++) uniformFloat32(random);
  return Float64Array.from({ length: Math.min(size, PERIOD) }, () => 2 * uniformFloat32(random) - 1);
}

function repeated<Values extends Float32Array | Float64Array>(
  make: new (size: number) => Values,
  size: number,
  values: Values,
): Values {
  if (values.length === size) return values;
  const all = new make(size);
  for (let begin = 0; begin < size; begin += values.length) {
    all.set(begin + values.length <= size ? values : values.subarray(0, size - begin), begin);
  }
  return all;
}

type Make = (size: number, seed: number, dims: number[]) => Tensor;

/** Floats from 0 to 1, so that square roots of second moments are numbers; integers 0 and 1, which any label or index may be. */
const MAKERS = new Map<number, Make>([
  [DataType.float, (size, seed, dims) => new Tensor("float32", randomFloats(size, seed, Math.abs), dims)],
  [DataType.double, (size, seed, dims) => new Tensor("float64", randomValues(size, seed).map(Math.abs), dims)],
  [
    DataType.float16,
    (size, seed, dims) =>
      new Tensor(
        "float16",
        Uint16Array.from(randomValues(size, seed), (value) => toHalf(Math.abs(value))),
        dims,
      ),
  ],
  [
    DataType.int64,
    (size, seed, dims) =>
      new Tensor(
        "int64",
        BigInt64Array.from(bits(size, seed), (bit) => BigInt(bit)),
        dims,
      ),
  ],
  [DataType.int32, (size, seed, dims) => new Tensor("int32", Int32Array.from(bits(size, seed)), dims)],
  [DataType.int8, (size, seed, dims) => new Tensor("int8", Int8Array.from(bits(size, seed)), dims)],
  [DataType.uint8, (size, seed, dims) => new Tensor("uint8", bits(size, seed), dims)],
  [DataType.bool, (size, seed, dims) => new Tensor("bool", bits(size, seed), dims)],
]);

const bits = (size: number, seed: number): Uint8Array =>
  Uint8Array.from(randomValues(size, seed), (value) => (value > 0 ? 1 : 0));

/**
 * Seeded values for every input of a graph that has to be fed, or why there are none.
 * @param floats what makes the values of a float32 or float64 input, where it is not the numbers from 0 to 1
 */
export function randomInputs(
  graph: Graph,
  seed: number,
  floats?: (input: Value, index: number, dims: readonly number[], size: number) => Tensor,
): NamedTensors | string {
  const feeds: [string, Tensor][] = [];
  for (const [index, input] of graph.inputs.entries()) {
    const { name, type, tensor } = input;
    if (tensor !== null) continue;
    const make = type?.kind === "tensor" ? MAKERS.get(type.dtype) : undefined;
    if (type?.kind !== "tensor" || make === undefined) return `its input "${name}" is ${formatType(type)}`;
    const dims = (type.shape ?? []).map((dim) => evaluate(dim, () => SYMBOLIC_SIZE) ?? SYMBOLIC_SIZE);
    const size = dims.reduce((product, dim) => product * dim, 1);
    const isFloat = type.dtype === DataType.float || type.dtype === DataType.double;
    const made = isFloat && floats !== undefined ? floats(input, index, dims, size) : make(size, seed + index, dims);
    feeds.push([name, made]);
  }
  return Object.fromEntries(feeds);
}

/** The same, with no whole number beyond the last place of the tensor that a model looks it up in. */
export function withinRanges(feeds: NamedTensors, ranges: ReadonlyMap<string, ValueRange>): Record<string, Tensor> {
  const limited = ([name, tensor]: [string, Tensor]): [string, Tensor] => {
    const { data, dims } = tensor;
    const most = ranges.get(name)?.greatest;
    if (most === undefined) return [name, tensor];
    if (data instanceof BigInt64Array)
      return [
        name,
        new Tensor(
          "int64",
          data.map((value) => (value > most ? BigInt(most) : value)),
          dims,
        ),
      ];
    return data instanceof Int32Array
      ? [
          name,
          new Tensor(
            "int32",
            data.map((value) => Math.min(value, most)),
            dims,
          ),
        ]
      : [name, tensor];
  };
  return Object.fromEntries(Object.entries(feeds).map(limited));
}
