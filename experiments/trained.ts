/** Opens and trains again what an experiment compared: the same model, options, seed and data give the same losses. */

import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { parse } from "yaml";
import { openArm } from "../src/compare/run.ts";
import { type Arm, type Dataset, type LearningRateSchedule, readDataset, readModel, train } from "../src/index.ts";

/** What is needed here of a comparison.json. */
interface Comparison {
  readonly options: Readonly<Record<string, Pick<Arm, "build" | "train">>>;
  readonly runs: readonly {
    readonly arm: string;
    readonly seed: number;
    readonly learningRate: LearningRateSchedule;
    readonly losses: string;
  }[];
  readonly commit: string | null;
}

interface Configuration {
  readonly compare: { readonly arguments: string; readonly data: string; readonly threads: number };
}

const at = (name: string, file: string): string => fileURLToPath(new URL(`${name}/${file}`, import.meta.url));

/** A path of a configuration, from its folder. */
const pathsOf = (name: string, list: string): string =>
  list
    .split(",")
    .map((path) => at(name, path))
    .join(",");

/** The option sets and seeds of an experiment that were compared. */
export function comparedRuns(name: string): Comparison["runs"] {
  return (JSON.parse(readFileSync(at(name, "comparison.json"), "utf8")) as Comparison).runs;
}

interface Opened {
  readonly session: Awaited<ReturnType<typeof openArm>>["session"];
  readonly data: Dataset;
  readonly train: Arm["train"];
  readonly run: Comparison["runs"][number];
  readonly commit: Comparison["commit"];
}

/** One of the runs that were compared: of this option set and this seed, by default the first. */
export interface Which {
  readonly arm?: string | undefined;
  readonly seed?: number | undefined;
}

/** A session with the initial weights of a run that was compared, and the data that it is trained with. */
export async function openCompared(name: string, { arm, seed }: Which = {}): Promise<Opened> {
  const { options, runs, commit } = JSON.parse(readFileSync(at(name, "comparison.json"), "utf8")) as Comparison;
  const { compare } = parse(readFileSync(at(name, "onnx-agr.config.yaml"), "utf8")) as Configuration;
  const run = runs.find((each) => each.arm === (arm ?? each.arm) && each.seed === (seed ?? each.seed));
  const option = options[run?.arm ?? ""];
  if (run === undefined || option === undefined) throw new Error(`${name} has no run of ${arm} with seed ${seed}`);
  const model = await readModel(at(name, compare.arguments));
  const given = { ...option, name: run.arm, session: { threads: compare.threads, learningRate: run.learningRate } };
  const { session } = await openArm(model, given, run.seed, "shuffled");
  const data = await readDataset(session.trainingInputs, pathsOf(name, compare.data));
  return { session, data, train: option.train, run, commit };
}

interface Trained {
  readonly model: Uint8Array;
  readonly arm: string;
  readonly seed: number;
  readonly steps: number;
}

/**
 * Trains again what was compared, and gives the trained model.
 * @param outputs tensors that the model is to give. Default: what the loss is computed from
 * @throws Error where its losses are not those of the comparison, bit for bit
 */
export async function trainedAgain(name: string, which: Which, outputs?: readonly string[]): Promise<Trained> {
  const { session, data, train: options, run, commit } = await openCompared(name, which);
  const { arm, seed } = run;
  try {
    const losses: number[] = [];
    for await (const event of train(session, data, { ...options, seed })) {
      if (event.type === "step") losses.push(event.loss);
    }
    const hash = createHash("sha256")
      .update(new Uint8Array(Float64Array.from(losses).buffer))
      .digest("hex");
    if (hash !== run.losses) {
      const code = `they were made with the code of commit ${commit ?? "unknown"}, and later code may round otherwise`;
      throw new Error(`${arm}, seed ${seed}: the losses are not those of ${name}; ${code}`);
    }
    return { model: await session.exportModel(outputs), arm, seed, steps: losses.length };
  } finally {
    await session.release();
  }
}
