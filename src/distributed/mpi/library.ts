import { DistributedError } from "../../errors.ts";
import type { Launch } from "../launch.ts";
import { ABIS, type Constants, LIBRARY_FILES } from "./abi.ts";
import type { Koffi, NativeFunction, NativeLibrary } from "./koffi.ts";

export interface MpiLibrary {
  /** As the system's linker finds it. */
  readonly file: string;
  /** What it calls itself, its first line. */
  readonly version: string;
  readonly constants: Constants;
  /** Whether its MPI_Finalize may wait forever. */
  readonly mayHang: boolean;
  func(name: string, parameters: readonly string[]): NativeFunction;
}

/**
 * Set before the library is loaded, where nobody has set it. UCX, which MPICH and Open MPI may use, writes over code of the C library to be
 * told of memory that is freed, while Node's other threads run that code: of 60 starts of three ranks 4 crashed.
 */
const SETTINGS = { UCX_MEM_EVENTS: "no" } as const;

/** MPI_MAX_LIBRARY_VERSION_STRING of any. */
const VERSION_BYTES = 8192;

/** What a library says of itself, which MPI allows to ask before anything else. */
function versionOf(library: NativeLibrary): string {
  const text = new Uint8Array(VERSION_BYTES);
  library.func("MPI_Get_library_version", "int", ["void *", "void *"])(text, new Int32Array(1));
  const [line = ""] = new TextDecoder().decode(text.subarray(0, text.indexOf(0))).split(/\n|, package/);
  return line.replaceAll(/\s+/g, " ").trim();
}

/** Whether it belongs to what started the ranks: each launcher speaks to its own library alone. */
function isOfFamily(version: string, family: Launch["family"]): boolean {
  return family === null || version.startsWith("Open MPI") === (family === "Open MPI");
}

/**
 * Loads the library of what started the ranks.
 * @param file the library to take, a path or a name that the system's linker finds; null: look for it
 * @throws DistributedError `E_MPI_LIBRARY`, saying what was tried
 */
export function openMpi(koffi: Koffi, { family, by }: Launch, file: string | null): MpiLibrary {
  const files = LIBRARY_FILES[process.platform] ?? { any: [], "Open MPI": [], MPICH: [] };
  const families = family === null ? (["Open MPI", "MPICH"] as const) : [family];
  const names = file === null ? [...files.any, ...families.flatMap((each) => files[each])] : [file];
  const tried: string[] = [];
  for (const [setting, value] of Object.entries(SETTINGS)) process.env[setting] ??= value;
  for (const name of names) {
    try {
      const library = koffi.load(name, { lazy: true, global: true });
      const version = versionOf(library);
      const abi = ABIS.find(({ isOf }) => isOf({ file: name, version }));
      if (abi !== undefined && isOfFamily(version, family)) {
        const constants = abi.constants((symbol) => koffi.address(library.symbol(symbol)));
        return {
          ...{ file: name, version, constants, mayHang: /MPICH/.test(version) },
          func: (called, parameters) => library.func(called, "int", parameters),
        };
      }
      tried.push(`${name} is ${version}${abi === undefined ? ", which is not known" : ""}`);
      library.unload();
    } catch (cause) {
      tried.push(`${name}: ${cause instanceof Error ? (cause.message.split("\n")[0] ?? "") : String(cause)}`);
    }
  }
  const whose = family ?? "MPI";
  throw new DistributedError("E_MPI_LIBRARY", `the library of ${whose} is not there (${tried.join("; ")})`, {
    hint: `The ranks were started by ${by}. Install its library, or give it: --mpi <path of libmpi.so>.`,
  });
}
