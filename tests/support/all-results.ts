import { encodeModel } from "../../src/entries/graph.ts";
import type { Model } from "../../src/index.ts";
import { madeUpFeeds } from "./made-up-feeds.ts";
import { openSession } from "./ort.ts";
import { valuesOf } from "./tensor-values.ts";

/** Numbers by the name of the output. */
export type Results = Readonly<Record<string, readonly number[]>>;

/** All that a net of known sizes gives, as ONNX Runtime computes it: for floats up to a size, and for the first whole numbers. */
export async function allResults(net: Model, size = 2): Promise<Results> {
  const session = await openSession(encodeModel(net));
  try {
    const results = await session.run(madeUpFeeds(net, size));
    return Object.fromEntries(session.outputNames.map((name) => [name, valuesOf(results[name])]));
  } finally {
    await session.release();
  }
}
