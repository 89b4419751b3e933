import { Worker } from "node:worker_threads";

/** How often a lock is written anew by its holder. */
const BEAT_MS = 5000;

/**
 * A step may block the thread that trains for longer than any lock should stay silent, so another thread writes. Through the
 * open file: a lock that was taken over meanwhile is another file and is not touched. The file system sets the time, whose
 * clock is the same for all who see the file.
 */
const BEAT = `
const { writeSync } = require("node:fs");
const { file, text, every } = require("node:worker_threads").workerData;
setInterval(() => { try { writeSync(file, text, 0); } catch {} }, every);
`;

/** Writes `text` into an open file again and again, until the returned function is called or the process ends. */
export function beat(file: number, text: string): () => Promise<void> {
  const worker = new Worker(BEAT, { eval: true, workerData: { file, text, every: BEAT_MS } });
  worker.unref();
  return async () => {
    await worker.terminate();
  };
}
