import { readFile } from "node:fs/promises";
import { Command, Option } from "commander";
import { PASSES, type Pass, type PipelineReport, pipeline, runPass, type Validation } from "../../entries/graph.ts";
import { FormatError, fileSystemError } from "../../errors.ts";
import type { Report } from "../../index.ts";
import { Console, type OutputOptions } from "../console.ts";
import type { Io } from "../io.ts";
import { readModelArgument, STANDARD, writeModelArgument } from "../models.ts";
import { readingOf, type StrictOption, withStrict } from "../strict.ts";
import { checkTarget } from "../target.ts";

interface TransformOptions extends StrictOption {
  readonly output: string;
  readonly passes: string;
  readonly validate: Validation;
  readonly force?: boolean;
}

const WIDTH = Math.max(...PASSES.map(({ name }) => name.length));

function helpOf({ name, summary, options }: (typeof PASSES)[number]): readonly string[] {
  const indent = " ".repeat(WIDTH + 4);
  const kinds = Object.entries(options).map(([option, { what }]) => `${indent}${option}: ${what}`);
  return [`  ${name.padEnd(WIDTH)}  ${summary}`, ...kinds];
}

export function transformCommand(io: Io): Command {
  return withStrict(new Command("transform"))
    .description("Run passes over a model, one after another; one that refuses leaves nothing written")
    .argument("<model>", "ONNX model, or - for a model on stdin")
    .requiredOption("-o, --output <file>", "the changed model, - for stdout")
    .requiredOption("--passes <list>", "a JSON file, JSON text that begins with [, or names with commas between")
    .addOption(
      new Option("--validate <when>", "check the model: never, before and after all passes, or after each")
        .choices(["never", "ends", "each"])
        .default("ends"),
    )
    .option("--force", "replace a file that exists")
    .addHelpText(
      "after",
      `
A pipeline is a list of names, or of names with options:
  ["inline-functions", { "name": "raise-opset", "options": { "opset": 21 } }]

Passes, with their options:
${PASSES.flatMap(helpOf).join("\n")}

Examples:
  onnx-agr transform model.onnx --passes inline-functions,simplify -o small.onnx
  onnx-agr transform step.onnx --passes '["strip-agr", {"name": "insert-agr", "options": {"strength": 0.5}}]' -o out.onnx
  onnx-agr transform model.onnx --passes pipeline.json --validate each -o out.onnx`,
    )
    .action(async (path: string, options: TransformOptions, command: Command) => {
      await transform(path, options, new Console(io, command.optsWithGlobals<OutputOptions>()));
    });
}

async function transform(path: string, options: TransformOptions, console: Console): Promise<void> {
  const { output, validate, force } = options;
  const passes = await pipelineFrom(options.passes);
  if (output !== STANDARD) {
    await checkTarget(path === STANDARD ? null : path, output, { force: force === true, inPlace: false });
  }
  const model = await readModelArgument(path, console.io.stdin, readingOf(options));
  const report = runPass(model, passes, { validate });
  await writeModelArgument(output, console.io.stdout, model);
  for (const note of report.notes) console.note(note);
  if (output === STANDARD) return;
  console.result({ command: "transform", input: path, output, ...report }, [
    `${output}: ${report.changed === 0 ? "nothing was to change" : `${report.changed} changes`}`,
    ...report.steps.map(lineOfStep),
  ]);
}

const lineOfStep = ({ pass, changed, skipped }: Report): string =>
  `  ${pass}: ${changed}${skipped.length === 0 ? "" : `, ${skipped.length} left alone`}`;

async function pipelineFrom(given: string): Promise<Pass<PipelineReport>> {
  if (given.trimStart().startsWith("[")) return pipeline(parsed(given, "--passes"));
  if (!given.endsWith(".json")) return pipeline(given.split(",").map((name) => name.trim()));
  const text = await readFile(given, "utf8").catch((error: unknown) => {
    throw fileSystemError("read", given, error);
  });
  return pipeline(parsed(text, given));
}

/** What it must be is for `pipeline` to say. */
function parsed(text: string, where: string): Parameters<typeof pipeline>[0] {
  try {
    return JSON.parse(text) as Parameters<typeof pipeline>[0];
  } catch (cause) {
    throw new FormatError("E_JSON", `${where} is not JSON: ${cause instanceof Error ? cause.message : String(cause)}`, {
      file: where,
      hint: 'Write a list: ["strip-agr", { "name": "raise-opset", "options": { "opset": 21 } }]',
      cause,
    });
  }
}
