import { Tensor } from "onnxruntime-common";
import { valueRanges } from "../analysis/value-ranges.ts";
import { requireArgument } from "../arguments.ts";
import { BackendError, NumericError, requireOption } from "../errors.ts";
import { fromHalf } from "../graph/half.ts";
import { readExternalTensors } from "../graph/io/external-tensors.ts";
import type { Model } from "../graph/model.ts";
import { A_MODEL } from "../graph/model.ts";
import type { Tensor as GraphTensor } from "../graph/tensor.ts";
import type { ValueRange } from "../graph/value-range.ts";
import { WITH_LOSS } from "../passes/add-loss.ts";
import { toDouble } from "../passes/change-precision.ts";
import { requireNothingDrawn } from "../passes/drawn-by-chance.ts";
import { secondsInFloat64 } from "../passes/float64/cost.ts";
import { makeTrainingGraphs, type TrainingGraphOptions } from "../passes/make-training-graph.ts";
import { toGradients } from "../passes/portable/gradients.ts";
import type { StepModel } from "../passes/portable/step-model.ts";
import { toOrtTensor } from "../runtime/feeds.ts";
import { explain } from "../runtime/ort-errors.ts";
import { loadOrtNode } from "../runtime/ort-node/load.ts";
import { ortTensor } from "../runtime/ort-tensor.ts";
import type { NamedTensors } from "../runtime/session.ts";
import { LossProbe, lossAlone } from "./loss-probe.ts";
import { randomInputs, randomValues, withinRanges } from "./random-inputs.ts";

export interface GradientCheckOptions extends TrainingGraphOptions {
  /** Elements of each parameter that are moved. Default 5. */
  readonly samples?: number;
  /** Seed of the inputs and of the choice of elements. Default 0. */
  readonly seed?: number;
  /** Inputs of the model and of the loss. Default: seeded random ones, symbolic sizes taken as 3. */
  readonly feeds?: NamedTensors;
}

export const GRADIENT_CHECK_DEFAULTS = { samples: 5, seed: 0 } as const;

/** The element of one parameter in which the two differ most. */
export interface CheckedParameter {
  readonly parameter: string;
  /** Difference relative to the largest entry of the parameter's gradient, or of all gradients times 1e-4 where that is larger. */
  readonly difference: number;
  /** What `difference` may be: the check's tolerance, what rounding of the loss makes of this step, and what half the step changes. */
  readonly tolerance: number;
  readonly element: number;
  readonly analytic: number;
  readonly numeric: number;
}

export interface GradientCheck {
  /** `float32` where ONNX Runtime lacks a float64 kernel: finite differences are then good to two digits or so. */
  readonly precision: "float64" | "float32";
  /** Why not in float64; null where it was. */
  readonly reason: string | null;
  readonly loss: number;
  /** What a difference should stay below where the loss is not rounded; each parameter has its own. */
  readonly tolerance: number;
  /** The worst first. */
  readonly parameters: readonly CheckedParameter[];
}

/** About so many seconds may operators take that have to be written in others for float64, all losses together. */
const MOST_SECONDS = 60;

/** So much smaller a step is that the loss itself hardly changes over it. */
const STILL = 1024;

/** How much smaller the next step is where one was too large. */
const FINER = 8;

/** Step of the central differences relative to the element's size, and what they are good for. */
const PRECISIONS = {
  float64: { step: 1e-5, tolerance: 1e-5, epsilon: 2 ** -52 },
  float32: { step: 1e-2, tolerance: 5e-2, epsilon: 2 ** -23 },
} as const;

/**
 * Compares a model's gradients, as `buildTrainingArtifacts` makes them, with central differences of its loss: in float64 where
 * onnxruntime-node has the kernels, else in float32.
 * @throws what `buildTrainingArtifacts` throws; PassError `E_RANDOM` for a loss of numbers that are drawn; BackendError `E_RUNTIME_MISSING`, `E_RUN`; NumericError `E_NOT_FINITE`
 */
export async function checkGradients(model: Model, options: GradientCheckOptions): Promise<GradientCheck> {
  requireArgument("model", model, A_MODEL);
  requireArgument("options", options, WITH_LOSS);
  const { samples, seed } = { ...GRADIENT_CHECK_DEFAULTS, ...options };
  const { precision: asked = "float32" } = options;
  requireOption(asked === "float32", "precision", "float32: gradients are compared in the type of the parameters");
  requireOption(Number.isSafeInteger(samples) && samples >= 1, "samples", "a whole number from 1 on");
  const own = model.clone();
  await readExternalTensors(own);
  const ort = await loadOrtNode();
  let reason: string | null = null;
  for (const precision of ["float64", "float32"] as const) {
    const unrounded = options.quantizationAware ? ({ quantizationAware: "unrounded" } as const) : {};
    const graphs = makeTrainingGraphs([own.clone(), own.clone()], { ...options, ...unrounded }, "all");
    requireNothingDrawn(graphs.training.model, own);
    const tensors = new Map([...graphs.trainable, ...graphs.frozen].map(({ name, tensor }) => [name, tensor]));
    const ranges = valueRanges(graphs.training.model);
    const step = toGradients(graphs.training);
    const losses = 2 * samples * step.gradients.length;
    if (
      precision === "float64" &&
      losses * secondsInFloat64(lossAlone(step.model, step.outputs[0] ?? "")) > MOST_SECONDS
    ) {
      reason = "its convolutions or error functions would take minutes";
      continue;
    }
    if (precision === "float64") toDouble(step.model);
    const feeds = inputsOf(step, ranges, tensors, options.feeds, seed);
    let probe: LossProbe;
    try {
      probe = await LossProbe.open(ort, step, feeds, precision);
    } catch (cause) {
      if (cause instanceof NumericError) throw cause;
      reason = explain(cause).reason;
      continue;
    }
    try {
      const parameters = await compare(probe, step, samples, seed, PRECISIONS[precision]);
      return { precision, reason, loss: probe.loss, tolerance: PRECISIONS[precision].tolerance, parameters };
    } finally {
      await probe.release();
    }
  }
  throw new BackendError("E_RUN", `ONNX Runtime could not run the model: ${reason ?? "it gave no reason"}`);
}

/** Everything the gradients model takes: data, parameters, empty accumulators. */
function inputsOf(
  { model, gradients, reset }: StepModel,
  ranges: ReadonlyMap<string, ValueRange>,
  tensors: ReadonlyMap<string, GraphTensor>,
  given: NamedTensors | undefined,
  seed: number,
): Record<string, Tensor> {
  const made = randomInputs(model.graph, seed);
  if (typeof made === "string") throw new BackendError("E_RUN", `no inputs can be made up: ${made}`);
  const feeds: Record<string, Tensor> = withinRanges(made, ranges);
  const isDouble = (name: string): boolean => feeds[name]?.type === "float64";
  const fitted = (name: string, { type, data, dims }: Tensor): Tensor =>
    isDouble(name) && (type === "float32" || type === "float16")
      ? new Tensor("float64", doubles(type, data), dims)
      : ortTensor(type, data, dims);
  for (const [name, tensor] of tensors) if (name in feeds) feeds[name] = fitted(name, toOrtTensor(tensor, name));
  for (const [name, tensor] of Object.entries(given ?? {})) if (name in feeds) feeds[name] = fitted(name, tensor);
  for (const [parameter, buffer] of gradients) {
    const like = feeds[parameter];
    if (like !== undefined)
      feeds[buffer] = new Tensor(
        like.type as "float32",
        (like.data as Float32Array).map(() => 0),
        like.dims,
      );
  }
  if (reset !== null) feeds[reset] = new Tensor("bool", Uint8Array.of(1), [1]);
  return feeds;
}

const doubles = (type: "float32" | "float16", data: Tensor["data"]): Float64Array =>
  type === "float16" ? Float64Array.from(data as Uint16Array, fromHalf) : Float64Array.from(data as Float32Array);

async function compare(
  probe: LossProbe,
  step: StepModel,
  samples: number,
  seed: number,
  { step: relativeStep, tolerance: smooth, epsilon }: (typeof PRECISIONS)[keyof typeof PRECISIONS],
): Promise<readonly CheckedParameter[]> {
  const largestOf = (values: Float64Array): number =>
    values.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  const overall = [...probe.gradients.values()]
    .map(largestOf)
    .reduce((most, each) => Math.max(most, each), Number.MIN_VALUE);
  const checked: CheckedParameter[] = [];
  for (const [index, [parameter]] of step.gradients.entries()) {
    const gradient = probe.gradients.get(parameter);
    if (gradient === undefined) continue;
    const scale = Math.max(largestOf(gradient), 1e-4 * overall);
    let worst: CheckedParameter | null = null;
    for (const element of elementsOf(gradient, samples, seed + index)) {
      const analytic = gradient[element] ?? Number.NaN;
      /** Two losses, each off by a rounding or so, over two half steps. */
      const rounding = (delta: number): number => (2 * epsilon * Math.abs(probe.loss)) / delta / scale;
      const check = async (delta: number): Promise<CheckedParameter> => {
        const numeric = await probe.slope(parameter, element, delta / 2);
        const difference = Math.abs(numeric - analytic) / scale;
        const tolerance = smooth + rounding(delta);
        const near = { parameter, difference, tolerance, element, analytic, numeric };
        if (excess(near) <= 1) return near;
        /** What a smaller step still changes: curvature, and kinks such as ReLU's within the step. */
        const truncation = Math.abs((await probe.slope(parameter, element, delta)) - numeric) / scale;
        return { ...near, tolerance: tolerance + truncation };
      };
      let delta = relativeStep * Math.max(1e-1, Math.abs(probe.value(parameter, element)));
      let found = await check(delta);
      /** What the loss does over next to no step is rounding on the way to it, which may be far more than its own. */
      if (excess(found) > 1) {
        const noise = await probe.noise(parameter, element, delta / STILL);
        found = { ...found, tolerance: found.tolerance + (2 * noise) / delta / scale };
      }
      /** A loss that bends more than a step of this size shows: smaller ones, as long as rounding does not hide what is wrong. */
      while (excess(found) > 1 && rounding(delta / FINER) < smooth) {
        delta /= FINER;
        found = await check(delta);
      }
      if (worst === null || !(excess(found) <= excess(worst))) worst = found;
    }
    if (worst !== null) checked.push(worst);
  }
  return checked.toSorted((a, b) => (Number.isNaN(b.difference) ? 1 : excess(b) - excess(a)));
}

const excess = ({ difference, tolerance }: CheckedParameter): number => difference / tolerance;

/** The element of the largest gradient, and others by chance. */
function elementsOf(gradient: Float64Array, samples: number, seed: number): readonly number[] {
  const largest = gradient.reduce(
    (best, value, at) => (Math.abs(value) > Math.abs(gradient[best] ?? 0) ? at : best),
    0,
  );
  const others = [...randomValues(samples, seed)].map((value) => Math.floor((Math.abs(value) % 1) * gradient.length));
  return [...new Set([largest, ...others])].slice(0, samples);
}
