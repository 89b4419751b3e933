import { Tensor } from "onnxruntime-node";
import { DataType, encodeModel } from "../../src/entries/graph.ts";
import type { Model } from "../../src/index.ts";
import { openSession } from "./ort.ts";
import { valuesOf } from "./tensor-values.ts";

/** Numbers by the name of the output. */
export type Results = Readonly<Record<string, readonly number[]>>;

/** All that a net of known sizes gives, as ONNX Runtime computes it: for floats up to a size, and for the first whole numbers. */
export async function allResults(net: Model, size = 2): Promise<Results> {
  const session = await openSession(encodeModel(net));
  try {
    const feeds = net.graph.inputs.map(({ name, type }, seed) => {
      if (type?.kind !== "tensor") throw new Error(`${name} is no tensor`);
      const dims = (type.shape ?? []).map(Number);
      const length = dims.reduce((product, each) => product * each, 1);
      const places = Array.from({ length }, (_, at) => at);
      if (type.dtype === DataType.int64) {
        return [name, new Tensor("int64", BigInt64Array.from(places, BigInt), dims)] as const;
      }
      const numbers = Float32Array.from(places, (at) => Math.sin(at * 12.9898 + seed) * size);
      return [name, new Tensor("float32", numbers, dims)] as const;
    });
    const results = await session.run(Object.fromEntries(feeds));
    return Object.fromEntries(session.outputNames.map((name) => [name, valuesOf(results[name])]));
  } finally {
    await session.release();
  }
}
