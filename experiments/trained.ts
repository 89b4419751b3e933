import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { parse } from "yaml";
import { openArm } from "../src/compare/run.ts";
import { type Arm, type LearningRateSchedule, readDataset, readModel, train } from "../src/index.ts";

/** What is needed here of a comparison.json. */
interface Comparison {
  readonly options: Readonly<Record<string, Pick<Arm, "build" | "train">>>;
  readonly runs: readonly {
    readonly arm: string;
    readonly seed: number;
    readonly learningRate: LearningRateSchedule;
    readonly losses: string;
  }[];
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

/**
 * Trains again what was compared, and gives the trained model.
 * @param outputs tensors that the model is to give. Default: what the loss is computed from
 * @throws Error where its losses are not those of the comparison, bit for bit
 */
export async function trainedAgain(
  name: string,
  arm: string,
  seed: number,
  outputs?: readonly string[],
): Promise<Uint8Array> {
  const { options, runs } = JSON.parse(readFileSync(at(name, "comparison.json"), "utf8")) as Comparison;
  const { compare } = parse(readFileSync(at(name, "onnx-agr.config.yaml"), "utf8")) as Configuration;
  const kept = runs.find((run) => run.arm === arm && run.seed === seed);
  const option = options[arm];
  if (kept === undefined || option === undefined) throw new Error(`${name} has no run of ${arm} with seed ${seed}`);
  const model = await readModel(at(name, compare.arguments));
  const given = { ...option, name: arm, session: { threads: compare.threads, learningRate: kept.learningRate } };
  const { session } = await openArm(model, given, seed, "shuffled");
  try {
    const data = await readDataset(session.trainingInputs, pathsOf(name, compare.data));
    const losses: number[] = [];
    for await (const event of train(session, data, { ...option.train, seed })) {
      if (event.type === "step") losses.push(event.loss);
    }
    const hash = createHash("sha256")
      .update(new Uint8Array(Float64Array.from(losses).buffer))
      .digest("hex");
    if (hash !== kept.losses) throw new Error(`${arm}, seed ${seed}: the losses are not those of ${name}`);
    return await session.exportModel(outputs);
  } finally {
    await session.release();
  }
}
