import { Readable, Writable } from "node:stream";
import { COMMANDS } from "../../src/cli/commands.ts";
import type { Io } from "../../src/cli/io.ts";
import { run } from "../../src/cli/run.ts";
import { ELSEWHERE, type Outcome } from "./cli.ts";
import { rejectionOf } from "./errors.ts";

class Collected extends Writable {
  readonly #chunks: Buffer[] = [];

  override _write(chunk: Buffer, _: BufferEncoding, done: () => void): void {
    this.#chunks.push(chunk);
    done();
  }

  get text(): string {
    return Buffer.concat(this.#chunks).toString("utf8");
  }
}

interface Streams extends Io {
  readonly stdout: Collected;
  readonly stderr: Collected;
}

const streams = (input: Uint8Array): Streams => ({
  stdin: Readable.from([input]),
  stdout: new Collected(),
  stderr: new Collected(),
});

/**
 * Runs the command line in this process, which is faster than a process of its own (`cli`): the same arguments, streams and
 * exit code. Not for what a process alone has: signals, pipes that close, the modules it loads.
 */
export async function command(
  args: readonly string[],
  { cwd = ELSEWHERE, input = new Uint8Array() }: { readonly cwd?: string; readonly input?: Uint8Array } = {},
): Promise<Outcome> {
  const io = streams(input);
  const before = process.cwd();
  process.chdir(cwd);
  try {
    const status = await run(args, io);
    return { status, stdout: io.stdout.text, stderr: io.stderr.text };
  } finally {
    process.chdir(before);
  }
}

/** The error that a command ends with. */
export async function failureOf(args: readonly string[]): ReturnType<typeof rejectionOf> {
  const [name = "", ...rest] = args;
  const made = await COMMANDS[name]?.load(streams(new Uint8Array()));
  if (made === undefined) throw new Error(`there is no command ${name}`);
  made.exitOverride().configureOutput({ writeErr: () => undefined });
  return rejectionOf(made.parseAsync(rest, { from: "user" }));
}
