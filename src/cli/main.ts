#!/usr/bin/env node
import { exitOnSignals } from "./interrupt.ts";
import { run } from "./run.ts";

/** A pipe takes what was written to it only as fast as it is read. */
function flushed(stream: NodeJS.WriteStream): Promise<void> {
  return new Promise((done) => stream.write("", () => done()));
}

exitOnSignals();
process.stdout.on("error", (error: NodeJS.ErrnoException) => process.exit(error.code === "EPIPE" ? 0 : 6));
process.stderr.on("error", () => undefined);
const exitCode = await run(process.argv.slice(2), process);
await Promise.all([process.stdout, process.stderr].map(flushed));
// Left to itself, Node would wait up to 15 seconds for V8 to compile WebAssembly that nobody runs any more.
process.exit(exitCode);
