import { Tensor } from "onnxruntime-node";
import { encodeModel } from "../../src/entries/graph.ts";
import type { Model } from "../../src/index.ts";
import { openSession } from "./ort.ts";

/** Samples where the batch is open. */
const BATCH = 2;

/** What a net of float32 gives as `y` for inputs up to a fourth, as ONNX Runtime computes it. */
export async function resultsOf(net: Model): Promise<Tensor> {
  const session = await openSession(encodeModel(net));
  try {
    const feeds = net.graph.inputs.map(({ name, type }, seed) => {
      const shape = type?.kind === "tensor" ? (type.shape ?? []) : [];
      const dims = shape.map((size) => (typeof size === "number" ? size : BATCH));
      const length = dims.reduce((product, size) => product * size, 1);
      const numbers = Float32Array.from({ length }, (_, at) => Math.sin(at * 12.9898 + seed) / 4);
      return [name, new Tensor("float32", numbers, dims)] as const;
    });
    const { y } = await session.run(Object.fromEntries(feeds));
    if (y === undefined) throw new Error("the net gives y");
    return y;
  } finally {
    await session.release();
  }
}
