import { styleText } from "node:util";
import { OnnxAgrError } from "../index.ts";

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

  constructor(options: OutputOptions) {
    this.options = options;
  }

  /** True where a line that is drawn over and over makes sense. */
  get isLive(): boolean {
    return (
      process.stderr.isTTY === true && !this.options.json && !this.options.quiet && process.env["CI"] === undefined
    );
  }

  /** The command's result: `document` under --json, else `text`. */
  result(document: object, text: string): void {
    if (this.options.json) process.stdout.write(`${JSON.stringify({ schemaVersion: SCHEMA_VERSION, ...document })}\n`);
    else if (text !== "") process.stdout.write(`${text}\n`);
  }

  /** One line of JSON among many. */
  line(document: object): void {
    process.stdout.write(`${JSON.stringify(document)}\n`);
  }

  /** Narration. */
  note(text: string): void {
    if (!this.options.quiet && !this.options.json) process.stderr.write(`${text}\n`);
  }

  /** @returns the exit code */
  error(error: unknown): number {
    const known = error instanceof OnnxAgrError ? error : null;
    const exit = known?.exitCode ?? 1;
    if (this.options.json) {
      const { code = "E_INTERNAL", file, field, hint } = known ?? {};
      const message = error instanceof Error ? error.message : String(error);
      process.stderr.write(
        `${JSON.stringify({ schemaVersion: SCHEMA_VERSION, error: { code, exit, file, field, message, hint } })}\n`,
      );
    } else {
      process.stderr.write(`${styleText("red", "error", { stream: process.stderr })} ${errorLine(error)}\n`);
    }
    if (this.options.debug && error instanceof Error) process.stderr.write(`${stackOf(error)}\n`);
    return exit;
  }
}

function errorLine(error: unknown): string {
  if (!(error instanceof OnnxAgrError)) {
    const message = error instanceof Error ? error.message : String(error);
    return `[E_INTERNAL] ${oneLine(message)}. This is a bug in onnx-agr; run again with --debug and report it.`;
  }
  const { code, message, file, hint } = error;
  const where = file === undefined || message.includes(file) ? "" : `${file}: `;
  const remedy = hint === undefined ? "" : ` ${hint}`;
  return `[${code}] ${oneLine(`${where}${message}${/[.!?]$/.test(message) ? "" : "."}${remedy}`)}`;
}

/** File names may hold anything; a message stays on its line. */
function oneLine(text: string): string {
  return text.replace(/\p{Cc}/gu, (control) => JSON.stringify(control).slice(1, -1));
}

function stackOf(error: Error): string {
  const cause = error.cause instanceof Error ? `\ncaused by: ${stackOf(error.cause)}` : "";
  return `${error.stack ?? error.message}${cause}`;
}
