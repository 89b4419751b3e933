import { UsageError } from "./errors.ts";

/** What an argument of a public function must be. TypeScript says it too, but a JavaScript caller may give anything. */
export interface Kind {
  /** In words, as they follow "must be". */
  readonly what: string;
  readonly holds: (given: unknown) => boolean;
}

/** @throws UsageError `E_ARGUMENT`, saying what `name` must be and what was given */
export function requireArgument(name: string, given: unknown, { what, holds }: Kind): void {
  if (holds(given)) return;
  throw new UsageError("E_ARGUMENT", `${name} must be ${what}; it is ${describe(given)}`, { field: name });
}

/** The bytes themselves, not copied. @throws UsageError `E_ARGUMENT` */
export function bytesOf(name: string, given: unknown): Uint8Array {
  if (ArrayBuffer.isView(given)) return new Uint8Array(given.buffer, given.byteOffset, given.byteLength);
  requireArgument(name, given, BYTES);
  return new Uint8Array(given as ArrayBuffer);
}

function describe(given: unknown): string {
  if (given === undefined || given === null) return String(given);
  if (typeof given === "number" || typeof given === "boolean" || typeof given === "bigint") return `${given}`;
  if (typeof given === "string") return given.length > 40 ? "a string" : JSON.stringify(given);
  if (typeof given === "function") return "a function";
  const name: unknown = (given as { readonly constructor?: { readonly name?: unknown } }).constructor?.name;
  if (typeof name === "string" && name !== "Object") return `of the class ${name}`;
  const keys = Object.keys(given);
  return keys.length === 0 ? "an empty object" : `an object with ${keys.slice(0, 8).join(", ")}`;
}

const isObject = (given: unknown): given is Readonly<Record<string, unknown>> =>
  typeof given === "object" && given !== null;

/** Objects of other realms are plain too. */
function isPlain(given: unknown): boolean {
  if (!isObject(given) || Array.isArray(given)) return false;
  const prototype: unknown = Object.getPrototypeOf(given);
  return prototype === null || Object.getPrototypeOf(prototype) === null;
}

const tagOf = (given: unknown): string => Object.prototype.toString.call(given).slice("[object ".length, -1);

export const BYTES: Kind = {
  what: "bytes: a Uint8Array, a Buffer or an ArrayBuffer",
  holds: (given) => ArrayBuffer.isView(given) || ["ArrayBuffer", "SharedArrayBuffer"].includes(tagOf(given)),
};
export const PATH: Kind = { what: "a path, as a string", holds: (given) => typeof given === "string" && given !== "" };
export const TEXT: Kind = { what: "a string", holds: (given) => typeof given === "string" };
export const NUMBER: Kind = { what: "a number", holds: (given) => typeof given === "number" };
export const BOOLEAN: Kind = { what: "true or false", holds: (given) => typeof given === "boolean" };
export const METHOD: Kind = { what: "a function", holds: (given) => typeof given === "function" };
export const OPTIONS: Kind = { what: "an object of options", holds: isPlain };

export const oneOf = (...names: readonly string[]): Kind => ({
  what: `one of ${names.join(", ")}`,
  holds: (given) => names.includes(given as string),
});

export const listOf = (each: Kind, what: string): Kind => ({
  what,
  holds: (given) => Array.isArray(given) && given.every(each.holds),
});

export const mapTo = (each: Kind, what: string): Kind => ({
  what,
  holds: (given) => given instanceof Map && [...given.values()].every(each.holds),
});

export const optional = (kind: Kind): Kind => ({
  what: `${kind.what}, or left out`,
  holds: (given) => given === undefined || kind.holds(given),
});

export const orNull = (kind: Kind): Kind => ({
  what: `${kind.what}, or null`,
  holds: (given) => given === null || kind.holds(given),
});

/** An object with these fields; it may have others. */
export function withFields(fields: Readonly<Record<string, Kind>>, what: string): Kind {
  const all = Object.entries(fields).map(([name, { holds }]) => ({ name, holds }));
  return { what, holds: (given) => isObject(given) && all.every((field) => field.holds(given[field.name])) };
}

// biome-ignore lint/suspicious/noExplicitAny: the constructor of any class
export const instanceOf = (Class: abstract new (...args: any[]) => unknown, what: string): Kind => ({
  what,
  holds: (given) => given instanceof Class,
});
