/**
 * Makes `dist`: declarations file by file, the code in a few files. Node opens and resolves each module by itself, which for
 * the files of `src` takes three times as long as for the chunks that are made of them.
 */

import { spawnSync } from "node:child_process";
import { rmSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const root = fileURLToPath(new URL("..", import.meta.url));
rmSync(new URL("../dist", import.meta.url), { recursive: true, force: true });

const { status } = spawnSync("npx", ["--no-install", "tsc", "-p", "tsconfig.build.json"], {
  cwd: root,
  stdio: "inherit",
});
if (status !== 0) process.exit(status ?? 1);

await build({
  absWorkingDir: root,
  entryPoints: [
    { in: "src/index.ts", out: "index" },
    ...["graph", "training", "run"].map((name) => ({ in: `src/entries/${name}.ts`, out: `entries/${name}` })),
    { in: "src/cli/main.ts", out: "cli/main" },
    // Sessions look for it beside themselves, which are in the chunks.
    { in: "src/runtime/ort-node/remote/onnx-agr-worker.ts", out: "chunks/onnx-agr-worker" },
  ],
  outdir: "dist",
  chunkNames: "chunks/[name]-[hash]",
  bundle: true,
  splitting: true,
  packages: "external",
  platform: "node",
  format: "esm",
  target: "node20.19",
  sourcemap: true,
  sourcesContent: false,
  keepNames: true,
  logLevel: "warning",
});
