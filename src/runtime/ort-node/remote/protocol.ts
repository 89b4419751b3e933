import type { InputSpec } from "../../../artifacts/ort-artifacts.ts";
import type { TrainingState } from "../../../artifacts/portable/state.ts";
import type { CarriedInput, Reached, TrainingSession } from "../../session.ts";
import type { OrtNodePrograms } from "../programs.ts";
import type { OrtNodeOptions } from "../providers.ts";
import type { StepModels } from "../step-programs.ts";
import type { Encoded } from "./encoded.ts";

/** Null where there is none. */
export type SentModels = Pick<OrtNodePrograms, keyof StepModels | "apply" | "evaluation" | "sized">;

/** What the other side makes its session of. */
export interface Opening {
  readonly models: Encoded<SentModels>;
  readonly state: TrainingState;
  readonly stepsPerCall: number | "auto";
  readonly options: OrtNodeOptions;
  /** Settings of ONNX Runtime's module, where it has some. */
  readonly environment?: unknown;
}

/** What does not change while a session lives. */
export interface Opened {
  readonly trainingInputNames: readonly string[];
  readonly trainingOutputNames: readonly string[];
  readonly trainingInputs: readonly InputSpec[];
  readonly carried: readonly CarriedInput[];
  readonly evaluation: {
    readonly inputs: readonly string[];
    readonly specs: readonly InputSpec[];
    readonly outputs: readonly string[];
  } | null;
  readonly stepsPerCall: number | "auto";
  readonly executionProvider: string;
  readonly passedOver: readonly (readonly [name: string, reason: string])[];
  readonly way: Reached;
  readonly batchParts: number;
  readonly steps: number;
}

/** Methods of a session that are called from afar. */
export type Method = {
  [Key in keyof TrainingSession]: TrainingSession[Key] extends (...args: never[]) => Promise<unknown> ? Key : never;
}[keyof TrainingSession];

/** What is called from afar, `open` first. */
export interface Calls extends Pick<TrainingSession, Method> {
  open(opening: Opening): Promise<Opened>;
}

export type Answer<Name extends keyof Calls> = Promise<Awaited<ReturnType<Calls[Name]>>>;

/** Asks for a call; the first one of all is `open`. */
export interface Request {
  readonly id: number;
  readonly method: keyof Calls;
  readonly args: unknown;
}

export interface Reply {
  readonly id: number;
  readonly result?: unknown;
  readonly error?: unknown;
  /** Updates done. */
  readonly steps: number;
}

/** The other side, as something to send to. */
export interface Peer {
  post(request: Request): void;
  /** Whether the caller's process stays alive for it. */
  hold(alive: boolean): void;
  /** Ends it, and keeps the caller's process alive until it has ended. */
  end(): Promise<void>;
}

export interface PeerEvents {
  readonly reply: (reply: Reply) => void;
  /** The other side is gone. @param reason why, in words */
  readonly gone: (reason: string) => void;
}

export type StartPeer = (events: PeerEvents) => Peer;
