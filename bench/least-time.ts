import { encodeModel } from "../src/entries/graph.ts";
import { loadOrtNode } from "../src/entries/run.ts";
import { type Model, type NamedTensors, Tensor } from "../src/index.ts";
import { processorTime } from "./processor-time.ts";

function feedsOf(model: Model): NamedTensors {
  return Object.fromEntries(
    model.graph.inputs.map(({ name, type }) => {
      const dims = type?.kind === "tensor" ? (type.shape ?? []).map(Number) : [];
      const size = dims.reduce((product, dim) => product * dim, 1);
      const waves = Float32Array.from({ length: size }, (_, at) => Math.sin(at + at ** 2));
      return [name, new Tensor("float32", waves, dims)];
    }),
  );
}

/** Least milliseconds of processor time of each model on one thread, run by turns. */
export async function leastOf(
  models: Readonly<Record<string, Model>>,
  rounds: number,
): Promise<Readonly<Record<string, number>>> {
  const { InferenceSession } = await loadOrtNode();
  const runs = [];
  for (const [name, model] of Object.entries(models)) {
    const session = await InferenceSession.create(encodeModel(model), { logSeverityLevel: 3, intraOpNumThreads: 1 });
    runs.push({ name, session, feeds: feedsOf(model), least: Number.POSITIVE_INFINITY });
  }
  for (let round = 0; round < 3 * rounds; round++) {
    for (const run of runs) {
      const began = processorTime();
      await run.session.run(run.feeds);
      run.least = Math.min(run.least, processorTime() - began);
    }
  }
  for (const { session } of runs) await session.release();
  return Object.fromEntries(runs.map(({ name, least }) => [name, least]));
}
