import { identityOf, sha256OfFile, type Trainable, type TrainingPlan } from "../index.ts";
import type { RunIdentity } from "./checkpoints.ts";
import type { InputFlags } from "./input-options.ts";
import type { TrainCommandOptions } from "./train-options.ts";

/** What must be the same for a run to go on bit for bit. */
export async function identify(
  source: Trainable,
  plan: TrainingPlan,
  options: TrainCommandOptions,
  ranks: number,
): Promise<RunIdentity> {
  const { hashes, agr } = identityOf(source);
  const { batchSize, shuffle, seed, dropLast, accumulate, totalSteps } = plan;
  const { lr = null, schedule, warmupSteps, threads = null, ep } = options;
  return {
    options: {
      ...{ batchSize, shuffle, seed, dropLast, accumulate, lr, schedule, warmupSteps, agr },
      groups: options.group.length === 0 ? null : JSON.stringify(options.group),
      ...inputsOf(options),
      ...apartOf(plan, ranks),
      ...{ threads, ep: ep?.join() ?? null, totalSteps: schedule === "constant" ? null : totalSteps },
    },
    hashes: { ...hashes, data: await sha256OfFile(options.data), ...(await hashesOfConstants(options)) },
  };
}

/** Of the files that constants are read from, wherever they lie. */
async function hashesOfConstants({ input }: InputFlags): Promise<Record<string, string>> {
  const hashes: Record<string, string> = {};
  for (const [name, value] of Object.entries(input)) {
    if (typeof value === "string") hashes[`input ${name}`] = await sha256OfFile(value);
  }
  return hashes;
}

/** Inputs that are no samples, where there are any; files have their hashes. */
function inputsOf({ input: given, sampleAxis }: InputFlags): Record<string, string> {
  const input = Object.fromEntries(Object.entries(given).filter(([, value]) => typeof value === "number"));
  const entries = Object.entries({ input, sampleAxis }).filter(([, each]) => Object.keys(each).length > 0);
  return Object.fromEntries(entries.map(([name, each]) => [name, JSON.stringify(each)]));
}

/** How ranks that train apart do so, where they do: the numbers depend on it. */
function apartOf({ localSteps, averageMoments }: TrainingPlan, ranks: number): RunIdentity["options"] {
  return localSteps === 0 ? {} : { ranks, localSteps, averageMoments };
}
