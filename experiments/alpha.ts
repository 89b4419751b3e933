/** Writes experiments/alpha.json: what `diagnose` tells of the gradients of one batch, at the initial weights of the first seed. */

import { fileURLToPath } from "node:url";
import { type GradientReport, reportGradients, writeFileAtomic } from "../src/entries/graph.ts";
import { batches } from "../src/entries/run.ts";
import { openCompared } from "./trained.ts";

const EXPERIMENTS = ["vit", "vgg", "convnext", "ddpm", "albert", "order"] as const;
const BATCH = 32;
export interface Alphas {
  readonly batch: number;
  readonly experiments: Readonly<Record<string, readonly GradientReport[]>>;
}

export async function writeAlphas(): Promise<void> {
  const experiments: Record<string, readonly GradientReport[]> = {};
  for (const name of EXPERIMENTS) {
    const { session, data } = await openCompared(name);
    try {
      const [feeds = {}] = batches(data, 0, { batchSize: BATCH, shuffle: true, seed: 1, dropLast: true });
      await session.runTrainStep(feeds);
      experiments[name] = reportGradients(await session.getGradients());
    } finally {
      await session.release();
    }
  }
  const alphas: Alphas = { batch: BATCH, experiments };
  await writeFileAtomic(fileURLToPath(new URL("alpha.json", import.meta.url)), [
    new TextEncoder().encode(`${JSON.stringify(alphas, null, 1)}\n`),
  ]);
}
