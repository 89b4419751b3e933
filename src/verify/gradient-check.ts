import { Tensor } from "onnxruntime-common";
import { valueRanges } from "../analysis/value-ranges.ts";
import { requireArgument } from "../arguments.ts";
import { BackendError, NumericError, OnnxAgrError, requireOption } from "../errors.ts";
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
import {
  type CheckedParameter,
  type Compared,
  compareElement,
  comparisons,
  excess,
  PRECISIONS,
  type Precision,
} from "./element-check.ts";
import { LossProbe, lossAlone } from "./loss-probe.ts";
import { randomInputs, withinRanges } from "./random-inputs.ts";

export interface GradientCheckOptions extends TrainingGraphOptions {
  /** Elements of each parameter that are moved. Default 5. */
  readonly samples?: number;
  /** Seed of the inputs and of the choice of elements. Default 0. */
  readonly seed?: number;
  /** Inputs of the model and of the loss. Default: seeded random ones, symbolic sizes taken as 3. */
  readonly feeds?: NamedTensors;
  /** Seconds after which no further element is moved, of the whole check. Every parameter has its first element moved before any has its second. Default 180. */
  readonly maxSeconds?: number;
  /** Told, before the elements are moved, that they will take longer than `maxSeconds`. */
  readonly tell?: (note: string) => void;
}

export const GRADIENT_CHECK_DEFAULTS = { samples: 5, seed: 0, maxSeconds: 180 } as const;

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
  /** Parameters of which no element was moved, since the time was over. */
  readonly unchecked: readonly string[];
  /** Whether all elements were moved that were to be. */
  readonly isComplete: boolean;
}

/** Where operators have to be written in others for float64, and those alone would take more than this share of the time, it is float32. */
const SHARE_OF_FLOAT64 = 1 / 3;

/** So much of the time is for comparisons at least, however long it took until the first. */
const SHARE_OF_COMPARISONS = 1 / 3;

/** Losses of one element at least: a step to either side. */
const LOSSES_PER_ELEMENT = 2;

/**
 * Compares a model's gradients, as `buildTrainingArtifacts` makes them, with central differences of its loss: in float64 where
 * onnxruntime-node has the kernels, else in float32.
 * @throws what `buildTrainingArtifacts` throws; PassError `E_RANDOM` for a loss of numbers that are drawn; BackendError `E_RUNTIME_MISSING`, `E_RUN`; NumericError `E_NOT_FINITE`
 */
export async function checkGradients(model: Model, options: GradientCheckOptions): Promise<GradientCheck> {
  requireArgument("model", model, A_MODEL);
  requireArgument("options", options, WITH_LOSS);
  const { samples, seed, maxSeconds, tell = () => undefined } = { ...GRADIENT_CHECK_DEFAULTS, ...options };
  const { precision: asked = "float32" } = options;
  requireOption(asked === "float32", "precision", "float32: gradients are compared in the type of the parameters");
  requireOption(Number.isSafeInteger(samples) && samples >= 1, "samples", "a whole number from 1 on");
  requireOption(Number.isFinite(maxSeconds) && maxSeconds > 0, "maxSeconds", "a number above 0");
  const begun = performance.now();
  /** What is left once the graphs are made and a loss has run, but always some of it. */
  const secondsLeft = (): number =>
    Math.max(maxSeconds - (performance.now() - begun) / 1000, SHARE_OF_COMPARISONS * maxSeconds);
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
    if (precision === "float64") {
      const losses = LOSSES_PER_ELEMENT * samples * step.gradients.length;
      const forward = withSizes(lossAlone(step.model, step.outputs[0] ?? ""), options.feeds ?? {});
      if (losses * secondsOf(forward) > SHARE_OF_FLOAT64 * maxSeconds) {
        reason = "its convolutions or error functions would take minutes";
        continue;
      }
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
      const compared = comparisons(probe.gradients, samples, seed);
      const elements = compared.reduce((sum, each) => sum + each.elements.length, 0);
      const perElement = (await probe.seconds()) * LOSSES_PER_ELEMENT;
      if (precision === "float64" && perElement * compared.length > secondsLeft()) {
        reason = "one element of each parameter would take longer than there is time";
        continue;
      }
      const estimate = perElement * elements;
      if (estimate > secondsLeft()) {
        tell(
          `comparing ${elements} elements of ${compared.length} parameters would take ${durationOf(estimate)} or more; it ends after ${durationOf(maxSeconds)} (--max-seconds, maxSeconds)`,
        );
      }
      const found = await compareAll(probe, compared, PRECISIONS[precision], secondsLeft());
      return { precision, reason, loss: probe.loss, tolerance: PRECISIONS[precision].tolerance, ...found };
    } finally {
      await probe.release();
    }
  }
  throw new BackendError("E_RUN", `ONNX Runtime could not run the model: ${reason ?? "it gave no reason"}`, {
    hint: hintFor(own, options),
  });
}

/** Sizes that are open are a guess where no inputs are given, and a small one. */
function hintFor({ graph }: Model, { feeds, sizes = {} }: GradientCheckOptions): string {
  const open = graph.inputs.flatMap(({ name, type, tensor }) =>
    type?.kind === "tensor" && tensor === null
      ? (type.shape ?? []).flatMap((dim, axis) => {
          const size = typeof dim === "string" ? dim : `${name}.${axis}`;
          return typeof dim === "number" || size in sizes ? [] : [size];
        })
      : [],
  );
  if (feeds !== undefined || open.length === 0) return "Give inputs that are fit for the model, with --data (feeds).";
  const flags = [...new Set(open)].map((name) => `--dim ${name}=<size>`).join(" ");
  return `Sizes that the model leaves open were taken as 3. Give others, ${flags} (sizes), or inputs with --data (feeds).`;
}

/** None where inputs do not fit the model: ONNX Runtime says so, when it is run. */
function secondsOf(forward: Model): number {
  try {
    return secondsInFloat64(forward);
  } catch (error) {
    if (error instanceof OnnxAgrError) return 0;
    throw error;
  }
}

/** A model with the sizes of the inputs that are given. */
function withSizes(model: Model, feeds: NamedTensors): Model {
  for (const input of model.graph.inputs) {
    const given = feeds[input.name];
    if (given !== undefined && input.type?.kind === "tensor") input.type = { ...input.type, shape: given.dims };
  }
  return model;
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

/** Every parameter's first element, then every second one, and so on, until the time is over. */
async function compareAll(
  probe: LossProbe,
  compared: readonly Compared[],
  precision: Precision,
  seconds: number,
): Promise<Pick<GradientCheck, "parameters" | "unchecked" | "isComplete">> {
  const end = performance.now() + 1000 * seconds;
  const worst = new Map<string, CheckedParameter>();
  const rounds = Math.max(0, ...compared.map(({ elements }) => elements.length));
  const inOrder = spread(compared);
  let isComplete = true;
  for (let round = 0; round < rounds && isComplete; round++) {
    for (const each of inOrder) {
      const element = each.elements[round];
      if (element === undefined) continue;
      if (worst.size > 0 && performance.now() >= end) {
        isComplete = false;
        break;
      }
      const found = await compareElement(probe, each, element, precision);
      const earlier = worst.get(each.parameter);
      if (earlier === undefined || !(excess(found) <= excess(earlier))) worst.set(each.parameter, found);
    }
  }
  const checked = compared.flatMap(({ parameter }) => worst.get(parameter) ?? []);
  return {
    parameters: checked.toSorted((a, b) => (Number.isNaN(b.difference) ? 1 : excess(b) - excess(a))),
    unchecked: compared.flatMap(({ parameter }) => (worst.has(parameter) ? [] : [parameter])),
    isComplete,
  };
}

const durationOf = (seconds: number): string =>
  seconds < 120 ? `${Math.ceil(seconds)} s` : `${Math.ceil(seconds / 60)} minutes`;

/** In an order in which the first few are spread over all: the places with their bits turned round. */
function spread<Item>(items: readonly Item[]): readonly Item[] {
  const bits = Math.ceil(Math.log2(Math.max(1, items.length)));
  const turned = (place: number): number =>
    Array.from({ length: bits }, (_, bit) => ((place >> bit) & 1) << (bits - 1 - bit)).reduce(
      (sum, bit) => sum + bit,
      0,
    );
  return Array.from({ length: 2 ** bits }, (_, place) => turned(place)).flatMap((place) =>
    items.slice(place, place + 1),
  );
}
