import { basename, resolve } from "node:path";
import { writeFileAtomic } from "../entries/graph.ts";
import { type Assets, ortNodeVersion, Pictures, trainingReport } from "../entries/run.ts";
import { type Dataset, evaluate } from "../index.ts";
import type { Opened } from "./open-training.ts";
import { packageVersion } from "./package-files.ts";
import type { TrainCommandOptions } from "./train-options.ts";
import type { TrainingRecord } from "./training-record.ts";
import { agrOf } from "./watch.ts";

/** Worst predictions that a report shows. */
const MOST_WORST = 24;

/** Evaluates the state as it is, and writes the report of the training. */
export async function writeReport(
  path: string,
  folder: string,
  record: TrainingRecord,
  { session, hasEvaluation, dataset, validation, plan, identity }: Opened,
  options: TrainCommandOptions,
  ended: string | null,
  assets: Assets,
): Promise<void> {
  const agr = agrOf(identity.options["agr"]);
  const evaluation = hasEvaluation ? await evaluated(session, validation, dataset, plan) : null;
  const steps = record.points.at(-1)?.step ?? 0;
  const end = ended === null ? "" : ` It ended early: ${ended}.`;
  const html = trainingReport(
    {
      title: `Training of ${basename(resolve(folder))}`,
      summary: `${steps} of ${plan.totalSteps} steps in batches of ${plan.batchSize}, ${dataset.size} samples.${end}`,
      points: record.points,
      epochs: record.epochs.map(({ validation: told, ...epoch }) => ({ ...epoch, validation: told?.values ?? null })),
      evaluations: record.evaluations,
      statistics: record.statistics,
      agr: agr === null ? null : `strength ${agr.strength ?? 1}, scope ${agr.scope ?? "tensor"}`,
      evaluation,
      classes: dataset.classes ?? [],
      configuration: configurationOf(folder, options, identity),
      versions: [
        ["onnx-agr", packageVersion()],
        ["Node.js", process.versions.node],
        ["runtime", `${session.runtime}, ${session.way.name}`],
        ["onnxruntime-node", (await ortNodeVersion()) ?? "not installed"],
        ["platform", `${process.platform}, ${process.arch}`],
      ],
    },
    assets,
  );
  await writeFileAtomic(path, [Buffer.from(html)]);
}

async function evaluated(
  session: Opened["session"],
  validation: Dataset | null,
  training: Dataset,
  { batchSize, sequential = false }: Opened["plan"],
) {
  const [of, data] =
    validation === null ? (["the training data", training] as const) : (["the validation data", validation] as const);
  const evaluation = await evaluate(session, data, { batchSize, sequential, worst: MOST_WORST });
  return {
    ...evaluation,
    of,
    pictures: await Pictures.of(
      data,
      evaluation.worst.map(({ sample }) => sample),
    ),
  };
}

/** What was said, and what the numbers depend on. */
function configurationOf(
  folder: string,
  options: TrainCommandOptions,
  { options: settings, hashes }: Opened["identity"],
): readonly (readonly [string, string])[] {
  const said: readonly (readonly [string, unknown])[] = [
    ["artifacts", folder],
    ["data", options.data],
    ["validation", options.validation],
    ["epochs", options.epochs],
    ...Object.entries(settings).filter(([name]) => name !== "validation"),
    ...Object.entries(hashes).map(([name, hash]) => [`SHA-256 of ${name}`, hash] as const),
  ];
  return said.flatMap(([name, value]) => (value === undefined || value === null ? [] : [[name, String(value)]]));
}
