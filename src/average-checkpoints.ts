import { listOf, OPTIONS, PATH, requireArgument } from "./arguments.ts";
import { type AverageOptions, averageTensors } from "./artifacts/average.ts";
import { type Checkpoint, requireElements } from "./artifacts/checkpoint/checkpoint.ts";
import { isCheckpointFile } from "./artifacts/checkpoint/checkpoint-file.ts";
import { decodeCheckpoint } from "./artifacts/checkpoint/read-odtc.ts";
import { encodeCheckpoint } from "./artifacts/checkpoint/write-odtc.ts";
import { decodeState, isState, stateParts } from "./artifacts/portable/state.ts";
import { loadRun } from "./artifacts/run-checkpoint/folder.ts";
import { decodeSafetensors, safetensorsParts } from "./artifacts/safetensors.ts";
import { CheckpointError, namingFile, UsageError } from "./errors.ts";
import { isFolder, readRegularFile } from "./graph/io/read-file.ts";
import type { Tensor } from "./graph/tensor.ts";

/** What checkpoints are written as: a training state, tensors alone, ONNX Runtime's format. */
export type CheckpointKind = "state" | "safetensors" | "onnxruntime";

/** A checkpoint as tensors by name, and how it is written with others. */
interface Averageable {
  readonly kind: CheckpointKind;
  readonly tensors: ReadonlyMap<string, Tensor>;
  /** Updates it was trained for; null where it does not say. */
  readonly step: number | null;
  readonly write: (tensors: ReadonlyMap<string, Tensor>, step: number) => readonly Uint8Array[];
}

export interface AveragedCheckpoint {
  readonly kind: CheckpointKind;
  /** The file, in pieces. */
  readonly parts: readonly Uint8Array[];
  /** Names of what was averaged. */
  readonly averaged: readonly string[];
  /** Names of what is the same in all, bit for bit, and was kept. */
  readonly same: readonly string[];
  /** Updates that each was trained for; the average says the most. */
  readonly steps: readonly (number | null)[];
}

/**
 * Averages checkpoints of one kind: files of training states, safetensors or ONNX Runtime's format, or folders that `saveRun` wrote, of
 * which the newest checkpoint is taken. Optimizer moments are averaged with the parameters.
 * @param paths at least one
 * @returns a checkpoint of the same kind; of folders, the state
 * @throws UsageError `E_OPTION`; CheckpointError `E_CHECKPOINT_MISMATCH`, `E_NOMINAL`, and what the readers throw; NumericError
 *   `E_NOT_FINITE`
 */
export async function averageCheckpoints(
  paths: readonly string[],
  options: AverageOptions = {},
): Promise<AveragedCheckpoint> {
  requireArgument("paths", paths, PATHS);
  requireArgument("options", options, OPTIONS);
  const read: Averageable[] = [];
  for (const path of paths) read.push(await readAverageable(path));
  const [first] = read;
  if (first === undefined) throw new UsageError("E_OPTION", "there is no checkpoint to average", { field: "paths" });
  const other = read.findIndex(({ kind }) => kind !== first.kind);
  if (other >= 0) {
    const [is, was] = [KINDS[read[other]?.kind ?? first.kind], KINDS[first.kind]];
    throw new CheckpointError("E_CHECKPOINT_MISMATCH", `${paths[other]} is ${is}, ${paths[0]} is ${was}`, {
      file: paths[other] ?? "",
      hint: "Average checkpoints of one kind.",
    });
  }
  const sources = read.map(({ tensors }, index) => [paths[index] ?? "", tensors] as const);
  const { tensors, same } = averageTensors(sources, options);
  const steps = read.map(({ step }) => step);
  const parts = first.write(tensors, Math.max(0, ...steps.map((step) => step ?? 0)));
  const kept = new Set(same);
  return { kind: first.kind, parts, averaged: [...tensors.keys()].filter((name) => !kept.has(name)), same, steps };
}

const PATHS = listOf(PATH, "a list of paths");

const KINDS: Readonly<Record<CheckpointKind, string>> = {
  state: "a training state",
  safetensors: "tensors alone",
  onnxruntime: "a checkpoint of ONNX Runtime",
};

async function readAverageable(path: string): Promise<Averageable> {
  if (await isFolder(path)) {
    const { state } = await loadRun(path);
    return ofState(state);
  }
  if (await isCheckpointFile(path)) {
    const bytes = await readRegularFile(path);
    return namingFile(path, () => ofCheckpoint(decodeCheckpoint(bytes), path));
  }
  const bytes = await readRegularFile(path);
  return namingFile(path, () => {
    const file = decodeSafetensors(bytes);
    if (isState(file)) return ofState(decodeState(bytes));
    return {
      kind: "safetensors",
      tensors: new Map(file.tensors.map(({ name, tensor }) => [name, tensor])),
      step: null,
      write: (tensors) => safetensorsParts(named(tensors), file.metadata),
    };
  });
}

const named = (tensors: ReadonlyMap<string, Tensor>) => [...tensors].map(([name, tensor]) => ({ name, tensor }));

function ofState(state: ReturnType<typeof decodeState>): Averageable {
  return {
    kind: "state",
    tensors: state.tensors,
    step: state.step,
    write: (tensors, step) => stateParts({ ...state, tensors, step }),
  };
}

const momentName = (group: string, parameter: string, moment: string): string => `${moment} of ${parameter} (${group})`;

function ofCheckpoint(checkpoint: Checkpoint, path: string): Averageable {
  if (checkpoint.nominal) {
    throw new CheckpointError("E_NOMINAL", `${path} is nominal: it has the parameters' names and no values`, {
      file: path,
    });
  }
  requireElements(checkpoint);
  const { trainable, frozen, optimizerGroups } = checkpoint;
  const moments = optimizerGroups.flatMap(({ name: group, states }) =>
    states.flatMap(({ parameter, moments: held }) =>
      held.map(({ name, tensor }) => [momentName(group, parameter, name), tensor] as const),
    ),
  );
  const all = new Map([...[...trainable, ...frozen].map(({ name, tensor }) => [name, tensor] as const), ...moments]);
  return {
    kind: "onnxruntime",
    tensors: all,
    step: Number(optimizerGroups[0]?.step ?? 0n),
    write: (tensors, step) => {
      const now = (key: string, name: string, tensor: Tensor) => ({ name, tensor: tensors.get(key) ?? tensor });
      const groups = optimizerGroups.map((group) => ({
        ...group,
        step: BigInt(step),
        states: group.states.map(({ parameter, moments: held }) => ({
          parameter,
          moments: held.map(({ name, tensor }) => now(momentName(group.name, parameter, name), name, tensor)),
        })),
      }));
      return [
        encodeCheckpoint({
          ...checkpoint,
          trainable: trainable.map(({ name, tensor }) => now(name, name, tensor)),
          frozen: frozen.map(({ name, tensor }) => now(name, name, tensor)),
          optimizerGroups: groups,
        }),
      ];
    },
  };
}
