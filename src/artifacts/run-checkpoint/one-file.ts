import { bytesOf, OPTIONS, requireArgument, withFields } from "../../arguments.ts";
import { CheckpointError } from "../../errors.ts";
import { joinBytes } from "../../graph/bytes.ts";
import { A_STATE, decodeState, stateParts, type TrainingState } from "../portable/state.ts";
import { decodeSafetensors } from "../safetensors.ts";
import { differences } from "./differences.ts";
import type { RunOptions, TrainPosition } from "./manifest.ts";

/** A training run as it stands: with this and the same data it goes on to the numbers of a run that was not broken off. */
export interface RunSnapshot {
  readonly state: TrainingState;
  /** Where it stands in its data. */
  readonly position: TrainPosition;
  /** What decides how it goes on, by names of the caller's: batch size, seed, data. */
  readonly options: RunOptions;
}

const SNAPSHOT = withFields({ state: A_STATE, position: OPTIONS, options: OPTIONS }, "{ state, position, options }");
const ENTRY = "onnx-agr.run";

/** The run as one safetensors file: the state, with position and options beside it. Whatever reads a state reads it too. */
export function encodeRun(run: RunSnapshot): Uint8Array {
  requireArgument("run", run, SNAPSHOT);
  const { state, position, options } = run;
  return joinBytes(stateParts(state, new Map([[ENTRY, JSON.stringify({ position, options })]])));
}

/**
 * @param now the options of the training that is to go on; those of the file must be the same. Default: they are not compared
 * @throws FormatError `E_SAFETENSORS`; CheckpointError `E_STATE`, `E_NO_POSITION` for a state without a run, `E_RESUME_MISMATCH`
 *   listing what differs
 */
export function decodeRun(bytes: Uint8Array | ArrayBuffer, now?: RunOptions): RunSnapshot {
  const given = bytesOf("bytes", bytes);
  const state = decodeState(given);
  const entry = decodeSafetensors(given).metadata.get(ENTRY);
  if (entry === undefined) {
    throw new CheckpointError("E_NO_POSITION", "the file holds a state, and not where a run stands", {
      field: `__metadata__.${ENTRY}`,
      hint: "Load its state (decodeState, loadState) and train from the beginning of the data.",
    });
  }
  const { position, options } = parsed(entry);
  const unlike = now === undefined ? [] : differences({ options, hashes: {} }, { options: now, hashes: {} });
  if (unlike.length === 0) return { state, position, options };
  const list = unlike.map(({ item, was, is }) => `${item} was ${was}, is ${is}`).join("; ");
  throw new CheckpointError("E_RESUME_MISMATCH", `the saved run is of another training: ${list}`, {
    hint: "Train with the same options, or load the state alone (decodeState, loadState).",
  });
}

const POSITION = ["epoch", "batch", "lossSum", "samples"] as const;

function parsed(entry: string): { readonly position: TrainPosition; readonly options: RunOptions } {
  const damaged = (cause?: unknown): CheckpointError =>
    new CheckpointError("E_STATE", "where the run stands is damaged", { field: `__metadata__.${ENTRY}`, cause });
  let read: unknown;
  try {
    read = JSON.parse(entry);
  } catch (cause) {
    throw damaged(cause);
  }
  if (!OPTIONS.holds(read)) throw damaged();
  const { position, options } = read as Readonly<Record<string, unknown>>;
  if (!OPTIONS.holds(position) || !OPTIONS.holds(options)) throw damaged();
  const numbers = position as Readonly<Record<string, unknown>>;
  if (!POSITION.every((name) => typeof numbers[name] === "number")) throw damaged();
  return { position: position as TrainPosition, options: options as RunOptions };
}
