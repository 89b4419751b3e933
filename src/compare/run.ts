import { arch, platform } from "node:os";
import type { PortableArtifacts } from "../artifacts/portable/portable-artifacts.ts";
import { encodeState } from "../artifacts/portable/state.ts";
import { safetensorsParts } from "../artifacts/safetensors.ts";
import { type BuildReport, buildTrainingArtifacts } from "../build-artifacts.ts";
import { NumericError } from "../errors.ts";
import { sha256 } from "../graph/io/digest.ts";
import { readExternalTensors } from "../graph/io/external-tensors.ts";
import type { Model } from "../graph/model.ts";
import { encodeModel } from "../graph/serde/encode.ts";
import type { Dataset } from "../runtime/data/dataset.ts";
import { evaluate } from "../runtime/evaluation/evaluate.ts";
import { ortNodeVersion } from "../runtime/ort-node/load.ts";
import type { TrainingSession as Session } from "../runtime/session.ts";
import { train } from "../runtime/train.ts";
import { planTraining } from "../runtime/training-plan.ts";
import { TrainingSession } from "../training-session.ts";
import { type MetricValues, metricValues } from "./metrics.ts";
import type { Arm, CompletedOptions } from "./options.ts";
import { shuffled } from "./shuffled.ts";

/** The samples that all runs have. */
export interface ComparedData {
  readonly training: Dataset;
  readonly validation: Dataset;
}

/** What a run is of: runs of the same identity give the same numbers on the same machine. */
export interface RunIdentity {
  readonly arm: string;
  readonly seed: number;
  readonly weights: CompletedOptions["weights"];
  readonly build: Arm["build"];
  readonly session: Arm["session"] | null;
  readonly train: Arm["train"] | null;
  readonly evaluateEvery: number | null;
  /** SHA-256. */
  readonly hashes: { readonly model: string; readonly training: string; readonly validation: string };
  readonly versions: Readonly<Record<string, string>>;
}

/** Where a run stood when it was evaluated. */
export interface Point {
  readonly step: number;
  /** Of training alone. */
  readonly seconds: number;
  /** Mean of the steps' losses since the point before. */
  readonly trainingLoss: number;
  readonly values: MetricValues;
}

export interface ComparedRun {
  readonly identity: RunIdentity;
  readonly points: readonly Point[];
  readonly steps: number;
  /** Of training alone. */
  readonly seconds: number;
  readonly evaluationSeconds: number;
  /** SHA-256 of the losses of all steps, as float64: the same where it is the same training. */
  readonly losses: string;
  /** SHA-256 of the state that it began with, in the form of `encodeState`. */
  readonly initialState: string;
  /** Why it has no end; null where it has. */
  readonly diverged: string | null;
}

/** What does not change from run to run. */
export interface Constant {
  readonly hashes: RunIdentity["hashes"];
  readonly versions: RunIdentity["versions"];
}

export async function constantOf(
  model: Model,
  { training, validation }: ComparedData,
  { versions }: Pick<CompletedOptions, "versions">,
): Promise<Constant> {
  const whole = model.clone();
  await readExternalTensors(whole);
  const runtime = await ortNodeVersion();
  return {
    hashes: {
      model: sha256(encodeModel(whole)),
      training: await hashOf(training),
      validation: await hashOf(validation),
    },
    versions: {
      ...versions,
      node: process.versions.node,
      machine: `${platform()} ${arch()}`,
      ...(runtime === null ? {} : { "onnxruntime-node": runtime }),
    },
  };
}

async function hashOf({ tensors, constants = [], axes = {}, size, source }: Dataset): Promise<string> {
  const metadata = new Map([
    ["size", String(size)],
    ["axes", JSON.stringify(Object.entries(axes).toSorted())],
    ["constants", JSON.stringify(constants.map(({ name }) => name))],
    ...(source === undefined ? [] : [["source", await source.identity()] as const]),
  ]);
  return sha256(...safetensorsParts([...tensors, ...constants], metadata));
}

export function identityOf(
  arm: Arm,
  seed: number,
  { weights, evaluateEvery }: Pick<CompletedOptions, "weights" | "evaluateEvery">,
  { hashes, versions }: Constant,
): RunIdentity {
  const { name, build, session = null, train: training = null } = arm;
  return {
    ...{ arm: name, seed, weights, build, session, train: training, evaluateEvery, hashes, versions },
  };
}

/** The arm's session with the weights that the seed gives it. */
export async function openArm(
  model: Model,
  { build, session = {} }: Arm,
  seed: number,
  weights: CompletedOptions["weights"],
): Promise<{ readonly session: Session; readonly initialState: string; readonly report: BuildReport }> {
  const initSeed = (build.initSeed ?? 0) + seed;
  const { portable, report } = await buildTrainingArtifacts(model, { ...build, initSeed, targets: ["portable"] });
  if (portable === null) throw new Error("the portable set was not built");
  const begun: PortableArtifacts =
    weights === "given"
      ? portable
      : shuffled(
          portable,
          report.trainable.map(({ name }) => name),
          seed,
        );
  const initialState = begun.state === null ? "" : sha256(encodeState(begun.state));
  return { session: await TrainingSession.create(begun, session), initialState, report };
}

/**
 * Trains one arm with one seed.
 * @param told of each evaluation
 * @returns null where it was interrupted
 * @throws as `buildTrainingArtifacts`, `TrainingSession.create`, `train` and `evaluate`; a run whose numbers go wrong is no error
 */
export async function runArm(
  model: Model,
  arm: Arm,
  identity: RunIdentity,
  { training, validation }: ComparedData,
  { evaluationBatchSize, signal }: Pick<CompletedOptions, "evaluationBatchSize" | "signal">,
  told: (point: Point) => void = () => undefined,
): Promise<ComparedRun | null> {
  const { seed, weights, evaluateEvery } = identity;
  const { session, initialState } = await openArm(model, arm, seed, weights);
  try {
    const options = { ...arm.train, seed };
    const { stepsPerEpoch } = planTraining(session.trainingInputs, training, options);
    const points: Point[] = [];
    const losses: number[] = [];
    let [seconds, evaluationSeconds, since] = [0, 0, 0];
    const look = async (): Promise<void> => {
      if (signal?.aborted) return;
      const began = performance.now();
      const batch = evaluationBatchSize === null ? {} : { batchSize: evaluationBatchSize };
      const values = metricValues(await evaluate(session, validation, batch));
      evaluationSeconds += (performance.now() - began) / 1000;
      const recent = losses.slice(since);
      const trainingLoss = recent.reduce((sum, loss) => sum + loss, 0) / recent.length;
      since = losses.length;
      const point = { step: losses.length, seconds, trainingLoss, values };
      points.push(point);
      told(point);
    };
    const every = { save: look, saveEvery: evaluateEvery ?? stepsPerEpoch };
    let diverged: string | null = null;
    try {
      for await (const event of train(session, training, {
        ...options,
        ...every,
        ...(signal === null ? {} : { signal }),
      })) {
        if (event.type !== "step") continue;
        losses.push(event.loss);
        seconds += event.seconds;
      }
    } catch (error) {
      if (!(error instanceof NumericError)) throw error;
      diverged = error.message;
    }
    if (signal?.aborted) return null;
    if (diverged === null && points.at(-1)?.values.loss === undefined)
      diverged = "the loss of the evaluation is not finite";
    return {
      ...{ identity, points, steps: losses.length, seconds, evaluationSeconds },
      losses: sha256(new Uint8Array(Float64Array.from(losses).buffer)),
      ...{ initialState, diverged },
    };
  } finally {
    await session.release();
  }
}
