import type { Command } from "commander";
import { ARGUMENTS, type Key, keysOf, valueIn } from "./keys.ts";
import { type Content, configError, configHere, isTable, readConfig } from "./read.ts";

/** What the editor looks for; it says nothing to us. */
const SCHEMA_KEY = "$schema";

/** The options that a file gives a command. */
export interface Configured {
  readonly file: string;
  /** Values as the command line would have parsed them, by the names of keys. */
  readonly values: ReadonlyMap<string, { readonly key: Key; readonly value: unknown }>;
  /** Positional arguments, for where the line has none. */
  readonly args: readonly string[];
}

/**
 * Reads what the file says of a command.
 * @param config what `--config` gave: a file, false for none, undefined for that of the working folder
 * @param commands the names of all commands
 * @returns null where there is no file
 * @throws UsageError `E_CONFIG`; FileSystemError `E_FILE_SYSTEM`
 */
export async function configuredFor(
  command: Command,
  config: unknown,
  commands: readonly string[],
): Promise<Configured | null> {
  const file = typeof config === "string" ? config : config === false ? null : configHere();
  if (file === null) return null;
  const content = await readConfig(file);
  for (const [name, section] of Object.entries(content)) {
    if (name === SCHEMA_KEY) continue;
    if (!commands.includes(name)) {
      throw configError(file, `${name} is no command`, name, `The commands: ${commands.join(", ")}.`);
    }
    if (!isTable(section)) throw configError(file, `${name} must have options`, name);
  }
  const own = content[command.name()];
  return isTable(own) ? inSection(file, command, own) : { file, values: new Map(), args: [] };
}

function inSection(file: string, command: Command, section: Content): Configured {
  const keys = new Map(keysOf(command).map((key) => [key.name, key]));
  const values = new Map<string, { readonly key: Key; readonly value: unknown }>();
  let args: readonly string[] = [];
  for (const [name, given] of Object.entries(section)) {
    const path = `${command.name()}.${name}`;
    if (name === ARGUMENTS) {
      args = argumentsIn(file, path, given);
      continue;
    }
    const key = keys.get(name);
    if (key === undefined) {
      const help = `onnx-agr ${command.name()} --help lists them; names are those of the flags, without dashes.`;
      throw configError(file, `${path} is no option`, path, help);
    }
    values.set(name, { key, value: valueIn(file, path, key, given) });
  }
  return { file, values, args };
}

function argumentsIn(file: string, path: string, given: unknown): readonly string[] {
  const list: readonly unknown[] = Array.isArray(given) ? given : [given];
  const texts = list.filter((each) => typeof each === "string");
  if (texts.length === list.length) return texts;
  throw configError(file, `${path} must be text, or a list of it`, path);
}
