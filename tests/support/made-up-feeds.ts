import { Tensor } from "onnxruntime-node";
import { DataType } from "../../src/entries/graph.ts";
import type { Model } from "../../src/index.ts";

/** Samples where the batch is open. */
const BATCH = 2;

/** Inputs of a net: floats up to a size, and the first whole numbers. @param special the first numbers of the first input */
export function madeUpFeeds(
  net: Model,
  size: number,
  special: readonly number[] = [],
): Readonly<Record<string, Tensor>> {
  const feeds = net.graph.inputs.map(({ name, type }, seed) => {
    if (type?.kind !== "tensor") throw new Error(`${name} is no tensor`);
    const dims = (type.shape ?? []).map((each) => (typeof each === "number" ? each : BATCH));
    const places = Array.from({ length: dims.reduce((product, each) => product * each, 1) }, (_, at) => at);
    if (type.dtype === DataType.int64) {
      return [name, new Tensor("int64", BigInt64Array.from(places, BigInt), dims)] as const;
    }
    const numbers = Float32Array.from(places, (at) => Math.sin(at * 12.9898 + seed) * size);
    if (seed === 0) numbers.set(special);
    return [name, new Tensor("float32", numbers, dims)] as const;
  });
  return Object.fromEntries(feeds);
}
