import type { Tensor } from "onnxruntime-common";
import { type Kind, listOf, METHOD, TEXT, withFields } from "../arguments.ts";
import type { InputSpec } from "../artifacts/ort-artifacts.ts";
import type { StateKind } from "../artifacts/portable/plan.ts";
import type { TrainingState } from "../artifacts/portable/state.ts";
import type { Model } from "../graph/model.ts";
import type { Tensor as GraphTensor } from "../graph/tensor.ts";

/** Values by name; names may be anything, `__proto__` too. */
export type NamedTensors = Readonly<Record<string, Tensor>>;

export type UriOrBuffer = string | Uint8Array | ArrayBuffer;

/** Which outputs are wanted: their names, or a map of names to null or to a tensor that takes the values. */
export type Fetches = readonly string[] | Readonly<Record<string, Tensor | null>>;

/** Options of a single run, as onnxruntime-common has them. The training API has none that matter here; they are ignored. */
export type RunOptions = Readonly<Record<string, unknown>>;

/** The four training artifacts, as paths or bytes. */
export interface TrainingSessionCreateOptions {
  readonly checkpointState: UriOrBuffer;
  readonly trainModel: UriOrBuffer;
  readonly evalModel?: UriOrBuffer;
  readonly optimizerModel?: UriOrBuffer;
}

/** Makes an inference model: an eval model cut before its loss, with these weights in it. Whoever has the passes gives it. */
export type Exporter = (
  evalModel: Model,
  weights: ReadonlyMap<string, GraphTensor>,
  outputs: readonly string[] | null,
) => Uint8Array;

/** What a session can do beside what every session can. */
export interface Abilities {
  readonly setLearningRate: boolean;
  readonly getGradients: boolean;
  /** `getState` and `loadState`: the optimizer's state too. */
  readonly keepState: boolean;
  /** `saveCheckpoint`: false where the state has more than ONNX Runtime's format holds: 2 GiB, no scale of the loss. */
  readonly saveCheckpoint: boolean;
  /** `sharedUpdates`: each of several sessions makes a part of the update. */
  readonly shareUpdates: boolean;
}

/** The part that one of several sessions has in an update. */
export interface Share {
  /** Names of the parameters that it renews, with what the optimizer keeps for them. */
  readonly parameters: readonly string[];
  /** How many sessions the gradients were summed over. */
  readonly sessions: number;
}

/** What a tensor is like, without its elements. */
export interface TensorLayout {
  readonly size: number;
  readonly bytes: number;
  /** A tensor like it whose elements are these bytes. */
  readonly over: (memory: Uint8Array<ArrayBuffer>) => Tensor;
}

/** What sessions that make parts of updates do beside what every session does. */
export interface SharedUpdates {
  /**
   * Has the gradients of batches after a reset written into the elements of these tensors, where that can be: what `lendState`
   * then lends are those elements. They must stay the caller's, and be written by nobody else while a call is under way.
   * @param gradients tensors of the type and shape of every parameter, by the parameters' names
   * @throws DataError `E_FEED`
   */
  placeGradients(gradients: NamedTensors): Promise<void>;
  /**
   * Has parameters lie in the elements of these tensors, where that can be: now in the first, after the next update in the second, and
   * so on by turns. What this session renews is then written there, and what others renew is to be written there before `turn`. The
   * elements must stay the caller's.
   * @param now of the types and shapes of parameters
   * @param next the same
   * @returns names of the parameters that lie there; the others are to be read and put
   * @throws DataError `E_FEED`
   */
  placeParameters(now: NamedTensors, next: NamedTensors): Promise<readonly string[]>;
  /** Makes what was written where these parameters are to lie next their elements. */
  turn(parameters: readonly string[]): Promise<void>;
  /**
   * Makes a part of an update: divides the sums of gradients, and renews some parameters. The others, and what the optimizer
   * keeps for them, are then to be put: parameters before the next step, the rest before the state is asked for.
   * @param sums of the gradients of every parameter
   * @param statistics running statistics in the place of the session's
   * @returns names of the slots that were renewed
   * @throws DataError `E_FEED`
   */
  apply(share: Share, sums: NamedTensors, statistics: NamedTensors): Promise<readonly string[]>;
  /** What the parameters are like, or the slots. */
  layout(kind: "parameter" | "slot"): Promise<ReadonlyMap<string, TensorLayout>>;
  /** Copies parameters and slots of these names into the elements of these tensors. @throws DataError `E_FEED` */
  read(into: NamedTensors): Promise<void>;
  /** Puts tensors in the place of those of the state. @throws DataError `E_FEED` */
  put(tensors: NamedTensors): Promise<void>;
}

/** What the loss is multiplied by before gradients are taken, where training finds it. */
export interface LossScaling {
  /** For the next update. */
  readonly scale: number;
  /** Updates left out so far, because a gradient was not finite. */
  readonly skipped: number;
}

/**
 * How ONNX Runtime is reached: `native` through the C API of onnxruntime-node's library, `binding` through onnxruntime-node
 * itself, `given` through a module that the caller gave, `web` through onnxruntime-web: its training build, or in a browser.
 */
export type WayName = "native" | "binding" | "given" | "web";

export interface Reached {
  readonly name: WayName;
  /** Ways that are preferred and do not work here, with the reason. */
  readonly passedOver: readonly (readonly [name: WayName, reason: string])[];
}

/** An input of the eval model that is an output of the batch before; its shape is fixed. */
export interface CarriedInput extends InputSpec {
  /** The output; the training renews it by itself. */
  readonly output: string;
}

/**
 * A training session, with the names and meaning it had in onnxruntime-common up to 1.19. Every runtime of this package
 * gives one.
 */
export interface TrainingSession {
  readonly runtime: "ort-node" | "ort-training";
  /** How ONNX Runtime is reached. */
  readonly way: Reached;
  /** Into how many parts a training step cuts its batch, which are computed at the same time; 1: it computes the batch as one. */
  readonly batchParts: number;
  /** Sizes of batches that are computed by models made for them, by the names that the models have for them; none: all batches by the same. */
  readonly sizes: Readonly<Record<string, number>>;
  /** Ask this, not for the name of the runtime. */
  readonly can: Abilities;
  /** The user's inputs of the training model, in their order; without parameters and gradient buffers. */
  readonly trainingInputNames: readonly string[];
  /** The first is the loss. */
  readonly trainingOutputNames: readonly string[];
  /** @throws BackendError `E_NO_EVAL_MODEL` */
  readonly evalInputNames: readonly string[];
  /** @throws BackendError `E_NO_EVAL_MODEL` */
  readonly evalOutputNames: readonly string[];
  /** Types and shapes of `trainingInputNames`. */
  readonly trainingInputs: readonly InputSpec[];
  /**
   * What a batch takes over from the one before: in training as state of the session, in evaluation as an input that is an output of
   * the batch before. Empty where batches have nothing to do with each other.
   */
  readonly carried: readonly CarriedInput[];

  /** Makes the next train step overwrite the gradients instead of adding to them. */
  lazyResetGrad(): Promise<void>;
  /**
   * Forward and backward: computes the outputs and adds to the gradients.
   * @param fetches the outputs wanted. Default all. As in onnxruntime-common, run options may stand in its place.
   * @throws DataError `E_FEED` where feeds are missing, unknown, or of the wrong type or shape; `E_FETCH` for an output that
   *   does not exist; BackendError `E_NOMINAL` before the parameters of a nominal checkpoint are loaded.
   */
  runTrainStep(feeds: NamedTensors, fetches?: Fetches | RunOptions, options?: RunOptions): Promise<NamedTensors>;
  /** Updates the parameters with the gradients; does not reset them. @throws BackendError `E_NO_OPTIMIZER_MODEL` */
  runOptimizerStep(options?: RunOptions): Promise<void>;
  /** Forward only, in inference mode. @throws as `runTrainStep`; BackendError `E_NO_EVAL_MODEL` */
  runEvalStep(feeds: NamedTensors, fetches?: Fetches | RunOptions, options?: RunOptions): Promise<NamedTensors>;

  /** Number of elements of all parameters together. @param trainableOnly default true */
  getParametersSize(trainableOnly?: boolean): Promise<number>;
  /** Sets the parameters from their float32 bytes one after another. @throws DataError `E_PARAMETERS_SIZE` */
  loadParametersBuffer(buffer: Uint8Array | ArrayBuffer, trainableOnly?: boolean): Promise<void>;
  /** All parameters as one float32 vector, in the order of the training model's inputs. */
  getContiguousParameters(trainableOnly?: boolean): Promise<Tensor>;

  /** Updates done so far, those before a checkpoint that was resumed included. */
  readonly steps: number;
  /** The learning rate of an update counted from 1, as it is set now; of parameters without a group of their own. */
  learningRateOf(step: number): number;
  /**
   * Sets the learning rate of the updates that follow.
   * @throws BackendError `E_UNSUPPORTED` by ort-training, which has no way to set it: give it when the session is made.
   */
  setLearningRate(rate: number): Promise<void>;
  /** The gradients summed up since the last reset, by parameter. @throws BackendError `E_UNSUPPORTED` by ort-training */
  getGradients(): Promise<NamedTensors>;
  /**
   * The gradients of a batch at the parameters as they are. They take the place of those that were summed up; nothing else
   * changes, running statistics neither. As they lie in memory where they lie there: to be read before the next call.
   * @throws DataError `E_FEED`; BackendError `E_UNSUPPORTED` by ort-training, and of a whole step
   */
  gradientsOf(feeds: NamedTensors): Promise<NamedTensors>;
  /**
   * The state of one kind by name, accumulators by the names of their parameters, as it lies in memory where it lies there: to be
   * read before the next call, and not to be changed.
   * @throws BackendError `E_UNSUPPORTED` by ort-training
   */
  lendState(kind: StateKind): Promise<NamedTensors>;
  /**
   * Updates the parameters with these gradients, whatever the session has summed up.
   * @param gradients of every parameter
   * @param statistics running statistics in the place of the session's. Default: none
   * @throws DataError `E_FEED`; BackendError `E_NO_OPTIMIZER_MODEL`, `E_UNSUPPORTED` by ort-training
   */
  applyGradients(gradients: NamedTensors, statistics?: NamedTensors): Promise<void>;
  /** Updates of which this session makes a part. @throws BackendError `E_UNSUPPORTED` where `can.shareUpdates` is false */
  sharedUpdates(): Promise<SharedUpdates>;
  /**
   * Whole training steps, one per batch: gradients reset, forward, backward, update. Faster than the three calls where the
   * runtime can do them in one. Where a loss is not finite, its step is not kept, nor, where the runtime does
   * them in one, those before it in the call.
   * @param rates learning rate of each step; default: as it is set
   * @returns the loss of each step, before its update
   * @throws as `runTrainStep` and `runOptimizerStep`
   */
  trainSteps(batches: readonly NamedTensors[], rates?: readonly number[]): Promise<readonly number[]>;
  /** The loss's scale; null where training does not find one. */
  lossScale(): Promise<LossScaling | null>;
  /** How many steps one call of `trainSteps` does best; `auto` where any number gives the same and the clock tells. */
  readonly stepsPerCall: number | "auto";

  /**
   * The session's state as a checkpoint file of ONNX Runtime.
   * @throws CheckpointError `E_CHECKPOINT_SIZE` where it would have more than 2 GiB
   */
  saveCheckpoint(): Promise<Uint8Array>;
  /**
   * The whole state, optimizer slots included, by name.
   * @throws BackendError `E_UNSUPPORTED` by ort-training, which does not give out the optimizer's state
   */
  getState(): Promise<TrainingState>;
  /** Goes on from a state. @throws CheckpointError `E_CHECKPOINT_MISMATCH`; BackendError `E_UNSUPPORTED` by ort-training */
  loadState(state: TrainingState): Promise<void>;
  /**
   * An inference model with the trained weights: the eval model without its loss.
   * @param outputs tensors of the eval model to give. Default: its outputs but the loss, or what the loss is computed from.
   * @throws BackendError `E_NO_EVAL_MODEL`; PassError `E_NO_FORWARD` where there is nothing but the loss
   */
  exportModel(outputs?: readonly string[]): Promise<Uint8Array>;
  /**
   * The first tensor that is not finite, in words; null where all are.
   * @param feeds a batch: it is looked at after the state, and the gradients it gives after it. Default: only what training
   *   changes is looked at
   */
  findNotFinite(feeds?: NamedTensors): Promise<string | null>;
  release(): Promise<void>;
}

export const A_SESSION: Kind = withFields(
  { trainSteps: METHOD, lazyResetGrad: METHOD },
  "a training session, as TrainingSession.create gives it",
);

export const NAMES: Kind = listOf(TEXT, "a list of names");
