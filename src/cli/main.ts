#!/usr/bin/env node
import { readFileSync } from "node:fs";
import { Command, CommanderError } from "commander";
import { UsageError } from "../index.ts";
import { buildCommand } from "./commands/build.ts";
import { demoCommand } from "./commands/demo.ts";
import { diagnoseCommand } from "./commands/diagnose.ts";
import { diffCommand } from "./commands/diff.ts";
import { evalCommand } from "./commands/eval.ts";
import { exportCommand } from "./commands/export.ts";
import { gradcheckCommand } from "./commands/gradcheck.ts";
import { insertCommand } from "./commands/insert.ts";
import { inspectCommand } from "./commands/inspect.ts";
import { lowerCommand } from "./commands/lower.ts";
import { stripCommand } from "./commands/strip.ts";
import { trainCommand } from "./commands/train.ts";
import { upgradeCommand } from "./commands/upgrade.ts";
import { Console, type OutputOptions } from "./console.ts";
import { exitOnSignals } from "./interrupt.ts";

const COMMANDS = [
  ...[inspectCommand, insertCommand, stripCommand, diffCommand, buildCommand, gradcheckCommand, lowerCommand],
  ...[trainCommand, evalCommand, diagnoseCommand, exportCommand, upgradeCommand, demoCommand],
];

const EXIT_CODES = `
Exit codes:
  0 done · 1 a bug of ours · 2 usage · 3 input malformed or unsafe · 4 nothing to do or unsupported · 5 data · 6 file system
  7 numbers (NaN, infinity) · 8 checkpoint does not fit · 9 runtime · 130, 143 interrupted`;

function program(): Command {
  const { version } = JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8")) as {
    version: string;
  };
  const root = new Command("onnx-agr")
    .description(
      "Adaptive gradient regularization for exported ONNX training graphs, and training them through ONNX Runtime",
    )
    .version(version)
    .option("--json", "one JSON document on stdout; train writes one JSON line per step", false)
    .option("--quiet", "no narration on stderr", false)
    .option("--debug", "print the stack of an error", false)
    .showSuggestionAfterError()
    .addHelpText(
      "after",
      `
Examples:
  onnx-agr insert artifacts -o artifacts-agr
  onnx-agr train artifacts-agr --data train.safetensors --epochs 5 -o trained-checkpoint
  onnx-agr demo
${EXIT_CODES}`,
    );
  for (const make of COMMANDS) root.addCommand(withGlobals(make()));
  for (const command of [root, ...root.commands])
    command.exitOverride().configureOutput({ outputError: () => undefined });
  return root;
}

/** The global options may stand after the command too. */
function withGlobals(command: Command): Command {
  return command
    .option("--json", "JSON on stdout")
    .option("--quiet", "no narration")
    .option("--debug", "print the stack of an error")
    .showSuggestionAfterError();
}

async function main(args: readonly string[]): Promise<number> {
  const given = (flag: string): boolean => args.includes(flag);
  const output: OutputOptions = { json: given("--json"), quiet: given("--quiet"), debug: given("--debug") };
  try {
    const root = program();
    if (args.length === 0) {
      root.outputHelp({ error: true });
      return 2;
    }
    await root.parseAsync([...args], { from: "user" });
    return Number(process.exitCode ?? 0);
  } catch (error) {
    if (error instanceof CommanderError && error.exitCode === 0) return 0;
    return new Console(output).error(error instanceof CommanderError ? asUsageError(error) : error);
  }
}

function asUsageError(error: CommanderError): UsageError {
  const message = error.message.replace(/^error: /, "").replace(/\n/g, " ");
  return new UsageError("E_USAGE", message, { hint: "See onnx-agr --help." });
}

exitOnSignals();
process.stdout.on("error", (error: NodeJS.ErrnoException) => process.exit(error.code === "EPIPE" ? 0 : 6));
process.stderr.on("error", () => undefined);
process.exitCode = await main(process.argv.slice(2));
