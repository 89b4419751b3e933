import { Command, Option } from "commander";
import {
  type Model,
  PassError,
  type Report,
  readArtifacts,
  type TrainingArtifacts,
  UsageError,
  writeArtifacts,
} from "../../index.ts";
import type { Console } from "../console.ts";
import { readModelArgument, STANDARD, writeModelArgument } from "../models.ts";
import { checkTarget, kindOf, withFolder } from "../target.ts";

export interface RewriteOptions {
  readonly output?: string;
  readonly inPlace?: boolean;
  readonly force?: boolean;
  readonly dryRun?: boolean;
}

/** The options of every command that reads a model or a folder of artifacts and writes it changed. */
export function rewriteCommand(name: string, description: string): Command {
  return new Command(name)
    .description(description)
    .argument("<input>", "optimizer model, folder of training artifacts, or - for a model on stdin")
    .option("-o, --output <path>", "where to write: a file for a file, a folder for a folder, - for stdout")
    .option("--in-place", "write over the input")
    .addOption(new Option("--force", "replace an output that exists"))
    .option("--dry-run", "say what would be done and write nothing");
}

/**
 * Reads, changes the optimizer model, writes. Nothing is written where `change` throws.
 * @param change gets the artifacts the model belongs to, where the input is their folder
 */
export async function rewrite<R extends Report>(
  input: string,
  options: RewriteOptions,
  change: (model: Model, artifacts: TrainingArtifacts | null) => R | Promise<R>,
  console: Console,
): Promise<{ readonly report: R; readonly output: string | null }> {
  const output = outputOf(input, options);
  const isFolder = input !== STANDARD && (await kindOf(input)) === "folder";
  if (output !== null && output !== STANDARD) {
    await checkTarget(input === STANDARD ? null : input, output, {
      force: options.force === true,
      inPlace: options.inPlace === true,
    });
    await checkSameKind(isFolder, output);
  }
  if (output === STANDARD && console.options.json) {
    throw new UsageError("E_OPTION", "the model and the JSON report cannot both go to stdout", {
      hint: "Give -o a file.",
    });
  }
  if (!isFolder) {
    const model = await readModelArgument(input);
    const report = await change(model, null);
    if (output !== null) await writeModelArgument(output, model);
    return { report, output };
  }
  const artifacts = await readArtifacts(input);
  const { optimizerModel } = artifacts;
  if (optimizerModel === null) {
    throw new PassError("E_NO_OPTIMIZER", `${input} has no optimizer model`, {
      file: input,
      hint: "Export the artifacts with an optimizer (generate_artifacts(..., optimizer=OptimType.AdamW)).",
    });
  }
  const report = await change(optimizerModel, artifacts);
  if (output !== null) await withFolder(output, () => writeArtifacts(output, artifacts));
  return { report, output };
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

async function checkSameKind(isFolder: boolean, output: string): Promise<void> {
  const kind = await kindOf(output);
  if (kind === "nothing" || (kind === "folder") === isFolder) return;
  const [is, must] = isFolder ? ["a file", "a folder, as the input is"] : ["a folder", "a file, as the input is"];
  throw new UsageError("E_OPTION", `the output ${output} is ${is}; it must be ${must}`, { file: output });
}
