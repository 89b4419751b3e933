import { mkdir, rmdir } from "node:fs/promises";
import { join } from "node:path";
import { lockRuns } from "../entries/run.ts";
import { systemReason } from "../errors.ts";
import { BackendError, FileSystemError } from "../index.ts";

/** Where a training's result goes where nothing else was said: a folder of its own in here, `train-1` and so on. */
const RUNS = "runs";

/** Where a training's result goes. */
export interface Destination {
  /** Folder of checkpoints, from which the run can go on; null for none. */
  readonly checkpoints: string | null;
  /** File in ONNX Runtime's format; null for none. */
  readonly output: string | null;
  /** Lets go of the folder, which goes away where nothing was saved in it. */
  readonly release: () => Promise<void>;
}

/**
 * @param keepsState whether the runtime gives out the whole state, which checkpoints are made of
 * @param warn told of a lock that is waited for
 * @throws FileSystemError `E_FILE_SYSTEM`; BackendError `E_UNSUPPORTED` where checkpoints are asked of a runtime that has none
 */
export async function destinationOf(
  { checkpoints, output }: { readonly checkpoints?: string; readonly output?: string },
  keepsState: boolean,
  warn: (text: string) => void,
): Promise<Destination> {
  if (checkpoints !== undefined && !keepsState) {
    throw new BackendError(
      "E_UNSUPPORTED",
      "this runtime does not give out the optimizer's state, which --checkpoints saves",
      { field: "--checkpoints", hint: "Use -o, which writes the parameters, or --runtime ort-node." },
    );
  }
  if (checkpoints !== undefined || output !== undefined) {
    return { checkpoints: checkpoints ?? null, output: output ?? null, release: async () => undefined };
  }
  const folder = await makeRunFolder();
  const unlock = keepsState ? await lockRuns(folder, { warn }) : null;
  return {
    checkpoints: keepsState ? folder : null,
    output: keepsState ? null : join(folder, "checkpoint"),
    release: async () => {
      await unlock?.();
      for (const path of [folder, RUNS]) await rmdir(path).catch(() => undefined);
    },
  };
}

async function makeRunFolder(): Promise<string> {
  try {
    await mkdir(RUNS, { recursive: true });
    for (let number = 1; ; number++) {
      const folder = join(RUNS, `train-${number}`);
      const isFree = await mkdir(folder).then(
        () => true,
        (error: NodeJS.ErrnoException) => {
          if (error.code === "EEXIST") return false;
          throw error;
        },
      );
      if (isFree) return folder;
    }
  } catch (cause) {
    throw new FileSystemError(
      "E_FILE_SYSTEM",
      `cannot make a folder for the result in ${RUNS}: ${systemReason(cause)}`,
      {
        file: RUNS,
        hint: "Say with --checkpoints or -o where to save.",
        cause,
      },
    );
  }
}

/** A command as it would be typed. */
export function commandLine(args: readonly string[]): string {
  return ["onnx-agr", ...args.map(quoted)].join(" ");
}

/** An argument as it would be typed. */
export function quoted(arg: string): string {
  return /^[\w@%+=:,./-]+$/.test(arg) ? arg : `'${arg.replaceAll("'", `'\\''`)}'`;
}

/** The arguments of a run that was interrupted, changed so that it goes on from its checkpoints. */
export function resumingArguments(args: readonly string[], checkpoints: string): readonly string[] {
  const replaced = ["--checkpoints", "--resume", "--init-from", "--allow-mismatch"];
  const kept: string[] = [];
  for (let index = 0; index < args.length; index++) {
    const arg = args[index] ?? "";
    if (replaced.includes(arg)) index++;
    else if (!replaced.some((option) => arg.startsWith(`${option}=`))) kept.push(arg);
  }
  const writes = kept.some((arg) => /^(-o|--output)/.test(arg)) && !kept.includes("--force");
  return [...kept, "--checkpoints", checkpoints, "--resume", checkpoints, ...(writes ? ["--force"] : [])];
}
