import type { Tensor } from "onnxruntime-common";
import type { InputSpec } from "../artifacts/ort-artifacts.ts";

/** Values by name; names may be anything, `__proto__` too. */
export type NamedTensors = Readonly<Record<string, Tensor>>;

export type UriOrBuffer = string | Uint8Array;

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

/**
 * A training session, with the names and meaning it had in onnxruntime-common up to 1.19. Every runtime of this package
 * gives one.
 */
export interface TrainingSession {
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
  loadParametersBuffer(buffer: Uint8Array, trainableOnly?: boolean): Promise<void>;
  /** All parameters as one float32 vector, in the order of the training model's inputs. */
  getContiguousParameters(trainableOnly?: boolean): Promise<Tensor>;

  /** The session's state as a checkpoint file of ONNX Runtime. */
  saveCheckpoint(): Promise<Uint8Array>;
  release(): Promise<void>;
}
