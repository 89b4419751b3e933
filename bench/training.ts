/**
 * What a training step costs: ort-node against ort-training, with AGR and without, one step per call and sixteen, through
 * the C API and through the binding, in three calls, and the least a step could cost. All ratios are of times measured in the same round; the
 * figures are medians over the rounds.
 *
 *     npm run bench -- training [--rounds 7] [--shared <folder with data/artifacts>] [--json]
 */

import { existsSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { makeMlpArtifacts } from "../fixtures/mlp.ts";
import { loadOrtNode } from "../src/entries/run.ts";
import {
  insertAgr,
  lowerArtifacts,
  readArtifacts,
  type TrainingArtifacts,
  TrainingSession,
  trainableParameters,
} from "../src/index.ts";
import { leastModel } from "./least-step.ts";
import { randomFeeds, time, timeHalves } from "./steps.ts";
import { median, type Row, table } from "./table.ts";

const STEPS = 16;

interface Subject {
  readonly name: string;
  readonly batch: number;
  readonly artifacts: () => Promise<TrainingArtifacts>;
}

function subjects(shared: string | null): readonly Subject[] {
  const digits = fileURLToPath(new URL("../fixtures/digits/", import.meta.url));
  const own: readonly Subject[] = [
    { name: "MLP 784-1024-1024-10", batch: 128, artifacts: async () => makeMlpArtifacts([784, 1024, 1024, 10]) },
    { name: "conv net (digits)", batch: 32, artifacts: () => readArtifacts(digits) },
    { name: "MLP 16-32-4", batch: 16, artifacts: async () => makeMlpArtifacts([16, 32, 4]) },
  ];
  const real = ["conv-l1", "transformer-lora"].flatMap((name): readonly Subject[] => {
    const folder = shared === null ? null : join(shared, "data", "artifacts", name);
    return folder !== null && existsSync(folder) ? [{ name, batch: 4, artifacts: () => readArtifacts(folder) }] : [];
  });
  return [...own, ...real];
}

async function agrArtifacts(make: () => Promise<TrainingArtifacts>): Promise<TrainingArtifacts> {
  const artifacts = await make();
  const { optimizerModel } = artifacts;
  if (optimizerModel === null) throw new Error("the artifacts have no optimizer");
  insertAgr(optimizerModel, { parameters: trainableParameters(artifacts) ?? [] });
  return artifacts;
}

async function measure({ name, batch, artifacts }: Subject, rounds: number): Promise<Row> {
  const ort = await loadOrtNode();
  const node = { runtime: "ort-node" } as const;
  const plain = await artifacts();
  const sessions = {
    training: await TrainingSession.create(plain, { runtime: "ort-training" }),
    one: await TrainingSession.create(plain, node),
    many: await TrainingSession.create(plain, { ...node, stepsPerCall: STEPS }),
    binding: await TrainingSession.create(plain, { ...node, ort }),
    agr: await TrainingSession.create(await agrArtifacts(artifacts), { ...node, stepsPerCall: STEPS }),
  };
  const least = await leastModel(ort, await lowerArtifacts(plain), randomFeeds(sessions.one.trainingInputs, batch, 0));
  const samples: Record<string, number>[] = [];
  for (let round = 0; round <= rounds; round++) {
    const batches = Array.from({ length: STEPS }, (_, index) =>
      randomFeeds(sessions.one.trainingInputs, batch, round * STEPS + index),
    );
    const training = await time(sessions.training, batches.slice(0, 4), false);
    const one = await time(sessions.one, batches, false);
    const binding = await time(sessions.binding, batches, false);
    const halves = await timeHalves(sessions.one, batches);
    const many = await time(sessions.many, batches, true);
    const agr = await time(sessions.agr, batches, true);
    let bound = 0;
    for (let step = 0; step < STEPS; step++) bound += (await least.run()) / STEPS;
    samples.push({ training, one, binding, halves, many, agr, bound });
  }
  for (const session of Object.values(sessions)) await session.release();
  await least.release();
  const measured = samples.slice(1);
  const mid = (of: (sample: Record<string, number>) => number): number => median(measured.map(of));
  const at = (key: string) => mid((sample) => sample[key] ?? Number.NaN);
  const ratio = (a: string, b: string) => mid((sample) => (sample[a] ?? Number.NaN) / (sample[b] ?? Number.NaN));
  return {
    model: name,
    batch,
    "ort-training ms": at("training"),
    "ort-node ms": at("one"),
    [`ort-node x${STEPS} ms`]: at("many"),
    "times as fast": ratio("training", "one"),
    [`times as fast x${STEPS}`]: ratio("training", "many"),
    "AGR adds %": 100 * (ratio("agr", "many") - 1),
    "binding / C API": ratio("binding", "one"),
    [`one / x${STEPS}`]: ratio("one", "many"),
    "three calls / one": ratio("halves", "one"),
    "least ms": at("bound"),
    "step / least": ratio("many", "bound"),
  };
}

export async function benchTraining(options: {
  readonly rounds: number;
  readonly shared: string | null;
}): Promise<readonly Row[]> {
  const rows: Row[] = [];
  for (const subject of subjects(options.shared)) rows.push(await measure(subject, options.rounds));
  console.error(table(rows));
  return rows;
}
