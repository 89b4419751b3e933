import { type Command, InvalidArgumentError, type Option } from "commander";
import { configError, isTable } from "./read.ts";

/** The key of positional arguments. */
export const ARGUMENTS = "arguments";

/** What is about the command line itself: flags alone say it. */
const OF_THE_LINE = ["help", "version", "json", "quiet", "debug", "config", "print-config"];

/** How values of a key look. */
export type KeyKind = "switch" | "number" | "choice" | "text" | "list" | "repeated" | "table";

/** What a configuration may say of one option: all that the command line may. */
export interface Key {
  /** The option's long name without dashes, and without `no-`. */
  readonly name: string;
  readonly attribute: string;
  readonly kind: KeyKind;
  readonly description: string;
  readonly choices: readonly string[];
  readonly isMandatory: boolean;
  readonly defaultValue: unknown;
  /** True for what `--no-...` turns off. */
  readonly hasNegation: boolean;
  /** The option that takes a value or turns something on; null where there is only the negation. */
  readonly option: Option | null;
}

/** The keys of a command, from its options: each is said once, there. */
export function keysOf(command: Command): readonly Key[] {
  const names = new Map<string, Option[]>();
  for (const option of command.options) {
    const name = (option.long ?? "").replace(/^--/, "").replace(/^no-/, option.negate ? "" : "no-");
    if (!OF_THE_LINE.includes(name)) names.set(name, [...(names.get(name) ?? []), option]);
  }
  return [...names].map(([name, options]) => keyOf(name, options));
}

function keyOf(name: string, options: readonly Option[]): Key {
  const option = options.find(({ negate }) => !negate) ?? null;
  const shown = option ?? options[0];
  return {
    ...{ name, option, hasNegation: options.some(({ negate }) => negate) },
    attribute: shown?.attributeName() ?? "",
    kind: kindOf(option),
    description: shown?.description ?? "",
    choices: option?.argChoices ?? [],
    isMandatory: option?.mandatory ?? false,
    defaultValue: shown?.defaultValue,
  };
}

function kindOf(option: Option | null): KeyKind {
  if (option === null || (!option.required && !option.optional)) return "switch";
  const { parseArg, argChoices, variadic, defaultValue } = option;
  if (argChoices !== undefined) return variadic ? "repeated" : "choice";
  /** Parsers that look at the value before add to it. */
  if (variadic || parseArg?.length === 2) return isTable(defaultValue) ? "table" : "repeated";
  if (parseArg === undefined) return "text";
  return isNumber(option) ? "number" : "list";
}

/** Whether all that the option takes are numbers: what is none is refused, and not taken for a path, say. */
function isNumber({ parseArg }: Option): boolean {
  const takes = (text: string): unknown => {
    try {
      return parseArg?.(text, undefined);
    } catch {
      return undefined;
    }
  };
  return ["0.5", "1"].some((text) => typeof takes(text) === "number") && takes("a word") === undefined;
}

/**
 * The value that the option has where a file gives it this.
 * @param path where it stands: `train.epochs`
 * @throws UsageError `E_CONFIG`
 */
export function valueIn(file: string, path: string, key: Key, given: unknown): unknown {
  const wrong = (rule: string): Error => configError(file, `${path} must be ${rule}; it is ${shown(given)}`, path);
  if (typeof given === "boolean") {
    if (key.kind === "switch") return given;
    if (!given && key.hasNegation) return false;
  }
  const { option, kind } = key;
  if (option === null || kind === "switch") throw wrong("true or false");
  const parts = partsOf(kind, given);
  if (parts === null) throw wrong(RULES[kind](key));
  try {
    return parts.reduce<unknown>((earlier, part) => parsed(option, part, earlier), option.defaultValue);
  } catch (error) {
    if (!(error instanceof InvalidArgumentError)) throw error;
    throw configError(file, `${path} is ${shown(given)}: ${error.message}`, path);
  }
}

function parsed(option: Option, text: string, earlier: unknown): unknown {
  return option.parseArg === undefined ? text : option.parseArg(text, earlier);
}

const RULES: Readonly<Record<Exclude<KeyKind, "switch">, (key: Key) => string>> = {
  number: () => "a number",
  choice: ({ choices }) => `one of ${choices.join(", ")}`,
  text: ({ hasNegation }) => `text${hasNegation ? ", or false" : ""}`,
  list: () => "text, a number or a list of them",
  repeated: () =>
    "text, a list with an entry for each time that the option would be given, or a table of names and values",
  table: () => "a table of names and values, or a list as the option takes them",
};

/** The texts that the command line would have for it; null where it has none. */
function partsOf(kind: KeyKind, given: unknown): readonly string[] | null {
  const text = textOf(given);
  if (kind === "number") return typeof given === "number" && text !== null ? [text] : null;
  if (kind === "choice") return typeof given === "string" ? [given] : null;
  if (text !== null) return [text];
  const texts = textsOf(given);
  if (texts === null || kind === "text" || (kind === "list" && isTable(given))) return null;
  return kind === "list" ? [texts.join(",")] : texts;
}

function textsOf(given: unknown): readonly string[] | null {
  const values: readonly unknown[] = Array.isArray(given) ? given : [];
  if (isTable(given)) {
    const pairs = Object.entries(given).map(([name, value]) => [name, textOf(value) ?? listText(value)] as const);
    return pairs.every(([, value]) => value !== null) ? pairs.map(([name, value]) => `${name}=${value}`) : null;
  }
  const texts = values.flatMap((each) => textOf(each) ?? []);
  return Array.isArray(given) && texts.length === given.length ? texts : null;
}

/** As `--vary` takes several values: with commas between, or bars where they have commas. */
function listText(given: unknown): string | null {
  if (!Array.isArray(given)) return null;
  const texts = given.flatMap((each) => textOf(each) ?? []);
  return texts.length < given.length ? null : texts.join(texts.some((text) => text.includes(",")) ? "|" : ",");
}

function textOf(given: unknown): string | null {
  if (typeof given === "string") return given;
  return typeof given === "number" && Number.isFinite(given) ? String(given) : null;
}

function shown(given: unknown): string {
  if (given === null || given === undefined) return "nothing";
  if (given instanceof Date) return `the date ${given.toISOString()}`;
  if (Array.isArray(given)) return "a list";
  if (typeof given === "object") return "a table";
  return typeof given === "string"
    ? JSON.stringify(given.length > 60 ? `${given.slice(0, 60)}...` : given)
    : `${given as number}`;
}
