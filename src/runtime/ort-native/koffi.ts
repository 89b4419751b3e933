import { readdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";

/** A function of the library. Pointers are numbers of 64 bits, null where they point nowhere. */
export type NativeFunction = (...args: readonly NativeArgument[]) => bigint | string | null;
export type NativeArgument = bigint | number | string | ArrayBufferView | null;

/** What is used of koffi. */
export interface Koffi {
  load(path: string | null): {
    readonly func: (name: string, result: string, takes: readonly string[]) => NativeFunction;
  };
  proto(result: string, takes: readonly string[]): object;
  decode: {
    (pointer: bigint, prototype: object): NativeFunction;
    (pointer: bigint, type: "void *", length: number): readonly bigint[];
    readonly string: (pointer: bigint) => string;
  };
  config(options?: { readonly async_stack_size: number }): { readonly async_stack_size: number };
  address(value: ArrayBufferView): bigint;
  view(pointer: bigint, bytes: number): ArrayBuffer;
}

/** Where koffi and ONNX Runtime's library are. */
export interface Installation {
  readonly koffi: Koffi;
  /** What koffi was loaded from; its thread loads it from there, too. */
  readonly koffiFile: string;
  readonly library: string;
  /** The version of onnxruntime-node, whose library it is. */
  readonly version: string;
}

/** How the library is called on each system, beside the version. */
const LIBRARIES: Readonly<Record<string, RegExp>> = {
  linux: /^libonnxruntime\.so/,
  darwin: /^libonnxruntime\.\d+\.\d+.*\.dylib$/,
  win32: /^onnxruntime\.dll$/,
};

/** `RTLD_NOW` of dlfcn.h, on Linux and macOS. */
const NOW = 2;

/**
 * Loads the library so that it stays loaded until the process ends: koffi unloads one when its handle is collected, or the
 * thread that has it ends, and ONNX Runtime has threads of its own that run its code.
 */
export function loadForGood(koffi: Koffi, library: string): void {
  const kept =
    process.platform === "win32"
      ? koffi.load("kernel32.dll").func("LoadLibraryW", "void *", ["str16"])(library)
      : koffi.load(null).func("dlopen", "void *", ["const char *", "int"])(library, NOW);
  if (kept === null) throw new Error(`${library} cannot be loaded`);
}

/** @throws Error that says in words what is missing */
export function findInstallation(): Installation {
  /** A bundle in CommonJS has no URL of its own. */
  const own: string | undefined = import.meta.url;
  if (own === undefined) throw new Error("this code was bundled in CommonJS, where koffi is not looked for");
  const require = createRequire(own);
  const binding = find(require, "onnxruntime-node", "onnxruntime-node is not installed");
  const koffiFile = find(require, "koffi", "koffi is not installed");
  const root = packageOf(binding);
  const { version } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as { readonly version: string };
  return { koffi: load(require, koffiFile), koffiFile, library: libraryOf(root), version };
}

function find(require: NodeJS.Require, name: string, otherwise: string): string {
  try {
    return require.resolve(name);
  } catch (cause) {
    throw new Error(otherwise, { cause });
  }
}

/**
 * The stack of koffi's calls in other threads, which this code has none of: training on several ranks has, and koffi takes no
 * settings once a library is loaded.
 */
const STACK_BYTES = 2 ** 21;

function load(require: NodeJS.Require, file: string): Koffi {
  try {
    const koffi: Koffi = require(file);
    prepare(koffi);
    return koffi;
  } catch (cause) {
    throw new Error("koffi has no build for this system", { cause });
  }
}

function prepare(koffi: Koffi): void {
  if (koffi.config().async_stack_size >= STACK_BYTES) return;
  try {
    koffi.config({ async_stack_size: STACK_BYTES });
  } catch {
    /** Somebody else has loaded a library through koffi already; who needs the stack says that it is not to be had. */
  }
}

function packageOf(file: string): string {
  const marker = join("node_modules", "onnxruntime-node");
  const at = file.lastIndexOf(marker);
  return at < 0 ? dirname(dirname(file)) : file.slice(0, at + marker.length);
}

function libraryOf(root: string): string {
  const { platform, arch } = process;
  const bin = join(root, "bin");
  const [napi] = readdirSync(bin).filter((name) => /^napi-v\d+$/.test(name));
  const folder = join(bin, napi ?? "", platform, arch);
  const pattern = LIBRARIES[platform];
  const name = pattern === undefined ? undefined : listed(folder).find((each) => pattern.test(each));
  if (name === undefined) throw new Error(`onnxruntime-node has no library for ${platform} on ${arch}`);
  return join(folder, name);
}

function listed(folder: string): readonly string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}
