import { styleText } from "node:util";
import { OnnxAgrError } from "../errors.ts";
import type { Io } from "./io.ts";
import { jsonLine, lineOf } from "./terminal-text.ts";

/** Version of the JSON documents that commands print. */
export const SCHEMA_VERSION = 1;

export interface OutputOptions {
  readonly json: boolean;
  readonly quiet: boolean;
  readonly debug: boolean;
}

/** Results on stdout, everything else on stderr. */
export class Console {
  readonly options: OutputOptions;
  readonly io: Io;

  constructor(io: Io, options: OutputOptions) {
    this.io = io;
    this.options = options;
  }

  /** True where a line that is drawn over and over makes sense. */
  get isLive(): boolean {
    return (
      this.io.stderr.isTTY === true && !this.options.json && !this.options.quiet && process.env["CI"] === undefined
    );
  }

  /** The command's result: `document` under --json, else `lines`, in which control characters are escaped. */
  result(document: object, lines: string | readonly string[]): void {
    if (this.options.json) this.line({ schemaVersion: SCHEMA_VERSION, ...document });
    else
      this.io.stdout.write(
        [lines]
          .flat()
          .map((line) => `${lineOf(line)}\n`)
          .join(""),
      );
  }

  /** One line of JSON among many. */
  line(document: object): void {
    this.io.stdout.write(`${jsonLine(document)}\n`);
  }

  /** One line of narration. */
  note(line: string): void {
    if (!this.options.quiet && !this.options.json) this.io.stderr.write(`${lineOf(line)}\n`);
  }

  /**
   * @param rank the process it happened in, where there are several
   * @returns the exit code
   */
  error(error: unknown, rank: number | null = null): number {
    const known = error instanceof OnnxAgrError ? error : null;
    const exit = known?.exitCode ?? 1;
    const hint = known === null ? undefined : (COMMAND_HINTS[known.code] ?? known.hint);
    if (this.options.json) {
      const { code = "E_INTERNAL", file, field } = known ?? {};
      const message = error instanceof Error ? error.message : String(error);
      const document = {
        schemaVersion: SCHEMA_VERSION,
        error: { code, exit, file, field, message, hint, ...(rank === null ? {} : { rank }) },
      };
      this.io.stderr.write(`${jsonLine(document)}\n`);
    } else {
      this.io.stderr.write(
        `${styleText("red", "error", { stream: this.io.stderr })} ${errorLine(error, hint, rank)}\n`,
      );
    }
    if (this.options.debug && error instanceof Error) this.io.stderr.write(`${stackOf(error)}\n`);
    return exit;
  }
}

/** What to do at the command line about errors whose own hint is for programs. */
const COMMAND_HINTS: Readonly<Record<string, string>> = {
  E_NO_OPTIMIZER_MODEL:
    "Give a folder that has an optimizer model: export the artifacts with an optimizer, or make them with onnx-agr build.",
  E_NO_EVAL_MODEL:
    "Give a folder that has an eval model: export the artifacts with one, or make them with onnx-agr build.",
  E_EXTERNAL_ODD: "Only --strict refuses this; without it, it is a warning.",
  E_NOMINAL: "Use the full checkpoint that was exported beside it.",
};

function errorLine(error: unknown, hint: string | undefined, rank: number | null): string {
  const of = rank === null ? "" : `rank ${rank}: `;
  if (!(error instanceof OnnxAgrError)) {
    const message = error instanceof Error ? error.message : String(error);
    return `[E_INTERNAL] ${of}${lineOf(message)}. This is a bug in onnx-agr; run again with --debug and report it.`;
  }
  const { code, message, file } = error;
  const where = file === undefined || message.includes(file) ? "" : `${file}: `;
  const remedy = hint === undefined ? "" : ` ${hint}`;
  return `[${code}] ${of}${lineOf(`${where}${message}${/[.!?]$/.test(message) ? "" : "."}${remedy}`)}`;
}

function stackOf(error: Error): string {
  const frames = (error.stack ?? "").split("\n").filter((line) => /^\s+at /.test(line));
  const cause = error.cause instanceof Error ? [`caused by: ${stackOf(error.cause)}`] : [];
  return [lineOf(`${error.name}: ${error.message}`), ...frames.map(lineOf), ...cause].join("\n");
}
