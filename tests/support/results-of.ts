import type { Tensor } from "onnxruntime-node";
import { encodeModel } from "../../src/entries/graph.ts";
import type { Model } from "../../src/index.ts";
import { madeUpFeeds } from "./made-up-feeds.ts";
import { openSession } from "./ort.ts";

/** What a net of float32 gives as `y` for inputs up to a fourth, as ONNX Runtime computes it. */
export async function resultsOf(net: Model): Promise<Tensor> {
  const session = await openSession(encodeModel(net));
  try {
    const { y } = await session.run(madeUpFeeds(net, 0.25));
    if (y === undefined) throw new Error("the net gives y");
    return y;
  } finally {
    await session.release();
  }
}
