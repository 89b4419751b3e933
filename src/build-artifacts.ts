import { requireArgument } from "./arguments.ts";
import { checkpointSpace, MOST_CHECKPOINT_BYTES } from "./artifacts/checkpoint/checkpoint-space.ts";
import { encodeCheckpoint } from "./artifacts/checkpoint/write-odtc.ts";
import type { TrainingArtifacts } from "./artifacts/ort-artifacts.ts";
import type { PortableArtifacts } from "./artifacts/portable/portable-artifacts.ts";
import { firstState } from "./artifacts/portable/state.ts";
import type { TrainableParameter } from "./artifacts/trainable-parameters.ts";
import { PassError, requireOption } from "./errors.ts";
import type { NamedTensor } from "./graph/attribute.ts";
import { DataType, dataTypeName } from "./graph/data-type.ts";
import { readExternalTensors } from "./graph/io/external-tensors.ts";
import type { Model } from "./graph/model.ts";
import { A_MODEL } from "./graph/model.ts";
import { isGradientName } from "./onnxruntime/training-names.ts";
import type { OptimizerOptions } from "./optim/optimizers.ts";
import { allGroups, type ParameterGroup } from "./optim/parameter-groups.ts";
import { WITH_LOSS } from "./passes/add-loss.ts";
import { insertAgr } from "./passes/insert-agr/index.ts";
import type { InsertAgrOptions } from "./passes/insert-agr/options.ts";
import { makeTrainingGraphs, type TrainingGraphOptions, type TrainingGraphs } from "./passes/make-training-graph.ts";
import { makeOptimizerModel } from "./passes/onnxruntime/optimizer-model.ts";
import { toTrainingModel } from "./passes/onnxruntime/write-training-model.ts";
import type { Skipped } from "./passes/pass.ts";
import { INITIAL_LOSS_SCALE, type LossScale } from "./passes/scale-loss.ts";
import { copyTrainingGraph } from "./passes/training-graph.ts";
import { makePortableSet } from "./portable-set.ts";

export const BUILD_TARGETS = ["onnxruntime", "portable"] as const;
export type BuildTarget = (typeof BUILD_TARGETS)[number];

export interface BuildOptions extends Omit<TrainingGraphOptions, "mixed"> {
  /** Default AdamW as PyTorch has it. */
  readonly optimizer?: OptimizerOptions;
  /** Puts AGR before the optimizer. Default: not. */
  readonly agr?: Omit<InsertAgrOptions, "parameters" | "count" | "select">;
  /**
   * `onnxruntime`: the four files of ONNX Runtime's training API. `portable`: standard operators only. Default: both, or
   * portable alone where the training API does not have the optimizer.
   */
  readonly targets?: readonly BuildTarget[];
  /** Portable set: parameters with a learning rate or weight decay of their own. */
  readonly parameterGroups?: readonly ParameterGroup[];
  /** Portable set: parameters of lower rank get no weight decay; 2 leaves out biases and norm scales. Default 0. */
  readonly decayMinRank?: number;
  /**
   * Portable set: what the learning rate is multiplied by from one layer to the one before it, so that layers near the input
   * change less. A parameter that a group has is of that group alone. Default 1.
   */
  readonly layerDecay?: number;
  /**
   * Portable set, with `precision` of `float16` or `bfloat16`: what the loss is multiplied by before its gradients are taken. A number
   * stays; `{ initial }` is doubled after 2,000 updates in a row, and halved where a gradient is not finite, whose update is left
   * out. Default: `{ initial: 65536 }` with float16, none with bfloat16, whose exponents are those of float32.
   */
  readonly lossScale?: LossScale;
}

export interface BuildReport {
  readonly pass: "build";
  readonly trainable: readonly TrainableParameter[];
  readonly frozen: readonly string[];
  readonly skipped: readonly Skipped[];
  readonly notes: readonly string[];
}

export interface BuiltArtifacts {
  readonly onnxruntime: TrainingArtifacts | null;
  readonly portable: PortableArtifacts | null;
  readonly report: BuildReport;
}

/** The newest versions that the training API in onnxruntime-web 1.19.2 takes. */
const TRAINING_API = { opset: 21, irVersion: 10 } as const;

/**
 * Makes training artifacts from a forward model: loss, gradients, optimizer, checkpoint. The model itself is left as it is.
 * @throws PassError `E_OPSET`, `E_NO_PARAMETERS`, `E_LOSS`, `E_PRECISION`, `E_TARGET` for a target that was asked for and cannot be made;
 *   GradientError `E_NO_GRADIENT_RULE`, `E_NO_GRADIENT`, `E_NO_SHAPE`; UsageError `E_OPTION`, `E_OUTPUT`, `E_GROUP`
 */
export async function buildTrainingArtifacts(model: Model, options: BuildOptions): Promise<BuiltArtifacts> {
  requireArgument("model", model, A_MODEL);
  requireArgument("options", options, WITH_LOSS);
  const { targets, optimizer = { name: "adamw" }, winograd = true } = options;
  requireOption(typeof winograd === "boolean", "winograd", "true or false");
  for (const target of targets ?? []) {
    requireOption(BUILD_TARGETS.includes(target), "targets", `of ${BUILD_TARGETS.join(", ")}`);
  }
  const own = model.clone();
  await readExternalTensors(own);
  const mixed = mixedOf(options);
  const graphs = makeTrainingGraphs([own.clone(), own], { ...options, ...mixed });
  requireFloat(graphs.trainable);
  const trainable = graphs.trainable.map(({ name, tensor }) => ({ name, shape: tensor.dims }));
  const wants = (target: BuildTarget): boolean => targets === undefined || targets.includes(target);
  const forApi =
    mixed === null ? forTrainingApi : () => `its files hold float32 alone, and precision is ${options.precision}`;
  const made = wants("onnxruntime") ? forApi(graphs, optimizer) : null;
  if (typeof made === "string" && targets?.includes("onnxruntime")) {
    throw new PassError("E_TARGET", `the onnxruntime target cannot be made: ${made}`, {
      field: "targets",
      hint: "Build the portable target.",
    });
  }
  const onnxruntime = typeof made === "string" ? null : made;
  if (onnxruntime !== null && options.agr !== undefined && onnxruntime.optimizerModel !== null) {
    insertAgr(onnxruntime.optimizerModel, { ...options.agr, parameters: trainable });
  }
  return {
    onnxruntime,
    portable: wants("portable") ? portableOf(graphs, optimizer, options) : null,
    report: {
      pass: "build",
      trainable,
      frozen: graphs.frozen.map(({ name }) => name),
      skipped: graphs.skipped,
      notes: [
        ...graphs.notes,
        ...(mixed === null ? [] : [scaleNote(mixed.mixed.lossScale)]),
        ...(onnxruntime !== null && (options.layerDecay ?? 1) !== 1
          ? ["rates by depth are those of the portable set: ONNX Runtime's training API has one for all parameters"]
          : []),
        ...(typeof made === "string" ? [`no files for ONNX Runtime's training API: ${made}`] : []),
      ],
    },
  };
}

/** @throws UsageError `E_OPTION` for a scale of the loss where all is float32 */
function mixedOf({ precision, lossScale }: BuildOptions): Required<Pick<TrainingGraphOptions, "mixed">> | null {
  const isLow = precision === "float16" || precision === "bfloat16";
  requireOption(lossScale === undefined || isLow, "lossScale", "left out, or precision float16 or bfloat16 given");
  if (!isLow) return null;
  const byDefault = precision === "float16" ? { initial: INITIAL_LOSS_SCALE } : null;
  return { mixed: { precision, lossScale: lossScale ?? byDefault } };
}

function scaleNote(scale: LossScale | null): string {
  if (scale === null) return "the loss is not scaled (--loss-scale)";
  if (typeof scale === "number") return `the loss is scaled by ${scale} before gradients are taken, which divide by it`;
  return `the loss is scaled by ${scale.initial} at first: doubled after 2000 updates in a row, halved where a gradient is not finite, whose update is left out (--loss-scale)`;
}

/** @throws PassError `E_PRECISION`: optimizers are written in float32, and their models would not load with another type */
function requireFloat(trainable: readonly NamedTensor[]): void {
  const other = trainable.find(({ tensor }) => tensor.dtype !== DataType.float);
  if (other === undefined) return;
  const type = dataTypeName(other.tensor.dtype);
  throw new PassError("E_PRECISION", `"${other.name}" is ${type}, and parameters are trained in float32`, {
    field: other.name,
    hint: "Export the model in float32, or leave such parameters as they are: --freeze (freeze).",
  });
}

/** The four files, or why there are none. The graphs are left as they are. */
function forTrainingApi(
  { training, evaluation, trainable, frozen }: TrainingGraphs,
  optimizer: OptimizerOptions,
): TrainingArtifacts | string {
  const { opset, irVersion } = training.model;
  if (opset > TRAINING_API.opset) return `it takes opsets up to ${TRAINING_API.opset}, the model's is ${opset}`;
  if (irVersion > TRAINING_API.irVersion) {
    return `it takes IR versions up to ${TRAINING_API.irVersion}, the model's is ${irVersion}`;
  }
  const confusing = training.inputs.find(({ name }) => isGradientName(name));
  if (confusing !== undefined) return `it takes the input "${confusing.name}" for a gradient, by its name`;
  if (training.carried.length > 0) return "it has no state that batches take over from each other";
  const { model, refused } = makeOptimizerModel(optimizer, { irVersion, opset });
  if (model === null) return refused;
  const checkpoint = { trainable, frozen, nominal: false, optimizerGroups: [], properties: new Map() };
  const space = checkpointSpace(checkpoint);
  if (space > MOST_CHECKPOINT_BYTES) {
    return `its checkpoint format holds 2 GiB, and the parameters take ${(space / 2 ** 30).toFixed(1)}`;
  }
  return {
    prefix: "",
    trainingModel: toTrainingModel(copyTrainingGraph(training)),
    evalModel: evaluation.clone(),
    optimizerModel: model,
    checkpoint: encodeCheckpoint(checkpoint),
    checkpointData: null,
  };
}

/** The graphs lie in the set afterwards. */
function portableOf(graphs: TrainingGraphs, optimizer: OptimizerOptions, options: BuildOptions): PortableArtifacts {
  const { training, evaluation, trainable, frozen, depths } = graphs;
  const members = trainable.map(({ name, tensor: { dims } }) => ({
    name,
    rank: dims.length,
    depth: depths.get(name) ?? 0,
  }));
  const groups = allGroups(members, options);
  const { planned, ...models } = makePortableSet(training, evaluation, { optimizer, agr: options.agr ?? null, groups });
  return { ...models, state: firstState([...trainable, ...frozen], planned) };
}
