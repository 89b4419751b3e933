/**
 * Makes `dist`: declarations file by file, the code in a few files. Node opens and resolves each module by itself, which for
 * the files of `src` takes three times as long as for the chunks that are made of them.
 */

import { spawnSync } from "node:child_process";
import { readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const root = fileURLToPath(new URL("..", import.meta.url));
rmSync(new URL("../dist", import.meta.url), { recursive: true, force: true });

const { status } = spawnSync("npx", ["--no-install", "tsc", "-p", "tsconfig.build.json"], {
  cwd: root,
  stdio: "inherit",
});
if (status !== 0) process.exit(status ?? 1);

const common = {
  absWorkingDir: root,
  outdir: "dist",
  bundle: true,
  splitting: true,
  format: "esm",
  sourcemap: true,
  sourcesContent: false,
  logLevel: "warning",
};

await build({
  ...common,
  entryPoints: [
    { in: "src/index.ts", out: "index" },
    ...["graph", "training", "run"].map((name) => ({ in: `src/entries/${name}.ts`, out: `entries/${name}` })),
    { in: "src/cli/main.ts", out: "cli/main" },
    // Sessions look for it beside themselves, which are in the chunks.
    { in: "src/runtime/ort-node/remote/onnx-agr-worker.ts", out: "chunks/onnx-agr-worker" },
  ],
  chunkNames: "chunks/[name]-[hash]",
  platform: "node",
  packages: "external",
  target: "node20.19",
  keepNames: true,
});

/** Modules that reach Node, and what stands for them in a page. */
const IN_A_PAGE = { "src/graph/io/digest.ts": "src/web/digest.ts" };

const inAPage = {
  ...common,
  chunkNames: "web/[name]-[hash]",
  platform: "browser",
  // What is no ES module cannot be loaded by a page as it is, so all but ONNX Runtime is in these files.
  external: ["onnxruntime-*"],
  legalComments: "inline",
  metafile: true,
  target: ["chrome110", "firefox115", "safari16.4"],
  plugins: [
    {
      name: "in a page",
      setup({ onResolve }) {
        const whole = (path) => fileURLToPath(new URL(`../${path}`, import.meta.url));
        const standIns = new Map(Object.entries(IN_A_PAGE).map((paths) => paths.map(whole)));
        onResolve({ filter: /^\./ }, ({ path, resolveDir }) => {
          const standIn = standIns.get(resolve(resolveDir, path));
          return standIn === undefined ? undefined : { path: standIn, sideEffects: false };
        });
      },
    },
  ],
};

const { metafile } = await build({
  ...inAPage,
  entryPoints: [
    { in: "src/entries/web.ts", out: "web/index" },
    // Sessions look for it beside themselves.
    { in: "src/web/onnx-agr-web-worker.ts", out: "web/onnx-agr-web-worker" },
  ],
});
// By itself: what it shared with the whole would be in many small files.
await build({ ...inAPage, entryPoints: [{ in: "src/entries/web-trainer.ts", out: "web/trainer" }] });

// The licences of those whose code is in the files of a page.
const packages = new Set(
  Object.keys(metafile.inputs).flatMap((path) => /node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(path)?.[1] ?? []),
);
const licences = [...packages].sort().map((name) => {
  const folder = new URL(`../node_modules/${name}/`, import.meta.url);
  const file = readdirSync(folder).find((each) => /^licen[cs]e/i.test(each));
  if (file === undefined) throw new Error(`${name} has no licence file`);
  return `${name}\n\n${readFileSync(new URL(file, folder), "utf8").trim()}\n`;
});
writeFileSync(new URL("../dist/web/LICENCES.txt", import.meta.url), licences.join(`\n${"-".repeat(80)}\n\n`));

const license = readFileSync(new URL("../node_modules/uplot/LICENSE", import.meta.url), "utf8").trim();
/** What reports carry in them: it runs in the browser that they are read with. */
await build({
  absWorkingDir: root,
  entryPoints: [
    { in: "src/report/client/main.ts", out: "report/client" },
    { in: "src/report/client/report.css", out: "report/client" },
  ],
  outdir: "dist",
  bundle: true,
  minify: true,
  platform: "browser",
  format: "iife",
  target: ["chrome111", "firefox113", "safari16.2"],
  banner: { js: `/*! uPlot\n${license} */` },
  logLevel: "warning",
});
