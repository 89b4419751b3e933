import { requireArgument } from "../arguments.ts";
import { A_MODEL, type Model } from "../graph/model.ts";
import { splitDataset } from "../runtime/data/split.ts";
import { evaluate } from "../runtime/evaluation/evaluate.ts";
import { train } from "../runtime/train.ts";
import { planTraining } from "../runtime/training-plan.ts";
import { COMPARED_DATA, countRuns, sweepSeedsOf, withRate } from "./compare.ts";
import { keptRun } from "./kept-runs.ts";
import { type Arm, type CompareOptions, type CompletedOptions, completed } from "./options.ts";
import { type ComparedData, constantOf, identityOf, openArm } from "./run.ts";

/** How long one run of an arm takes, in seconds. */
export interface ArmEstimate {
  readonly arm: string;
  readonly steps: number;
  readonly secondsPerStep: number;
  readonly evaluations: number;
  readonly secondsPerEvaluation: number;
  /** Of making the models and the session. */
  readonly secondsBefore: number;
  readonly seconds: number;
}

export interface ComparisonEstimate {
  readonly runs: number;
  /** Runs that are in the folder. Those of chosen learning rates are not known before the rates are. */
  readonly kept: number;
  readonly arms: readonly ArmEstimate[];
  /** Of the runs that are still to be done. */
  readonly seconds: number;
}

/** A step is timed for so long, and at least so often, after some that are not counted. */
const MEASURED_SECONDS = 2;
const MEASURED_STEPS = 10;
const FIRST_STEPS = 5;
const MEASURED_SAMPLES = 1024;

/**
 * Says how long `compare` will take, by some steps of each arm and an evaluation of a part of the data. Nothing is kept.
 * @throws as `compare`
 */
export async function estimateComparison(
  model: Model,
  data: ComparedData,
  options: CompareOptions,
): Promise<ComparisonEstimate> {
  requireArgument("model", model, A_MODEL);
  requireArgument("data", data, COMPARED_DATA);
  const all = completed(options);
  const arms: ArmEstimate[] = [];
  for (const arm of all.arms) arms.push(await measured(model, arm, data, all));
  const runs = countRuns(all);
  const constant = await constantOf(model, data, all);
  const missing = new Map(all.arms.map(({ name }) => [name, runs / all.arms.length]));
  if (all.folder !== null) {
    for (const arm of all.arms) {
      const planned = plannedRuns(arm, all);
      const found = await Promise.all(
        planned.map(([each, seed]) => keptRun(all.folder ?? "", identityOf(each, seed, all, constant))),
      );
      const kept = found.filter((run) => run !== null).length;
      missing.set(arm.name, (missing.get(arm.name) ?? 0) - kept);
    }
  }
  const left = [...missing.values()].reduce((sum, count) => sum + count, 0);
  return {
    ...{ runs, kept: runs - left, arms },
    seconds: arms.reduce((sum, { arm, seconds }) => sum + seconds * (missing.get(arm) ?? 0), 0),
  };
}

function plannedRuns(arm: Arm, all: CompletedOptions): readonly (readonly [Arm, number])[] {
  if (all.rates.length === 0) return all.seeds.map((seed) => [arm, seed] as const);
  return all.rates.flatMap((rate) => sweepSeedsOf(all).map((seed) => [withRate(arm, rate), seed] as const));
}

async function measured(
  model: Model,
  arm: Arm,
  { training, validation }: ComparedData,
  { seeds, weights, evaluateEvery, evaluationBatchSize }: CompletedOptions,
): Promise<ArmEstimate> {
  const began = performance.now();
  const seed = seeds[0] ?? 0;
  const { session } = await openArm(model, arm, seed, weights);
  const secondsBefore = (performance.now() - began) / 1000;
  try {
    const { totalSteps: steps, stepsPerEpoch } = planTraining(session.trainingInputs, training, { ...arm.train, seed });
    const end = new AbortController();
    const times: number[] = [];
    for await (const event of train(session, training, { ...arm.train, seed, signal: end.signal })) {
      if (event.type === "step") times.push(event.seconds);
      const counted = times.slice(FIRST_STEPS);
      if (counted.length >= MEASURED_STEPS && performance.now() - began > 1000 * (secondsBefore + MEASURED_SECONDS))
        end.abort();
    }
    const counted = times.length > FIRST_STEPS ? times.slice(FIRST_STEPS) : times;
    const secondsPerStep = counted.reduce((sum, time) => sum + time, 0) / counted.length;
    const share = MEASURED_SAMPLES / validation.size;
    const part = share < 1 ? splitDataset(validation, share).validation : validation;
    const start = performance.now();
    await evaluate(session, part, evaluationBatchSize === null ? {} : { batchSize: evaluationBatchSize });
    const secondsPerEvaluation = ((performance.now() - start) / 1000) * (validation.size / part.size);
    const evaluations = Math.ceil(steps / (evaluateEvery ?? stepsPerEpoch));
    const seconds = secondsBefore + steps * secondsPerStep + evaluations * secondsPerEvaluation;
    return { arm: arm.name, steps, secondsPerStep, evaluations, secondsPerEvaluation, secondsBefore, seconds };
  } finally {
    await session.release();
  }
}
