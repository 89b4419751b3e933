#!/usr/bin/env node
import { existsSync } from "node:fs";

/** A clone that was linked, or packed by `npm pack`, before it was built has no `dist`; npm itself says nothing of that. */
const main = new URL("../dist/cli/main.js", import.meta.url);
if (existsSync(main)) await import(main.href).catch(refuse);
else {
  process.stderr.write(
    "error [E_NOT_BUILT] this copy of onnx-agr was never built. In its repository run `npm ci && npm run build`, or `npm run pack` for a package to install.\n",
  );
  process.exitCode = 1;
}

/** What the command line itself is made of could not be opened: nothing of ours is there yet to say so. */
function refuse(error) {
  if (error.code !== "EMFILE" && error.code !== "ENFILE") throw error;
  const message = `cannot open ${error.path}: too many open files`;
  const hint = "Raise the limit of the shell that starts it: ulimit -n 1024.";
  const document = { schemaVersion: 1, error: { code: "E_FILE_SYSTEM", exit: 6, file: error.path, message, hint } };
  const line = process.argv.includes("--json") ? JSON.stringify(document) : `error [E_FILE_SYSTEM] ${message}. ${hint}`;
  process.stderr.write(`${line}\n`);
  process.exitCode = 6;
}
