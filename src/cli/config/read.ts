import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { errnoCode, fileSystemError, UsageError } from "../../errors.ts";
import { CONFIG_NAMES } from "./names.ts";

/** What a configuration file says: the names of commands, each with its options. */
export type Content = Readonly<Record<string, unknown>>;

const MOST_BYTES = 2 ** 20;

export function configError(file: string, message: string, field?: string, hint?: string): UsageError {
  return new UsageError("E_CONFIG", `${file}: ${message}`, {
    file,
    ...(field === undefined ? {} : { field }),
    ...(hint === undefined ? {} : { hint }),
  });
}

/** The file of the working folder; null: there is none. @throws UsageError `E_CONFIG` where there are several */
export function configHere(): string | null {
  const [first = null, second] = CONFIG_NAMES.filter((name) => existsSync(name));
  if (first === null || second === undefined) return first;
  throw configError(first, `there is ${second} too`, undefined, "Keep one of them, or name one with --config.");
}

/**
 * Reads a file as data: nothing in it is run.
 * @throws UsageError `E_CONFIG`; FileSystemError `E_FILE_SYSTEM`
 */
export async function readConfig(file: string): Promise<Content> {
  const parse = PARSERS[/\.([a-z]+)$/i.exec(file)?.[1]?.toLowerCase() ?? ""];
  if (parse === undefined) {
    throw configError(file, "the ending is none of .json, .yaml, .yml and .toml", undefined, "Name it by its format.");
  }
  const text = await textOf(file);
  refuseDepth(file, text);
  const content = await parse(file, text);
  if (isTable(content)) return content;
  throw configError(file, "it must have commands with their options", undefined, "As in: train: { epochs: 5 }.");
}

async function textOf(file: string): Promise<string> {
  let bytes: Uint8Array;
  try {
    bytes = await readFile(file);
  } catch (cause) {
    throw errnoCode(cause) === "" ? cause : fileSystemError("read", file, cause);
  }
  if (bytes.length > MOST_BYTES)
    throw configError(file, `it has ${bytes.length} bytes; a configuration has ${MOST_BYTES} at most`);
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    throw configError(file, "it is not valid UTF-8");
  }
}

/** Parsers recurse, and what nests deeply ends the process. Options nest three times. */
const MOST_DEPTH = 32;

function refuseDepth(file: string, text: string): void {
  let depth = 0;
  for (const character of text) {
    if (character === "[" || character === "{") depth++;
    else if (character === "]" || character === "}") depth--;
    if (depth > MOST_DEPTH) throw configError(file, `it is nested deeper than ${MOST_DEPTH}`);
  }
  const deep = /^(?:[ \t]*[-?:](?=[ \t])){33}|^ {256}/m;
  if (deep.test(text)) throw configError(file, `it is nested deeper than ${MOST_DEPTH}`);
}

export const isTable = (value: unknown): value is Content =>
  typeof value === "object" &&
  value !== null &&
  !Array.isArray(value) &&
  [Object.prototype, null].includes(Object.getPrototypeOf(value));

const PARSERS: Readonly<Record<string, (file: string, text: string) => Promise<unknown>>> = {
  json: parseJson,
  yaml: parseYaml,
  yml: parseYaml,
  toml: parseToml,
};

async function parseJson(file: string, text: string): Promise<unknown> {
  let content: unknown;
  try {
    content = JSON.parse(text);
  } catch (cause) {
    throw configError(file, cause instanceof Error ? cause.message : String(cause));
  }
  /** JSON is YAML, and the reader of YAML tells of a key that is there twice. */
  await parseYaml(file, text);
  return content;
}

async function parseYaml(file: string, text: string): Promise<unknown> {
  const { parseDocument } = await import("yaml");
  const document = parseDocument(text, { prettyErrors: true });
  const [wrong] = [...document.errors, ...document.warnings];
  if (wrong !== undefined) throw configError(file, firstLine(wrong.message));
  try {
    return document.toJS({ maxAliasCount: 100 });
  } catch (cause) {
    throw configError(file, cause instanceof Error ? cause.message : String(cause));
  }
}

async function parseToml(file: string, text: string): Promise<unknown> {
  const { parse } = await import("smol-toml");
  try {
    return parse(text);
  } catch (cause) {
    throw configError(file, cause instanceof Error ? firstLine(cause.message) : String(cause));
  }
}

const firstLine = (text: string): string => text.split("\n")[0]?.replace(/:$/, "") ?? text;
