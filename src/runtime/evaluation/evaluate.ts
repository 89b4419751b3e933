import type { Tensor } from "onnxruntime-common";
import { BOOLEAN, NUMBER, OPTIONS, optional, requireArgument, withFields } from "../../arguments.ts";
import type { InputSpec } from "../../artifacts/ort-artifacts.ts";
import { A_COMMUNICATOR, type Communicator } from "../../distributed/communicator.ts";
import { exchangeNumbers } from "../../distributed/consensus.ts";
import { SINGLE } from "../../distributed/single.ts";
import { DataError, requireOption } from "../../errors.ts";
import { DataType } from "../../graph/data-type.ts";
import { A_DATASET, type Dataset } from "../data/dataset.ts";
import { fixedBatchSize, samplesOf } from "../data/dataset-inputs.ts";
import { readBatches } from "../data/read-batches.ts";
import { A_SESSION, type NamedTensors, type TrainingSession } from "../session.ts";
import { ClassificationSums, type MetricSums, type Metrics, RegressionSums } from "./metrics.ts";
import type { WorstPrediction, WorstPredictions } from "./worst.ts";

export interface EvaluateOptions {
  /** Samples per batch. Default: what the model asks for where its batch is fixed, else 32. */
  readonly batchSize?: number;
  /** The ranks that evaluate together: each takes its share of the batches. Default: this process alone. */
  readonly communicator?: Communicator;
  /** The samples follow one another, as in training. Default false: they are taken as they lie. */
  readonly sequential?: boolean;
  /** How many of the worst predictions to give; of one process alone, and of samples that are taken as they lie. Default 0. */
  readonly worst?: number;
}

export interface Evaluation {
  readonly samples: number;
  /** Mean of the batches' losses, weighted by their samples. */
  readonly loss: number;
  /** Null where labels and outputs do not tell what is predicted. */
  readonly metrics: Metrics | null;
  /** The worst first, as many as were asked for; where each sample has a class or targets of its own. */
  readonly worst: readonly WorstPrediction[];
}

const EVALUATE_OPTIONS = withFields(
  {
    batchSize: optional(NUMBER),
    communicator: optional(A_COMMUNICATOR),
    sequential: optional(BOOLEAN),
    worst: optional(NUMBER),
  },
  "options: { batchSize, communicator, sequential, worst }",
);

/**
 * Runs the eval model over data, in their order.
 * @throws what `runEvalStep` throws; DataError `E_DATA` where there are no samples
 */
export async function evaluate(
  session: TrainingSession,
  dataset: Dataset,
  options: EvaluateOptions = {},
): Promise<Evaluation> {
  requireArgument("session", session, A_SESSION);
  requireArgument("dataset", dataset, A_DATASET);
  requireArgument("options", options, OPTIONS);
  requireArgument("options", options, EVALUATE_OPTIONS);
  const { communicator = SINGLE, sequential = false, worst: most = 0 } = options;
  /** Loaded where it is needed: pages seldom do. */
  const continued = session.carried.length === 0 ? null : await import("../carried.ts");
  continued?.requireContinuation(session, { shuffle: false, ranks: communicator.size });
  requireOption(Number.isSafeInteger(most) && most >= 0, "worst", "a whole number from 0 on");
  requireOption(most === 0 || communicator.size === 1, "worst", "left out where there are several ranks");
  /** Loaded where they are asked for: pages that train seldom do. */
  const worst = most === 0 || sequential ? null : new (await import("./worst.ts")).WorstPredictions(most);
  const batchSize = fixedBatchSize(session.trainingInputs, dataset) ?? options.batchSize ?? 32;
  const order = { batchSize, shuffle: false, sequential, seed: 0, dropLast: false };
  const [lossName = "", ...outputs] = session.evalOutputNames;
  let [samples, loss, batch] = [0, 0, 0];
  let judge: Judge | null | undefined;
  let carried = continued?.firstCarried(session) ?? {};
  for await (const feeds of readBatches(dataset, 0, order)) {
    const isOwn = batch++ % communicator.size === communicator.rank;
    // The first batch tells every rank what is predicted, so that all add up the same sums.
    if (!isOwn && judge !== undefined) continue;
    const results = await session.runEvalStep({ ...feeds, ...carried });
    carried = continued?.nextCarried(session, results) ?? {};
    judge ??= judgeOf(session.trainingInputs, feeds, outputs, results);
    if (!isOwn) continue;
    const count = samplesOf(dataset, feeds);
    const own = Number(results[lossName]?.data[0]);
    loss += own * count;
    judge?.add(feeds, results, own);
    if (worst !== null) judge?.look(feeds, results, worst, samples);
    samples += count;
  }
  const own = [samples, loss, ...(judge?.sums.sums ?? [])];
  const all = communicator.size === 1 ? [own] : await exchangeNumbers(communicator, own);
  const [total = 0, losses = 0, ...sums] = own.map((_, index) =>
    all.reduce((sum, each) => sum + (each[index] ?? 0), 0),
  );
  if (total === 0) throw new DataError("E_DATA", "there are no samples to evaluate");
  if (judge) judge.sums.sums = sums;
  return { samples: total, loss: losses / total, metrics: judge?.sums.metrics() ?? null, worst: worst?.list ?? [] };
}

interface Judge {
  readonly sums: MetricSums;
  readonly add: (feeds: NamedTensors, results: NamedTensors, loss: number) => void;
  /** @param first place of the batch's first sample */
  readonly look: (feeds: NamedTensors, results: NamedTensors, worst: WorstPredictions, first: number) => void;
}

/** Whole numbers are labels of scores that have one axis more; floats are targets of an output of their shape. */
function judgeOf(
  inputs: readonly InputSpec[],
  feeds: NamedTensors,
  outputs: readonly string[],
  results: NamedTensors,
): Judge | null {
  for (const input of inputs.toReversed()) {
    const labels = feeds[input.name];
    if (labels === undefined) continue;
    for (const output of outputs) {
      const predictions = results[output];
      const sums = predictions === undefined ? null : sumsFor(input, labels, predictions);
      if (sums === null) continue;
      return {
        sums,
        add: (given, made, loss) => {
          const [label, prediction] = [given[input.name], made[output]];
          if (label !== undefined && prediction !== undefined) sums.add(label, prediction, loss);
        },
        look: (given, made, worst, first) => {
          const [label, prediction] = [given[input.name], made[output]];
          if (label === undefined || prediction === undefined) return;
          if (sums instanceof RegressionSums) worst.addTargets(label, prediction, first);
          else worst.addClasses(label, prediction, first, input.range?.ignored ?? null);
        },
      };
    }
  }
  return null;
}

function sumsFor({ dtype, range, name }: InputSpec, labels: Tensor, predictions: Tensor): MetricSums | null {
  if (dtype === DataType.int64 && predictions.type === "float32") {
    const axis = classAxisOf(labels.dims, predictions.dims);
    if (axis === null) return null;
    return new ClassificationSums(predictions.dims[axis] ?? 0, axis, range?.ignored ?? null, labels.dims.length > 1);
  }
  const isSame =
    labels.dims.length === predictions.dims.length && labels.dims.every((dim, at) => dim === predictions.dims[at]);
  return /^(labels?|targets?)$/.test(name) && labels.type === "float32" && isSame ? new RegressionSums() : null;
}

/** The axis that scores have and labels lack: the second, as losses have it, or the last. */
function classAxisOf(labels: readonly number[], scores: readonly number[]): number | null {
  if (scores.length !== labels.length + 1) return null;
  const fits = [1, scores.length - 1].filter((axis) =>
    scores.toSpliced(axis, 1).every((dim, at) => dim === labels[at]),
  );
  return fits[0] ?? null;
}
