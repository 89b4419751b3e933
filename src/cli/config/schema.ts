import type { Command } from "commander";
import { ARGUMENTS, type Key, type KeyKind, keysOf } from "./keys.ts";

type Schema = Readonly<Record<string, unknown>>;

const SCALAR: Schema = { type: ["string", "number"] };
const LIST: Schema = { type: "array", items: SCALAR };
const TABLE: Schema = { type: "object", additionalProperties: { anyOf: [SCALAR, LIST] } };

const TYPES: Readonly<Record<KeyKind, (key: Key) => readonly Schema[]>> = {
  switch: () => [{ type: "boolean" }],
  number: () => [{ type: "number" }],
  choice: ({ choices }) => [{ enum: choices }],
  text: () => [SCALAR],
  list: () => [SCALAR, LIST],
  repeated: ({ choices }) => {
    const each: Schema = choices.length === 0 ? SCALAR : { enum: choices };
    return [each, { type: "array", items: each }, ...(choices.length === 0 ? [TABLE] : [])];
  },
  table: () => [SCALAR, LIST, TABLE],
};

/** A JSON Schema of configuration files, from the options of the commands. */
export function schemaOf(commands: readonly Command[]): Schema {
  return {
    $schema: "http://json-schema.org/draft-07/schema#",
    title: "Options of onnx-agr",
    type: "object",
    properties: {
      $schema: { type: "string" },
      ...Object.fromEntries(commands.map((command) => [command.name(), sectionOf(command)])),
    },
    additionalProperties: false,
  };
}

function sectionOf(command: Command): Schema {
  return {
    description: command.description(),
    type: "object",
    properties: {
      [ARGUMENTS]: {
        description: "positional arguments, where the command line has none",
        anyOf: [{ type: "string" }, { type: "array", items: { type: "string" } }],
      },
      ...Object.fromEntries(keysOf(command).map((key) => [key.name, propertyOf(key)])),
    },
    additionalProperties: false,
  };
}

function propertyOf(key: Key): Schema {
  const types = TYPES[key.kind](key);
  const all = key.hasNegation && key.kind !== "switch" ? [...types, { const: false }] : types;
  const [first, ...others] = all;
  const { defaultValue } = key;
  const isPlain = ["string", "number", "boolean"].includes(typeof defaultValue);
  return {
    description: key.description,
    ...(others.length === 0 ? first : { anyOf: all }),
    ...(isPlain ? { default: defaultValue } : {}),
  };
}
