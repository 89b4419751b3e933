import { DistributedError } from "../../errors.ts";

/** A function of a shared library. */
export interface NativeFunction {
  (...args: readonly unknown[]): unknown;
  /** Calls it in another thread; the last argument is told how it ended. */
  readonly async: (...args: readonly unknown[]) => void;
}

export interface NativeLibrary {
  func(name: string, result: string, parameters: readonly string[]): NativeFunction;
  symbol(name: string): unknown;
  unload(): void;
}

/** The part of koffi that this package calls. */
export interface Koffi {
  /** @param path null: what the process has loaded already */
  load(path: string | null, options?: { readonly lazy?: boolean; readonly global?: boolean }): NativeLibrary;
  address(value: unknown): bigint;
  config(options?: { readonly async_stack_size: number }): { readonly async_stack_size?: number };
}

/** MPICH's collective operations overflow the 128 KiB that koffi gives to a call in another thread, and crash. */
const STACK_BYTES = 2 ** 21;

/** @throws DistributedError `E_KOFFI_MISSING` where the optional dependency is not installed */
export async function loadKoffi(): Promise<Koffi> {
  try {
    const { default: koffi } = await import("koffi");
    const loaded: Koffi = {
      load: (path, options) => {
        const library = koffi.load(path, options ?? {});
        return {
          func: (name, result, parameters) => library.func(name, result, [...parameters]),
          symbol: (name) => library.symbol(name),
          unload: () => library.unload(),
        };
      },
      address: (value) => koffi.address(value),
      config: (options) => (options === undefined ? koffi.config() : koffi.config(options)),
    };
    /** What was set once cannot be set again after a library was loaded. */
    const { async_stack_size: stackBytes = 0 } = loaded.config();
    if (stackBytes < STACK_BYTES) loaded.config({ async_stack_size: STACK_BYTES });
    return loaded;
  } catch (cause) {
    throw new DistributedError("E_KOFFI_MISSING", "koffi is not installed, through which MPI is called", {
      hint: "Run: npm install koffi",
      cause,
    });
  }
}
