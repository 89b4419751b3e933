/**
 * Draws images with the networks that `ddpm` trained, and scores them by features and classes of a ResNet that `resnet` trained: ddpm/samples.json and
 * ddpm/samples.png. The networks are trained again, which must give the same losses. Images that were drawn are kept.
 */

import { existsSync, readFileSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { InferenceSession, Tensor } from "onnxruntime-node";
import { writeFileAtomic } from "../src/entries/graph.ts";
import { type PairedDifference, pairedDifference } from "../src/entries/run.ts";
import { readModel } from "../src/index.ts";
import { encodePng } from "../src/report/png.ts";
import { BETAS, imagesToDraw, KEPT, normals, PIXELS, STEPS } from "./diffusion.ts";
import { frechetDistance, inceptionScore } from "./frechet.ts";
import { comparedRuns, trainedAgain } from "./trained.ts";

const CLASSIFIER = { name: "resnet", arm: "optimizer=adamw agr=off", seed: 1 } as const;
/** Of those that were compared. */
const SEEDS: readonly number[] = [1, 2, 3];
const [IMAGES, BATCH, NOISE_SEED, SHOWN] = [200, 100, 1, 12];
const SCORES = ["frechet", "inception"] as const;
type Scores = Readonly<Record<(typeof SCORES)[number], number>>;

interface ScoredRun extends Scores {
  readonly arm: string;
  readonly seed: number;
}

export interface SampleScores {
  readonly images: number;
  readonly classifier: typeof CLASSIFIER;
  /** As many images to train with, by the same scores. */
  readonly real: Scores;
  readonly runs: readonly ScoredRun[];
  /** Of pairs of a seed. */
  readonly contrasts: readonly ({ readonly arm: string; readonly against: string } & Readonly<
    Record<keyof Scores, PairedDifference | null>
  >)[];
}

const at = (file: string): string => fileURLToPath(new URL(file, import.meta.url));

const open = (model: Uint8Array): Promise<InferenceSession> =>
  InferenceSession.create(model, { intraOpNumThreads: 1, executionMode: "sequential" });

async function run(session: InferenceSession, feeds: Record<string, Tensor>): Promise<readonly Float32Array[]> {
  const results = await session.run(feeds);
  return session.outputNames.map((name) => {
    const data = results[name]?.data;
    if (!(data instanceof Float32Array)) throw new TypeError(`${name} is not of float`);
    return data;
  });
}

/** Images from noise alone, -1 to 1, step by step; the same noise for every network. */
async function drawn(network: InferenceSession): Promise<Float32Array> {
  const all = new Float32Array(IMAGES * PIXELS);
  const normal = normals(NOISE_SEED);
  for (let first = 0; first < IMAGES; first += BATCH) {
    const images = Float32Array.from({ length: BATCH * PIXELS }, normal);
    for (let step = STEPS - 1; step >= 0; step--) {
      const [noise = images] = await run(network, {
        noisy: new Tensor("float32", images, [BATCH, 1, 28, 28]),
        step: new Tensor("int64", new BigInt64Array(BATCH).fill(BigInt(step)), [BATCH]),
      });
      const [beta, kept, before] = [BETAS[step] ?? 0, KEPT[step] ?? 0, KEPT[step - 1] ?? 1];
      const deviation = Math.sqrt((beta * (1 - before)) / (1 - kept));
      for (const [pixel, value] of images.entries()) {
        const clean = (value - Math.sqrt(1 - kept) * (noise[pixel] ?? 0)) / Math.sqrt(kept);
        const mean =
          (Math.sqrt(before) * beta * Math.min(1, Math.max(-1, clean)) + Math.sqrt(1 - beta) * (1 - before) * value) /
          (1 - kept);
        images[pixel] = mean + deviation * normal();
      }
    }
    all.set(images, first * PIXELS);
  }
  return all;
}

interface Seen {
  readonly features: readonly Float64Array[];
  readonly probabilities: readonly Float64Array[];
}

const rowsOf = (data: Float32Array, rows: number): readonly Float64Array[] =>
  Array.from({ length: rows }, (_, row) =>
    Float64Array.from(data.subarray((row * data.length) / rows, ((row + 1) * data.length) / rows)),
  );

function softmax(scores: Float64Array): Float64Array {
  const most = Math.max(...scores);
  const powers = scores.map((score) => Math.exp(score - most));
  const sum = powers.reduce((total, power) => total + power, 0);
  return powers.map((power) => power / sum);
}

/** @param images from 0 to 1 */
async function seen(classifier: InferenceSession, images: Float32Array): Promise<Seen> {
  const features: Float64Array[] = [];
  const probabilities: Float64Array[] = [];
  for (let first = 0; first < images.length; first += BATCH * PIXELS) {
    const batch = images.slice(first, first + BATCH * PIXELS);
    const rows = batch.length / PIXELS;
    const results = await run(classifier, { input: new Tensor("float32", batch, [rows, 1, 28, 28]) });
    const [feature = new Float32Array(), scores = new Float32Array()] = results;
    features.push(...rowsOf(feature, rows));
    probabilities.push(...rowsOf(scores, rows).map(softmax));
  }
  return { features, probabilities };
}

const realImages = async (part: Parameters<typeof imagesToDraw>[0]): Promise<Float32Array> =>
  Float32Array.from(await imagesToDraw(part), (byte) => byte / 255);

/** The classifier, giving what its last layer takes, and its scores. */
async function classifierOf(): Promise<InferenceSession> {
  const { graph } = await readModel(at(`${CLASSIFIER.name}/model.onnx`));
  const last = graph.nodes.findLast(({ opType }) => opType === "Gemm");
  const [feature] = last?.inputs ?? [];
  const [scores] = last?.outputs ?? [];
  if (feature == null || scores == null) throw new Error("the classifier has no last layer");
  const { name, arm, seed } = CLASSIFIER;
  const { model } = await trainedAgain(name, { arm, seed }, [feature.name, scores.name]);
  return open(model);
}

export async function drawSamples(): Promise<void> {
  const classifier = await classifierOf();
  const reference = (await seen(classifier, await realImages("validation"))).features;
  const scoresOf = async (images: Float32Array): Promise<Scores> => {
    const { features, probabilities } = await seen(classifier, images);
    return { frechet: frechetDistance(features, reference), inception: inceptionScore(probabilities) };
  };
  const real = await scoresOf((await realImages("train")).slice(0, IMAGES * PIXELS));
  const runs: ScoredRun[] = [];
  const shown: Float32Array[] = [];
  for (const { arm, seed, losses } of comparedRuns("ddpm").filter((run) => SEEDS.includes(run.seed))) {
    const images = await imagesOf(arm, seed, losses);
    runs.push({ arm, seed, ...(await scoresOf(images)) });
    if (seed === SEEDS[0]) shown.push(images.slice(0, SHOWN * PIXELS));
  }
  const result: SampleScores = {
    ...{ images: IMAGES, classifier: CLASSIFIER, real, runs },
    contrasts: [contrastOf(runs, "agr=on", "agr=off")],
  };
  await writeFileAtomic(at("ddpm/samples.json"), [new TextEncoder().encode(`${JSON.stringify(result, null, 1)}\n`)]);
  await writeFileAtomic(at("ddpm/samples.png"), [pictureOf(shown)]);
}

/** Drawn, from 0 to 1; those that a network with these losses drew before are in runs. */
async function imagesOf(arm: string, seed: number, losses: string): Promise<Float32Array> {
  const path = at(`ddpm/runs/images/${losses}.bin`);
  if (existsSync(path)) return new Float32Array(new Uint8Array(readFileSync(path)).buffer);
  const { model } = await trainedAgain("ddpm", { arm, seed });
  const network = await open(model);
  const images = (await drawn(network)).map((value) => Math.min(1, Math.max(0, (value + 1) / 2)));
  await mkdir(at("ddpm/runs/images"), { recursive: true });
  await writeFileAtomic(path, [new Uint8Array(images.buffer)]);
  process.stderr.write(`${arm}, seed ${seed}: ${IMAGES} images\n`);
  return images;
}

function contrastOf(runs: readonly ScoredRun[], arm: string, against: string): SampleScores["contrasts"][number] {
  const pairs = runs.flatMap((run) => {
    const other = runs.find((each) => each.arm === against && each.seed === run.seed);
    return run.arm === arm && other !== undefined ? [[run, other] as const] : [];
  });
  const difference = (score: keyof Scores): PairedDifference | null =>
    pairedDifference(pairs.map(([run, other]) => run[score] - other[score]));
  return { arm, against, frechet: difference("frechet"), inception: difference("inception") };
}

/** A row of images for each. */
function pictureOf(rows: readonly Float32Array[]): Uint8Array {
  const width = SHOWN * 28;
  const data = new Uint8Array(rows.length * PIXELS * SHOWN);
  for (const [row, images] of rows.entries()) {
    for (const [index, value] of images.entries()) {
      const [image, y, x] = [Math.floor(index / PIXELS), Math.floor((index % PIXELS) / 28), index % 28];
      data[(row * 28 + y) * width + image * 28 + x] = Math.round(255 * value);
    }
  }
  return encodePng({ width, height: rows.length * 28, channels: 1, data });
}
