import type { Command } from "commander";
import { checkTrainingSet, isStep, trainableOf } from "../entries/run.ts";
import { loadTrainingSet } from "../entries/training.ts";
import {
  type LoadedRun,
  loadRun,
  readDataFile,
  readStep,
  readWeights,
  type StepArtifacts,
  type Trainable,
  UsageError,
  withInitialState,
  withWeights,
} from "../index.ts";
import type { Console } from "./console.ts";
import { preferredBy, type RuntimeOptions } from "./session-options.ts";
import { readingOf, type StrictOption } from "./strict.ts";
import { kindOf } from "./target.ts";
import { collect } from "./values.ts";

/** Options that say what a whole train step is. */
export interface StepFlags {
  readonly init?: string;
  readonly state: readonly string[];
  readonly lrInput?: string;
}

/** Adds --init, --state and --lr-input to a command. */
export function withStep(command: Command): Command {
  return command
    .option(
      "--init <path>",
      "of a whole step: the state it begins with, .safetensors or .npz, named like the step's inputs; moments and counts that are missing begin at zero",
    )
    .option("--state <input=output>", "of a whole step: which output renews which input; repeatable", collect, [])
    .option("--lr-input <name>", "of a whole step: the input that takes the learning rate (default: by its name)");
}

/** What is trained, and how to see that the files still belong together once all is read. */
export interface Source {
  readonly given: Trainable;
  readonly check: () => Promise<void>;
}

/**
 * Reads a folder of artifacts, or a file with a whole train step.
 * @throws UsageError `E_OPTION` for options of a step with a folder; what their readers throw
 */
export async function sourceAt(
  path: string,
  options: StepFlags & StrictOption & Pick<RuntimeOptions, "runtime">,
  console: Console,
): Promise<Source> {
  if ((await kindOf(path)) !== "file") {
    refuseStepFlags(path, options);
    const set = await loadTrainingSet(path, readingOf(options));
    return { given: trainableOf(set, preferredBy(options)), check: () => checkTrainingSet(path, set) };
  }
  const { init, state, lrInput } = options;
  const step = await readStep(path, {
    ...readingOf(options),
    ...(state.length === 0 ? {} : { state }),
    ...(lrInput === undefined ? {} : { learningRate: lrInput }),
  });
  for (const note of step.notes) console.note(note);
  return { given: init === undefined ? step : await begun(step, init, console), check: async () => undefined };
}

function refuseStepFlags(path: string, { init, state, lrInput }: StepFlags): void {
  const given =
    init !== undefined ? "--init" : state.length > 0 ? "--state" : lrInput !== undefined ? "--lr-input" : "";
  if (given === "") return;
  throw new UsageError("E_OPTION", `${given} is for a file with a whole train step, and ${path} is none`, {
    field: given,
    hint: "Weights of a folder's models come with --init-from (train) and --checkpoint (eval, export).",
  });
}

async function begun(step: StepArtifacts, init: string, console: Console): Promise<StepArtifacts> {
  const run: LoadedRun | null = (await kindOf(init)) === "folder" ? await loadRun(init) : null;
  const tensors = run?.state.tensors ?? new Map((await readDataFile(init)).map(({ name, tensor }) => [name, tensor]));
  const known = new Set(step.step.graph.inputs.map(({ name }) => name));
  const unknown = [...tensors.keys()].filter((name) => !known.has(name));
  if (unknown.length > 0) console.note(`${init}: the step has no ${unknown.slice(0, 5).join(", ")}; not used`);
  const { atZero, ...source } = withInitialState(step, tensors, run?.state.step ?? 0);
  if (atZero.length > 0) console.note(`begins at zero: ${atZero.join(", ")}`);
  return source;
}

/** The source with the weights of a checkpoint; of a step, with all of its state. */
export async function withWeightsAt(source: Trainable, path: string | undefined): Promise<Trainable> {
  if (path === undefined) return source;
  const weights = await readWeights(path);
  if (!isStep(source)) return withWeights(source, weights);
  return withInitialState(source, new Map([...(source.state?.tensors ?? []), ...weights]));
}

/** @throws UsageError `E_ARTIFACT_MISSING` of a step that nobody gave a state */
export function requireState(source: Trainable, path: string, remedy: string): void {
  if (!isStep(source) || source.state !== null) return;
  throw new UsageError("E_ARTIFACT_MISSING", `${path} takes its state from outside, and none is given`, {
    file: path,
    hint: `Give ${remedy}: a tensor for every state input, named like it; onnx-agr inspect lists them.`,
  });
}
