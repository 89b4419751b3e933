#!/usr/bin/env node
import { existsSync } from "node:fs";

/** A clone that was linked, or packed by `npm pack`, before it was built has no `dist`; npm itself says nothing of that. */
const main = new URL("../dist/cli/main.js", import.meta.url);
if (existsSync(main)) await import(main.href);
else {
  process.stderr.write(
    "error [E_NOT_BUILT] this copy of onnx-agr was never built. In its repository run `npm ci && npm run build`, or `npm run pack` for a package to install.\n",
  );
  process.exitCode = 1;
}
