import { Command } from "commander";
import { type Difference, diffModels } from "../../entries/graph.ts";
import { ARTIFACT_FILES, PORTABLE_FILES } from "../../entries/training.ts";
import { type Model, readTrainingSet, UsageError } from "../../index.ts";
import { Console, type OutputOptions } from "../console.ts";
import type { Io } from "../io.ts";
import { readModelArgument, STANDARD } from "../models.ts";
import { readingOf, type StrictOption, withStrict } from "../strict.ts";
import { kindOf } from "../target.ts";

interface DiffOptions extends StrictOption {
  readonly exitCode?: boolean;
}

const MARKS: Readonly<Record<Difference["kind"], string>> = { added: "+", removed: "-", changed: "~", rewired: ">" };

export function diffCommand(io: Io): Command {
  return withStrict(new Command("diff"))
    .description(
      "Say what differs between two models, or folders of them: nodes, wires, tensors, types, functions, metadata",
    )
    .argument("<a>", "a model, or a folder of training artifacts")
    .argument("<b>", "another of the same kind, or - for a model on stdin")
    .option("--exit-code", "exit with 4 where they differ")
    .addHelpText(
      "after",
      `
Marks: + added, - removed, ~ changed, > rewired

Example:
  onnx-agr diff optimizer_model.onnx optimizer_agr.onnx`,
    )
    .action(async (a: string, b: string, options: DiffOptions, command: Command) => {
      const console = new Console(io, command.optsWithGlobals<OutputOptions>());
      const differences = await differencesOf(a, b, io, options);
      const lines = differences.map(({ kind, of, at, from, to }) => {
        const what =
          from !== undefined && to !== undefined
            ? `: ${from} -> ${to}`
            : from === undefined && to === undefined
              ? ""
              : `: ${from ?? to}`;
        return `${MARKS[kind]} ${of} ${at}${what}`;
      });
      const text = lines.length === 0 ? "no structural difference" : lines;
      console.result({ command: "diff", a, b, equal: differences.length === 0, differences }, text);
      if (options.exitCode === true && differences.length > 0) io.exitCode = 4;
    });
}

async function differencesOf(a: string, b: string, io: Io, options: StrictOption): Promise<readonly Difference[]> {
  const [first, second] = [await modelsOf(a, io, options), await modelsOf(b, io, options)];
  const [modelA, modelB] = [first.get(""), second.get("")];
  if (modelA !== undefined && modelB !== undefined) return diffModels(modelA, modelB);
  if (modelA !== undefined || modelB !== undefined) {
    throw new UsageError("E_OPTION", `of ${a} and ${b}, one is a folder and one a model`, {
      hint: "Give two folders or two models.",
    });
  }
  return [...new Set([...first.keys(), ...second.keys()])].flatMap((file): readonly Difference[] => {
    const [before, after] = [first.get(file), second.get(file)];
    if (before === undefined) return [{ kind: "added", of: "model", at: file }];
    if (after === undefined) return [{ kind: "removed", of: "model", at: file }];
    return diffModels(before, after).map((each) => ({ ...each, at: `${file}: ${each.at}` }));
  });
}

/** The models of a folder by their files' names; a model alone has the empty name. */
async function modelsOf(path: string, io: Io, options: StrictOption): Promise<ReadonlyMap<string, Model>> {
  if (path === STANDARD || (await kindOf(path)) !== "folder")
    return new Map([["", await readModelArgument(path, io.stdin, readingOf(options))]]);
  const { onnxruntime, portable } = await readTrainingSet(path, readingOf(options));
  const named: readonly (readonly [string, Model | null | undefined])[] = [
    [ARTIFACT_FILES.trainingModel, onnxruntime?.trainingModel],
    [ARTIFACT_FILES.evalModel, onnxruntime?.evalModel],
    [ARTIFACT_FILES.optimizerModel, onnxruntime?.optimizerModel],
    [PORTABLE_FILES.trainStep, portable?.trainStep],
    [PORTABLE_FILES.gradients, portable?.gradients],
    [PORTABLE_FILES.apply, portable?.apply],
    [PORTABLE_FILES.evalModel, portable?.evalModel],
  ];
  return new Map(named.flatMap(([file, model]) => (model ? [[file, model] as const] : [])));
}
