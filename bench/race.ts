/**
 * The models of a race against PyTorch, against the least that a step could cost, and what a timer beside the training notices of it.
 *
 *     npm run bench -- race --models <folder of .onnx files> [--rounds 7]
 */

import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { loadOrtNode } from "../src/entries/run.ts";
import {
  buildTrainingArtifacts,
  type LossOptions,
  type NamedTensors,
  readModel,
  TrainingSession,
} from "../src/index.ts";
import { leastModel } from "./least-step.ts";
import { randomFeeds, time, timeHalves } from "./steps.ts";
import { median, type Row, table } from "./table.ts";

const STEPS = 16;
/** Milliseconds between the ticks of the timer beside the training. */
const TICK = 10;

/** What a model is trained for; all others have classes of samples. */
const LOSSES: Readonly<Record<string, LossOptions>> = {
  unet: { kind: "mse" },
  bert: { kind: "cross-entropy", classAxis: -1 },
  gpt: { kind: "cross-entropy", classAxis: -1 },
};

const CLASSES: Readonly<Record<string, number>> = { bert: 8000, gpt: 8000, convnext: 100, vit: 100, "mlp-tiny": 4 };

async function measure(folder: string, name: string, rounds: number): Promise<Row> {
  const model = await readModel(join(folder, `${name}.onnx`));
  const { portable } = await buildTrainingArtifacts(model, {
    loss: LOSSES[name] ?? { kind: "cross-entropy" },
    optimizer: { name: "adamw", weightDecay: 0.01 },
    agr: {},
    targets: ["portable"],
  });
  if (portable === null) throw new Error("no portable set was built");
  const node = { runtime: "ort-node", threads: 2 } as const;
  const byDefault = await TrainingSession.create(portable, node);
  const one = await TrainingSession.create(portable, { ...node, stepsPerCall: 1 });
  const feedsOf = (seed: number): NamedTensors =>
    randomFeeds(byDefault.trainingInputs, 1, seed, () => CLASSES[name] ?? 10);
  const least = await leastModel(await loadOrtNode(), portable, feedsOf(0));
  const samples: Record<string, number>[] = [];
  const late: number[] = [];
  for (let round = 0; round <= rounds; round++) {
    const batches = Array.from({ length: STEPS }, (_, index) => feedsOf(round * STEPS + index));
    const stop = watchTimer(late);
    const step = await time(byDefault, batches, true);
    stop();
    const single = await time(one, batches, false);
    const halves = await timeHalves(one, batches);
    let bound = 0;
    for (let index = 0; index < STEPS; index++) bound += (await least.run()) / STEPS;
    samples.push({ step, single, halves, bound });
    if (round === 0) late.length = 0;
  }
  for (const session of [byDefault, one]) await session.release();
  await least.release();
  const mid = (of: (sample: Record<string, number>) => number): number => median(samples.slice(1).map(of));
  const at = (key: string): number => mid((sample) => sample[key] ?? Number.NaN);
  const ratio = (a: string, b: string): number =>
    mid((sample) => (sample[a] ?? Number.NaN) / (sample[b] ?? Number.NaN));
  return {
    model: name,
    "step ms": at("step"),
    "one / step": ratio("single", "step"),
    "three calls / one": ratio("halves", "single"),
    "least ms": at("bound"),
    "step / least": ratio("step", "bound"),
    "timer late ms (99 %)": late.toSorted((a, b) => a - b)[Math.floor(late.length * 0.99)] ?? 0,
  };
}

/** Notes by how many milliseconds each tick of a timer is late. @returns ends it */
function watchTimer(late: number[]): () => void {
  let due = performance.now() + TICK;
  const timer = setInterval(() => {
    const now = performance.now();
    late.push(Math.max(0, now - due));
    due = now + TICK;
  }, TICK);
  return () => clearInterval(timer);
}

export async function benchRace(options: {
  readonly rounds: number;
  readonly models: string | null;
}): Promise<readonly Row[]> {
  if (options.models === null) {
    console.error("race: give --models <folder>, a folder of exported models, such as race.py --export writes");
    return [];
  }
  const names = (await readdir(options.models)).flatMap((file) => (file.endsWith(".onnx") ? [file.slice(0, -5)] : []));
  const rows: Row[] = [];
  for (const name of names.sort()) rows.push(await measure(options.models, name, options.rounds));
  const logs = rows.map((row) => Math.log(Number(row["step / least"])));
  const mean = Math.exp(logs.reduce((sum, each) => sum + each, 0) / logs.length);
  console.error(`${table(rows)}\nstep / least, geometric mean of ${rows.length}: ${mean.toFixed(2)}`);
  return rows;
}
