import { access } from "node:fs/promises";
import { type Kind, listOf, OPTIONS, optional, PATH, requireArgument, TEXT, withFields } from "./arguments.ts";
import { isCheckpointFile } from "./artifacts/checkpoint/checkpoint-file.ts";
import { isRunFolder, type LoadedRun, loadRun } from "./artifacts/run-checkpoint/folder.ts";
import { kindsIn } from "./artifacts/training-set.ts";
import { CheckpointError, UsageError } from "./errors.ts";
import { isFolder } from "./graph/io/read-file.ts";
import { lowerArtifacts } from "./lower-artifacts.ts";
import type { ParameterGroup } from "./optim/parameter-groups.ts";
import {
  identityOf,
  isPortable,
  isStep,
  type ReadTrainableOptions,
  readTrainable,
  readWeights,
  type Trainable,
  withWeights,
} from "./source.ts";
import { readStep, withInitialState } from "./step-artifacts.ts";

export interface OpenOptions extends ReadTrainableOptions {
  /**
   * What training begins with in the place of the state that lies with the models. Of a saved run that is all of its state,
   * the optimizer's too; of other checkpoints (ONNX Runtime's, safetensors) the weights, and the optimizer begins anew. A whole
   * step takes all tensors of either. Default: the models' own state.
   */
  readonly checkpoint?: string;
}

/**
 * Opens whatever can be trained, by its path: a folder of ONNX Runtime's artifacts, a portable set (`onnx-agr build` and `lower` write
 * them), a run that was saved (`--checkpoints`, `saveRun`), or a file with a whole train step. `TrainingSession.create` takes what
 * it gives, and takes the path itself too.
 *
 * A saved run has the state and not the models; it says where they lie. They must be those that it was trained with.
 * A folder that has both models and checkpoints is opened as models.
 * @throws UsageError `E_NO_MODELS` for a checkpoint without models, `E_ARGUMENT`; FormatError `E_NO_FILE`, `E_NO_ARTIFACTS`; CheckpointError
 *   `E_OTHER_MODELS` where the models are not those of the run; and what `readTrainable`, `readStep`, `loadRun` and
 *   `readWeights` throw
 */
export async function open(path: string, options: OpenOptions = {}): Promise<Trainable> {
  requireArgument("path", path, PATH);
  requireArgument("options", options, OPTIONS);
  const { checkpoint, ...reading } = options;
  requireArgument("options.checkpoint", checkpoint, optional(PATH));
  if (await isRun(path)) return openRun(path, options);
  if (checkpoint !== undefined && (await isRun(checkpoint))) return withRun(path, await loadRun(checkpoint), reading);
  const source = await openModels(path, reading);
  if (checkpoint === undefined) return source;
  const weights = await readWeights(checkpoint);
  return isStep(source) ? withInitialState(source, weights) : withWeights(source, weights);
}

async function isRun(path: string): Promise<boolean> {
  if (!(await isFolder(path)) || !(await isRunFolder(path))) return false;
  const { onnxruntime, portable } = await kindsIn(path);
  return !onnxruntime && !portable;
}

async function openModels(path: string, options: ReadTrainableOptions): Promise<Trainable> {
  if (await isFolder(path)) return readTrainable(path, options);
  if (/\.safetensors$/.test(path) || (await isCheckpointFile(path))) throw noModels(path, path);
  const { prefer: _, ...reading } = options;
  return /\.onnx$/.test(path) ? readStep(path, reading) : readTrainable(path, options);
}

async function openRun(path: string, { checkpoint, ...reading }: OpenOptions): Promise<Trainable> {
  if (checkpoint !== undefined) {
    throw new UsageError("E_OPTION", `${path} is a saved run, which has its own state`, {
      field: "checkpoint",
      hint: "Give the models as the path: open(models, { checkpoint }).",
    });
  }
  const run = await loadRun(path);
  const { models } = run.manifest;
  if (models === undefined) throw noModels(path, run.folder);
  if (!(await exists(models))) throw noModels(path, run.folder, ` that are there: it was trained with ${models}`);
  return withRun(models, run, reading);
}

/** The models of a run, with all of the run's state. */
async function withRun(models: string, run: LoadedRun, options: ReadTrainableOptions): Promise<Trainable> {
  const { hashes } = run.manifest;
  const prefer = options.prefer ?? ("training_model" in hashes ? "onnxruntime" : "portable");
  const source = await openModels(models, { ...options, prefer });
  const others = Object.entries(identityOf(source).hashes).filter(([name, hash]) => hashes[name] !== hash);
  if (others.length > 0) {
    throw new CheckpointError(
      "E_OTHER_MODELS",
      `the run ${run.folder} was trained with other models than those of ${models}: ${others.map(([name]) => name).join(", ")} differ`,
      {
        file: run.folder,
        field: others[0]?.[0] ?? "",
        hint: "Give the models it was trained with, open(models, { checkpoint: run }), or take its weights alone: withWeights(await open(models), await readWeights(run)).",
      },
    );
  }
  if (isStep(source) || isPortable(source)) return { ...source, state: run.state };
  const parameterGroups = groupsOf(run);
  return { ...(await lowerArtifacts(source, { parameterGroups })), state: run.state };
}

const GROUPS: Kind = listOf(withFields({ parameters: listOf(TEXT, "globs") }, "a group"), "a list of parameter groups");

/** The groups of parameters that a run was trained with: for ONNX Runtime's artifacts they are no part of the models. */
function groupsOf({ manifest, folder }: LoadedRun): readonly ParameterGroup[] {
  const written = manifest.options["groups"] ?? null;
  if (written === null) return [];
  const groups = parsed(String(written));
  if (GROUPS.holds(groups)) return groups as readonly ParameterGroup[];
  throw new CheckpointError("E_CHECKPOINT", `the groups of the run ${folder} are no list of groups`, {
    file: folder,
    field: "options.groups",
    hint: "Lower the artifacts with the groups that are meant, and give the portable set.",
  });
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

const exists = (path: string): Promise<boolean> =>
  access(path).then(
    () => true,
    () => false,
  );

function noModels(path: string, file: string, reason = ", and it does not say where they are"): UsageError {
  return new UsageError("E_NO_MODELS", `${path} is a checkpoint: it has a state and no models${reason}`, {
    file,
    hint: `Give the models too: open("artifacts", { checkpoint: ${JSON.stringify(path)} }).`,
  });
}
