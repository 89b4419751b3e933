import { existsSync } from "node:fs";
import { fileURLToPath, pathToFileURL } from "node:url";
import { BackendError } from "../../../errors.ts";

/**
 * The file that a session's thread or process runs, which lies beside this one. Its name is one that no other file has: a
 * bundler puts this code elsewhere, beside files of other people.
 * @throws BackendError `E_WORKER_FILE` where the file is not there
 */
export function workerFile(given: string | URL | undefined): URL {
  /** A bundle in CommonJS has no URL of its own. */
  const own: string | undefined = import.meta.url;
  const file = given === undefined ? beside(own) : toUrl(given);
  if (file !== null && existsSync(file)) return file;
  const place = file === null ? "beside this code" : fileURLToPath(file);
  throw new BackendError("E_WORKER_FILE", `there is no file for the session's thread or process: ${place}`, {
    field: "worker",
    hint:
      "In a bundle, make onnx-agr/worker an entry point of its own, as an ES module, and give its path: " +
      'TrainingSession.create(artifacts, { isolation, worker: "dist/onnx-agr-worker.js" }).',
  });
}

const beside = (own: string | undefined): URL | null =>
  own === undefined ? null : new URL("./onnx-agr-worker.js", own);

const toUrl = (given: string | URL): URL =>
  given instanceof URL || given.startsWith("file:") ? new URL(given) : pathToFileURL(given);
