import { readdirSync, readFileSync, writeSync } from "node:fs";
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
/** How long the launcher is given to hear what it is told. */
const HEARING_MS = 500;

/**
 * Calls MPI_Finalize, and goes on without it where it does not return, which must be after all ranks have met. MPICH 4.0 over UCX may
 * wait forever there: one rank closes its connections, for which another has to answer, while that one waits for it at the launcher.
 * So the call is made in a thread that the process does not wait for.
 * @param file the library
 * @returns what MPI_Finalize gave; null where it did not return
 */
export async function finalizeInTime(file: string): Promise<unknown> {
  const koffiFile = createRequire(import.meta.url).resolve("koffi");
  const worker = new Worker(SOURCE, { eval: true, workerData: { koffiFile, file }, execArgv: [] });
  const ended = new Promise((resolve, reject) => {
    worker.once("message", resolve);
    worker.once("error", reject);
  });
  const code = (await within(ended)) ?? (await leave(ended));
  worker.unref();
  return code;
}

const within = (ended: Promise<unknown>): Promise<unknown> =>
  Promise.race([ended, after(PATIENCE_MS, null, { ref: false })]);

/**
 * Says to the launcher what MPI_Finalize did not come to say, in the words of PMI 1, which Hydra speaks: that this process is where the
 * others wait for it, and that it is done. Hydra takes a process that ends without for one that failed, and ends the others with an
 * error. Who waits there only waits on: the others say it.
 */
async function leave(ended: Promise<unknown>): Promise<unknown> {
  const { PMI_FD: launcher, SLURM_STEP_ID: step } = process.env;
  if (launcher === undefined || step !== undefined) return null;
  if (isReading(Number(launcher))) return within(ended);
  try {
    for (const words of ["cmd=barrier_in\n", "cmd=finalize\n"]) {
      writeSync(Number(launcher), words);
      await after(HEARING_MS);
    }
  } catch {
    /** The launcher is gone, and with it who would mind. */
  }
  return null;
}

/** The number of the system call that reads. */
const READ: Readonly<Record<string, string>> = { x64: "0", arm64: "63" };

/** Whether a thread of this process reads from a file. */
function isReading(descriptor: number): boolean {
  const folder = "/proc/self/task";
  try {
    return readdirSync(folder).some((thread) => {
      const [call, file] = readFileSync(`${folder}/${thread}/syscall`, "latin1").split(" ");
      return call === READ[process.arch] && Number(file) === descriptor;
    });
  } catch {
    return false;
  }
}
