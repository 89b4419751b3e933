import { sha256OfFile } from "../entries/graph.ts";
import { dataFilesOf, identityOf, imageFolderAt, namesAndSizes, type TrainingPlan } from "../entries/run.ts";
import { DataError, type Dataset, type Trainable } from "../index.ts";
import type { RunIdentity } from "./checkpoints.ts";
import type { InputFlags } from "./input-options.ts";
import type { TrainCommandOptions } from "./train-options.ts";

/** What must be the same for a run to go on bit for bit, and where its models lie. */
export async function identify(
  source: Trainable,
  models: string,
  plan: TrainingPlan,
  options: TrainCommandOptions,
  dataset: Dataset,
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
      ...meaningOf(dataset),
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

/** What the numbers of the data stand for. */
const MEANING = ["classes", "columns", "normalization"] as const;

const meaningOf = (dataset: Dataset): Record<string, string> =>
  Object.fromEntries(
    MEANING.flatMap((name) =>
      dataset[name] === undefined ? [] : [[`${name} of the data`, JSON.stringify(dataset[name])]],
    ),
  );

/**
 * Data that a model is evaluated with must be read as those it was trained with.
 * @param trained the options of the run that was saved
 * @param warn told of scales and means that are others
 * @throws DataError `E_CLASSES`, `E_TABLE` where a class has another number, a column another place
 */
export function requireReadAsTrained(
  trained: RunIdentity["options"],
  flags: InputFlags & { readonly data: string },
  dataset: Dataset,
  warn: (note: string) => void,
): void {
  const now = meaningOf(dataset);
  for (const [name, code, hint] of [
    ["classes", "E_CLASSES", "Say them all, in their order: --classes"],
    ["columns", "E_TABLE", "Say which, in their order: --columns"],
  ] as const) {
    const [was, is] = [trained[`${name} of the data`], now[`${name} of the data`]];
    if (typeof was !== "string" || is === undefined || was === is) continue;
    const words = JSON.parse(was) as readonly string[];
    throw new DataError(
      code,
      `${flags.data} has other ${name} than the data that the run was trained with, or in another order`,
      {
        file: flags.data,
        hint: `${hint} ${words.slice(0, MOST_WORDS).join(",")}.`,
      },
    );
  }
  const read = inputsOf(flags);
  for (const name of ["scale", "normalize"] as const) {
    if (trained[name] === read[name] || trained[name] === '"computed"') continue;
    const way = trained[name] === undefined ? `without --${name}` : `with --${name} ${trained[name]}`;
    warn(`the run was trained ${way}; these data are read otherwise`);
  }
  const normalization = trained["normalization of the data"];
  if (typeof normalization === "string" && flags.normalize === undefined)
    warn(`the run was trained with --normalize computed, ${normalization}; these data are read without --normalize`);
}

const MOST_WORDS = 100;

/** How ranks that train apart do so, where they do: the numbers depend on it. */
function apartOf({ localSteps, averageMoments }: TrainingPlan, ranks: number): RunIdentity["options"] {
  return localSteps === 0 ? {} : { ranks, localSteps, averageMoments };
}
