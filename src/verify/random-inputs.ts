import { Tensor } from "onnxruntime-common";
import { uniformFloat32 } from "pure-rand/distribution/uniformFloat32";
import { xoroshiro128plus } from "pure-rand/generator/xoroshiro128plus";
import { DataType } from "../graph/data-type.ts";
import type { Graph } from "../graph/graph.ts";
import { formatType } from "../graph/value-type.ts";
import type { NamedTensors } from "../runtime/session.ts";

/** What an unknown or symbolic dimension is taken to be. */
const SYMBOLIC_SIZE = 3;

/** The generator's first numbers are nearly the same for all small seeds: scalars would all be 1. */
const SKIPPED = 16;

/** Uniform in [-1, 1). */
export function randomValues(size: number, seed: number): Float64Array {
  const random = xoroshiro128plus(Math.imul(seed + 1, 0x9e3779b1));
  for (let skipped = 0; skipped < SKIPPED; skipped++) uniformFloat32(random);
  return Float64Array.from({ length: size }, () => 2 * uniformFloat32(random) - 1);
}

type Make = (values: Float64Array, dims: number[]) => Tensor;

/** Floats from 0 to 1, so that square roots of second moments are numbers; integers 0 and 1, which any label or index may be. */
const MAKERS = new Map<number, Make>([
  [DataType.float, (values, dims) => new Tensor("float32", Float32Array.from(values, Math.abs), dims)],
  [DataType.double, (values, dims) => new Tensor("float64", Float64Array.from(values, Math.abs), dims)],
  [
    DataType.int64,
    (values, dims) =>
      new Tensor(
        "int64",
        BigInt64Array.from(values, (value) => (value > 0 ? 1n : 0n)),
        dims,
      ),
  ],
  [
    DataType.int32,
    (values, dims) =>
      new Tensor(
        "int32",
        Int32Array.from(values, (value) => (value > 0 ? 1 : 0)),
        dims,
      ),
  ],
  [
    DataType.bool,
    (values, dims) =>
      new Tensor(
        "bool",
        Uint8Array.from(values, (value) => (value > 0 ? 1 : 0)),
        dims,
      ),
  ],
]);

/** Seeded values for every input of a graph that has to be fed, or why there are none. */
export function randomInputs(graph: Graph, seed: number): NamedTensors | string {
  const feeds: [string, Tensor][] = [];
  for (const [index, { name, type, tensor }] of graph.inputs.entries()) {
    if (tensor !== null) continue;
    const make = type?.kind === "tensor" ? MAKERS.get(type.dtype) : undefined;
    if (type?.kind !== "tensor" || make === undefined) return `its input "${name}" is ${formatType(type)}`;
    const dims = (type.shape ?? []).map((dim) => (typeof dim === "number" ? dim : SYMBOLIC_SIZE));
    const size = dims.reduce((product, dim) => product * dim, 1);
    feeds.push([name, make(randomValues(size, seed + index), dims)]);
  }
  return Object.fromEntries(feeds);
}
