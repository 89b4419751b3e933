import type { Command } from "commander";
import type { Console } from "../console.ts";
import { quoted } from "../destination.ts";
import { type Key, keysOf } from "./keys.ts";
import { type Configured, configuredFor } from "./settings.ts";

interface Line {
  /** The command, with the options of the line in it and nothing checked. */
  readonly command: Command;
  /** Its positional arguments. */
  readonly operands: readonly string[];
}

/** Reads the line without running anything. @param root is changed by it */
function lineOf(root: Command, args: readonly string[]): Line | null {
  const { operands, unknown } = root.parseOptions([...args]);
  const [name, ...rest] = operands;
  const command = root.commands.find((each) => each.name() === name);
  if (command === undefined) return null;
  const own = command.parseOptions([...rest, ...unknown]);
  return { command, operands: [...own.operands, ...own.unknown] };
}

const isOfLine = (command: Command, key: Key): boolean => command.getOptionValueSource(key.attribute) === "cli";

/**
 * Gives the command what a file says and the line does not.
 * @param root what will run
 * @param again the same once more, to read the line with
 * @returns the arguments to run it with; null where the options were printed and nothing is to be run
 */
export async function configure(
  root: Command,
  again: Command,
  args: readonly string[],
  names: readonly string[],
  console: Console,
): Promise<readonly string[] | null> {
  const line = lineOf(again, args);
  if (line === null) return args;
  const { command, operands } = line;
  const configured = await configuredFor(command, command.getOptionValue("config"), names);
  if (command.getOptionValue("printConfig") === true) {
    print(line, configured, console);
    return null;
  }
  if (configured === null) return args;
  const target = root.commands.find((each) => each.name() === command.name());
  const used = [...configured.values.values()].filter(({ key }) => !isOfLine(command, key));
  for (const { key, value } of used) target?.setOptionValueWithSource(key.attribute, value, "config");
  const extra = operands.length === 0 ? configured.args : [];
  const told = [...extra.map(quoted), ...used.map(({ key }) => key.name)];
  if (told.length > 0) console.note(`from ${configured.file}: ${told.join(", ")}`);
  return extra.length === 0 ? args : [...args, "--", ...extra];
}

interface Row {
  readonly option: string;
  readonly value: unknown;
  readonly from: string;
}

function print({ command, operands }: Line, configured: Configured | null, console: Console): void {
  const file = configured?.file ?? null;
  const args = operands.length === 0 && configured !== null ? configured.args : operands;
  const rows: readonly Row[] = [
    { option: "arguments", value: args, from: operands.length > 0 ? "line" : args.length > 0 ? (file ?? "") : "none" },
    ...keysOf(command).map((key): Row => {
      const own = { option: key.name, value: command.getOptionValue(key.attribute) };
      if (isOfLine(command, key)) return { ...own, from: "flag" };
      const found = configured?.values.get(key.name);
      if (found !== undefined) return { ...own, value: found.value, from: file ?? "" };
      return { ...own, from: own.value === undefined ? "none" : "default" };
    }),
  ];
  const width = Math.max(...rows.map(({ option }) => option.length));
  console.result(
    { command: command.name(), file, options: rows.map((row) => ({ ...row, value: row.value ?? null })) },
    rows.map(({ option, value, from }) => {
      const text = value === undefined ? "" : JSON.stringify(value);
      return `${option.padEnd(width)}  ${from === "none" ? "not given" : `${text}  (${from})`}`;
    }),
  );
}
