import { writeSync } from "node:fs";
import { createRequire } from "node:module";
import { setTimeout as after } from "node:timers/promises";
import { Worker } from "node:worker_threads";

/** What the thread does that ends MPI. As text, not a file of its own: a bundler need not know of it. */
const SOURCE = `
"use strict";
const { parentPort, workerData: { koffiFile, file } } = require("node:worker_threads");
const library = require(koffiFile).load(file, { lazy: true, global: true });
parentPort.postMessage(library.func("MPI_Finalize", "int", [])());
`;

/** The end takes milliseconds where it comes. */
const PATIENCE_MS = 5000;
/** How long the launcher is given to hear that the process is done. */
const HEARING_MS = 500;

/**
 * Calls MPI_Finalize, and goes on without it where it does not return, which must be after all ranks have met. MPICH 4.0 over UCX may
 * wait forever there: one rank closes its connections, for which the other has to answer, while that one waits for it at the launcher.
 * So the call is made in a thread that the process does not wait for.
 * @param file the library
 * @returns what MPI_Finalize gave; null where it did not return
 */
export async function finalizeInTime(file: string): Promise<unknown> {
  const koffiFile = createRequire(import.meta.url).resolve("koffi");
  const worker = new Worker(SOURCE, { eval: true, workerData: { koffiFile, file }, execArgv: [] });
  const code = await Promise.race([
    new Promise((resolve, reject) => {
      worker.once("message", resolve);
      worker.once("error", reject);
    }),
    after(PATIENCE_MS, null, { ref: false }),
  ]);
  worker.unref();
  if (code === null) await leave();
  return code;
}

/**
 * Tells the launcher that this process has ended MPI, in the words of PMI 1, which Hydra speaks: it takes a process that ends without
 * for one that failed, and ends the others with an error.
 */
async function leave(): Promise<void> {
  const { PMI_FD: descriptor, SLURM_STEP_ID: step } = process.env;
  if (descriptor === undefined || step !== undefined) return;
  try {
    writeSync(Number(descriptor), "cmd=finalize\n");
    await after(HEARING_MS);
  } catch {
    /** The launcher is gone, and with it who would mind. */
  }
}
