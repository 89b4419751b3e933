import { existsSync } from "node:fs";
import { setImmediate } from "node:timers/promises";
import { Command, CommanderError } from "commander";
import { fileSystemError, UsageError } from "../errors.ts";
import { COMMANDS } from "./commands.ts";
import { mayBeConfigured } from "./config/options.ts";
import { Console, type OutputOptions } from "./console.ts";
import { withGlobals } from "./globals.ts";
import type { Io } from "./io.ts";
import { packageVersion } from "./package-files.ts";

const EXIT_CODES = `
Exit codes:
  0 done · 1 a bug of ours · 2 usage · 3 input malformed or unsafe · 4 nothing to do or unsupported · 5 data · 6 file system
  7 numbers (NaN, infinity) · 8 checkpoint does not fit · 9 runtime · 10 distributed training · 130, 143 interrupted`;

/** The command that the arguments are for, or whose help they ask for; null where they name none. */
function commandIn(args: readonly string[]): string | null {
  const [first, second] = args.filter((arg) => !arg.startsWith("-"));
  return (first === "help" ? second : first) ?? null;
}

/** Commander answers `help <unknown>` with all it has; the unknown name alone is refused, with one that is like it. */
function isHelpOfUnknown(args: readonly string[], chosen: string | null): boolean {
  return args.includes("help") && chosen !== null && chosen !== "help" && !Object.hasOwn(COMMANDS, chosen);
}

/** @param chosen the command that is loaded; of the others only the summary is known */
async function program(chosen: string | null, io: Io): Promise<Command> {
  const root = new Command("onnx-agr")
    .description(
      "Adaptive gradient regularization for exported ONNX training graphs, and training them through ONNX Runtime",
    )
    .version(packageVersion())
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
  for (const [name, { summary, load }] of Object.entries(COMMANDS)) {
    root.addCommand(withGlobals(name === chosen ? await load(io) : new Command(name)).summary(summary));
  }
  for (const command of [root, ...root.commands])
    command.exitOverride().configureOutput({
      writeOut: (text) => io.stdout.write(text),
      writeErr: (text) => io.stderr.write(text),
      outputError: () => undefined,
    });
  return root;
}

/**
 * Runs one command line.
 *
 * @param args what stands behind `onnx-agr`
 * @returns the exit code
 */
export async function run(args: readonly string[], io: Io): Promise<number> {
  const console = new Console(io, outputOptions(args));
  const isEmpty = args.every((arg) => ["--json", "--quiet", "--debug"].includes(arg));
  const chosen = commandIn(args);
  let root: Command | null = null;
  try {
    const parsed = await program(chosen, io);
    root = parsed;
    if (isEmpty && !console.options.json) {
      parsed.outputHelp({ error: true });
      return 2;
    }
    refuseFile(chosen);
    const line = isHelpOfUnknown(args, chosen) ? [chosen ?? ""] : args;
    await withWarnings(console, async () => {
      const own = mayBeConfigured(line) ? await configured(parsed, chosen, line, console) : line;
      if (own !== null) await parsed.parseAsync([...own], { from: "user" });
    });
    return Number(io.exitCode ?? 0);
  } catch (error) {
    if (error instanceof CommanderError && error.exitCode === 0) return 0;
    return console.error(error instanceof CommanderError ? asUsageError(error, root, args) : asSystemError(error));
  }
}

/** What `configure` makes of the line. */
async function configured(
  root: Command,
  chosen: string | null,
  args: readonly string[],
  console: Console,
): Promise<readonly string[] | null> {
  if (chosen === null || !Object.hasOwn(COMMANDS, chosen)) return args;
  const { configure } = await import("./config/apply.ts");
  return configure(root, await program(chosen, console.io), args, Object.keys(COMMANDS), console);
}

/** Warnings of our own are narration, whatever command they come from; Node's stay as they are. */
async function withWarnings<T>(console: Console, work: () => Promise<T>): Promise<T> {
  const others = process.listeners("warning");
  process.removeAllListeners("warning").on("warning", (warning) => {
    if (warning.name === "OnnxAgrWarning") console.note(`warning: ${warning.message}`);
    else for (const listener of others) listener(warning);
  });
  try {
    return await work();
  } finally {
    // Node tells of a warning in the next turn.
    await setImmediate();
    process.removeAllListeners("warning");
    for (const listener of others) process.on("warning", listener);
  }
}

function outputOptions(args: readonly string[]): OutputOptions {
  const given = (flag: string): boolean => args.includes(flag);
  return { json: given("--json"), quiet: given("--quiet"), debug: given("--debug") };
}

/** @throws UsageError `E_USAGE` where a file or folder stands in the command's place */
function refuseFile(chosen: string | null): void {
  if (chosen === null || Object.hasOwn(COMMANDS, chosen) || !(existsSync(chosen) || /[./\\]/.test(chosen))) return;
  throw new UsageError("E_USAGE", `${chosen} is no command; a file or folder comes after one`, {
    hint: `To see what is in it: onnx-agr inspect ${chosen}. The commands: onnx-agr --help.`,
  });
}

/**
 * Failed system calls that nobody below could name: those of loading the command's own modules above all, of which Node
 * opens many. Of a file that cannot be closed the system does not say which it is.
 */
function asSystemError(error: unknown): unknown {
  if (!(error instanceof Error) || !("syscall" in error)) return error;
  return fileSystemError(String(error.syscall), "path" in error ? String(error.path) : "a file", error);
}

/** What commander refused, and where the right way is written. */
function asUsageError(error: CommanderError, root: Command | null, args: readonly string[]): UsageError {
  const command = root?.commands.find((each) => each.name() === commandIn(args));
  const help = `See onnx-agr${command === undefined ? "" : ` ${command.name()}`} --help.`;
  if (error.code === "commander.help") return new UsageError("E_USAGE", "there is no command", { hint: help });
  const message = error.message.replace(/^error: /, "").replace(/\n/g, " ");
  const [unknown] = error.code === "commander.missingMandatoryOptionValue" ? unknownOptions(command, args) : [];
  const why = unknown === undefined ? "" : `, and there is no option '${unknown}'`;
  return new UsageError("E_USAGE", `${message}${why}`, { hint: help });
}

/** A mistyped option that is mandatory is first of all missing. */
function unknownOptions(command: Command | undefined, args: readonly string[]): readonly string[] {
  const known = new Set(command?.options.flatMap(({ long, short }) => [long, short]));
  return args.map((arg) => arg.replace(/=.*/s, "")).filter((arg) => /^--?[a-z]/i.test(arg) && !known.has(arg));
}
