import { Command, Option } from "commander";
import { ARTIFACT_FILES, PORTABLE_FILES } from "../../entries/training.ts";
import {
  type Model,
  PassError,
  readTrainingSet,
  type TrainingArtifacts,
  type TrainingSet,
  UsageError,
  writeTrainingSet,
} from "../../index.ts";
import type { Console } from "../console.ts";
import { readModelArgument, STANDARD, writeModelArgument } from "../models.ts";
import { readingOf, type StrictOption, withStrict } from "../strict.ts";
import { checkTarget, kindOf, withFolder } from "../target.ts";

export interface RewriteOptions extends StrictOption {
  readonly output?: string;
  readonly inPlace?: boolean;
  readonly force?: boolean;
  readonly dryRun?: boolean;
}

/** The options of every command that reads a model or a folder of artifacts and writes it changed. */
export function rewriteCommand(name: string, description: string): Command {
  const command = new Command(name)
    .description(description)
    .argument("<input>", "model with an optimizer, folder of training artifacts, or - for a model on stdin")
    .option("-o, --output <path>", "where to write: a file for a file, a folder for a folder, - for stdout")
    .option("--in-place", "write over the input")
    .addOption(new Option("--force", "replace an output that exists"))
    .option("--dry-run", "say what would be done and write nothing");
  return withStrict(command);
}

/** A model that has an optimizer. */
export interface Subject {
  readonly model: Model;
  /** Its name in the folder; null for a model alone. */
  readonly file: string | null;
  /** The artifacts of ONNX Runtime that it belongs to. */
  readonly artifacts: TrainingArtifacts | null;
}

export interface Rewritten<R> {
  readonly output: string | null;
  /** In the order of the subjects, one at least. */
  readonly reports: readonly [R, ...R[]];
  readonly subjects: readonly Subject[];
}

/**
 * Reads, changes every model that has an optimizer, writes. Whatever a folder holds is one thing: its models are changed
 * alike, or nothing is written, as where `change` throws.
 */
export async function rewrite<R>(
  input: string,
  options: RewriteOptions,
  change: (subjects: readonly Subject[]) => Promise<readonly R[]>,
  console: Console,
): Promise<Rewritten<R>> {
  const output = outputOf(input, options);
  const isFolder = input !== STANDARD && (await kindOf(input)) === "folder";
  const replace = options.force === true || options.inPlace === true;
  if (output !== null && output !== STANDARD) {
    await checkTarget(input === STANDARD ? null : input, output, {
      force: options.force === true,
      inPlace: options.inPlace === true,
      kind: isFolder ? "folder" : "file",
    });
  }
  if (output === STANDARD && console.options.json) {
    throw new UsageError("E_OPTION", "the model and the JSON report cannot both go to stdout", {
      hint: "Give -o a file.",
    });
  }
  const set = isFolder ? await readTrainingSet(input, readingOf(options)) : null;
  const subjects =
    set === null
      ? [{ model: await readModelArgument(input, console.io.stdin, readingOf(options)), file: null, artifacts: null }]
      : subjectsOf(set, input);
  const [first, ...others] = await change(subjects);
  if (first === undefined) throw new Error("no model was changed");
  if (output !== null && set !== null) await withFolder(output, () => writeTrainingSet(output, set, { replace }));
  else if (output !== null)
    for (const { model } of subjects) await writeModelArgument(output, console.io.stdout, model);
  return { output, reports: [first, ...others], subjects };
}

/** The models of a set that have the optimizer in them. */
export function subjectsOf({ onnxruntime, portable }: TrainingSet, folder: string): readonly Subject[] {
  const all: readonly (readonly [Model | null | undefined, string, TrainingArtifacts | null])[] = [
    [onnxruntime?.optimizerModel, (onnxruntime?.prefix ?? "") + ARTIFACT_FILES.optimizerModel, onnxruntime],
    [portable?.trainStep, PORTABLE_FILES.trainStep, null],
    [portable?.apply, PORTABLE_FILES.apply, null],
  ];
  const subjects = all.flatMap(([model, file, artifacts]) => (model ? [{ model, file, artifacts }] : []));
  if (subjects.length > 0) return subjects;
  throw new PassError("E_NO_OPTIMIZER", `${folder} has no model with an optimizer`, {
    file: folder,
    hint: "Export the artifacts with an optimizer (generate_artifacts(..., optimizer=OptimType.AdamW)).",
  });
}

function outputOf(input: string, { output, inPlace, dryRun }: RewriteOptions): string | null {
  if (inPlace === true && output !== undefined) {
    throw new UsageError("E_OPTION", "--output and --in-place exclude each other");
  }
  if (dryRun === true) return null;
  if (inPlace === true && input !== STANDARD) return input;
  if (output !== undefined) return output;
  throw new UsageError("E_OPTION", "there is no output", { hint: "Give -o <path>, --in-place or --dry-run." });
}
