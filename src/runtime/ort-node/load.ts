import type { Tensor } from "onnxruntime-common";
import { BackendError } from "../../errors.ts";
import type { PreparedRun } from "../ort-native/lane.ts";
import type { NamedTensors } from "../session.ts";
import type { Update, Updates } from "./separated.ts";
import type { Shards } from "./shards.ts";
import type { StateStore } from "./state-store.ts";

/** The part of ONNX Runtime's module that this package calls. onnxruntime-web can stand in for onnxruntime-node. */
export interface OrtModule {
  /** The module's own class: it writes only into tensors it knows as its own. */
  readonly Tensor: typeof Tensor;
  readonly InferenceSession: {
    create(model: Uint8Array, options?: Readonly<Record<string, unknown>>): Promise<OrtSession>;
  };
  /**
   * Keeps the state of a training run where it is computed. Where it is absent, the state is kept in tensors of JavaScript.
   * @param provider an execution provider, with options of its own
   * @param options what sessions of this run are made with
   */
  readonly createState?: (
    provider: Readonly<Record<string, unknown>> & { readonly name: string },
    options: Readonly<Record<string, unknown>>,
  ) => StateStore;
  /**
   * Computes the elementwise end of updates beside ONNX Runtime, on the CPU. Absent: it cannot.
   * @param options what sessions of this run are made with
   */
  readonly createUpdates?: (options: Readonly<Record<string, unknown>>) => Updates;
  /**
   * Runs models on parts of a batch at the same time, on the CPU. Absent: it cannot.
   * @param options what sessions of this run are made with
   */
  readonly createShards?: (options: Readonly<Record<string, unknown>>) => Shards;
}

/** What is done in one call with a run. Only a session of a module that makes it takes it. */
export interface Around {
  /** Runs that are made at the same time, before this one; they are prepared when it is this one's turn. @param step which of several, from 0 on */
  readonly before?: (step: number) => readonly PreparedRun[];
  /** Is done once all runs went well. */
  readonly update?: Update | null;
  /**
   * Whether new outputs are read before the session's next run, and not needed after that: it may write them where it did before. Default
   * false. Nothing is done for it where something else is done around the run.
   */
  readonly lends?: boolean;
}

/** One of several runs that follow each other in one call. */
export interface StepRun extends Pick<Around, "before"> {
  readonly feeds: NamedTensors;
  /** The outputs wanted; a tensor takes the values. */
  readonly fetches: Readonly<Record<string, Tensor | null>>;
}

/** What came of several runs. */
export interface StepsMade {
  /** What each of those that went well gave the update as losses. */
  readonly losses: readonly (readonly number[])[];
  /** Why the run behind them went wrong; null where none did. */
  readonly error: unknown;
}

export interface OrtSession {
  readonly inputNames: readonly string[];
  readonly outputNames: readonly string[];
  run(feeds: NamedTensors): Promise<Readonly<Record<string, Tensor>>>;
  /**
   * @param fetches the outputs wanted; a tensor takes the values, null asks for a new one
   * @param around what is done before the run, and after it
   */
  run(
    feeds: NamedTensors,
    fetches: Readonly<Record<string, Tensor | null>>,
    around?: Around,
  ): Promise<Readonly<Record<string, Tensor>>>;
  /** Runs, one after the other in one call, each with the update behind it; none behind one whose loss is not finite. Absent: it cannot. */
  readonly runSteps?: (runs: readonly StepRun[], update: Update) => Promise<StepsMade>;
  /** Prepares for runs that need about so many bytes. */
  readonly reserve?: (bytes: number) => void;
  /** Writes the profile that was asked for when the session was made. */
  endProfiling(): void;
  release(): Promise<void>;
}

/** @throws BackendError `E_RUNTIME_MISSING` where onnxruntime-node is not installed */
export async function loadOrtNode(): Promise<OrtModule> {
  try {
    const ort = await import("onnxruntime-node");
    /** Its log goes to the console past everything; what it has to say comes with the errors it throws. */
    if (ort.env.logLevel === undefined || ort.env.logLevel === "warning") ort.env.logLevel = "fatal";
    return ort as unknown as OrtModule;
  } catch (cause) {
    throw new BackendError("E_RUNTIME_MISSING", "onnxruntime-node is not installed", {
      hint: "Run: npm install onnxruntime-node",
      cause,
    });
  }
}

/** The version of onnxruntime-node; null where it is not installed. */
export async function ortNodeVersion(): Promise<string | null> {
  return import("onnxruntime-node").then(
    ({ env }) => env.versions.node ?? null,
    () => null,
  );
}
