import { sha256OfFile } from "../entries/graph.ts";
import { dataFilesOf, identityOf, imageFolderAt, namesAndSizes, type TrainingPlan } from "../entries/run.ts";
import type { Trainable } from "../index.ts";
import type { RunIdentity } from "./checkpoints.ts";
import type { InputFlags } from "./input-options.ts";
import type { TrainCommandOptions } from "./train-options.ts";

/** What must be the same for a run to go on bit for bit, and where its models lie. */
export async function identify(
  source: Trainable,
  models: string,
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
      ...(plan.sequential === true ? { sequential: true } : {}),
      ...(options.augment === undefined ? {} : { augment: JSON.stringify(options.augment) }),
      ...apartOf(plan, ranks),
      ...(typeof options.validation === "number" ? { validation: options.validation } : {}),
      ...{ threads, ep: ep?.join() ?? null, totalSteps: schedule === "constant" ? null : totalSteps },
    },
    hashes: { ...hashes, ...(await hashesOfInputs(options)) },
    models,
  };
}

/** What else ranks must have alike: how long they train, and what they evaluate. */
export async function alikeOnRanks(
  { options, hashes }: RunIdentity,
  { epochs, patience, validation }: TrainCommandOptions,
): Promise<Pick<RunIdentity, "options" | "hashes">> {
  const evaluated = typeof validation === "string" ? await hashesOfData(validation) : {};
  const named = Object.entries(evaluated).map(([name, hash]) => [`validation ${name}`, hash] as const);
  return {
    options: { ...options, epochs, patience: patience ?? null },
    hashes: { ...hashes, ...Object.fromEntries(named) },
  };
}

/** SHA-256 of the files that samples, their tokenizer and constants are read from. */
export async function hashesOfInputs(
  options: Pick<TrainCommandOptions, "data" | "input" | "tokenizer">,
): Promise<Record<string, string>> {
  const { tokenizer } = options;
  const ofText = tokenizer === undefined ? {} : { tokenizer: await sha256OfFile(tokenizer) };
  return { ...(await hashesOfData(options.data)), ...ofText, ...(await hashesOfConstants(options)) };
}

/** Of the one file, or of each of several by its place. */
async function hashesOfData(specification: string): Promise<Record<string, string>> {
  const images = await imageFolderAt(specification);
  if (images !== null) return { data: await namesAndSizes(specification, images.files) };
  const files = await dataFilesOf(specification);
  const hashes = await Promise.all(files.map((file) => sha256OfFile(file)));
  return Object.fromEntries(hashes.map((hash, index) => [index === 0 ? "data" : `data ${index + 1}`, hash]));
}

/** Of the files that constants are read from, wherever they lie. */
async function hashesOfConstants({ input }: Pick<InputFlags, "input">): Promise<Record<string, string>> {
  const hashes: Record<string, string> = {};
  for (const [name, value] of Object.entries(input)) {
    if (typeof value === "string") hashes[`input ${name}`] = await sha256OfFile(value);
  }
  return hashes;
}

/** How data become inputs, where anything is said of it; files have their hashes. */
export function inputsOf({ input: given, sampleAxis, ...fit }: InputFlags): Record<string, string> {
  const input = Object.fromEntries(Object.entries(given).filter(([, value]) => typeof value === "number"));
  const entries = Object.entries({ input, sampleAxis }).filter(([, each]) => Object.keys(each).length > 0);
  const { columns, label, header, classes, scale, normalize, imageSize } = fit;
  const { text, length, lineByLine, maskProbability } = fit;
  const ofText = { text, length, lineByLine, maskProbability };
  const said = Object.entries({ columns, label, header, classes, scale, normalize, imageSize, ...ofText }).filter(
    ([, each]) => each !== undefined,
  );
  return Object.fromEntries([...entries, ...said].map(([name, each]) => [name, JSON.stringify(each)]));
}

/** How ranks that train apart do so, where they do: the numbers depend on it. */
function apartOf({ localSteps, averageMoments }: TrainingPlan, ranks: number): RunIdentity["options"] {
  return localSteps === 0 ? {} : { ranks, localSteps, averageMoments };
}
