/**
 * Packs the built package into onnx-agr-<version>.tgz; arguments go to `npm pack`.
 *
 * npm runs no `prepack` here (`ignore-scripts`), so `npm pack` in a clean clone would leave `dist` out, and `npm publish`
 * would publish that. So the clone's package.json is private, which npm does not publish, and what is published is the
 * tarball made here, of which every file that package.json names is known to be in it.
 */

import { spawnSync } from "node:child_process";
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const manifest = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
const { private: _private, scripts: _scripts, devDependencies: _development, ...published } = manifest;

/** Every path that a field of package.json names. */
const paths = (field) => (typeof field === "string" ? [field] : Object.values(field).flatMap(paths));
const named = ["dist/cli/main.js", ...[manifest.bin, manifest.exports].flatMap(paths)];

const unbuilt = named.filter((path) => !existsSync(join(root, path)));
if (unbuilt.length > 0) throw new Error(`${unbuilt.join(", ")} not built: use npm run pack, which builds first`);

const stage = mkdtempSync(join(tmpdir(), "onnx-agr-pack-"));
try {
  /** Tarballs made before lie beside the Dockerfile that takes them. */
  for (const path of [...manifest.files, "README.md", "LICENSE"])
    cpSync(join(root, path), join(stage, path), { recursive: true, filter: (file) => !file.endsWith(".tgz") });
  writeFileSync(join(stage, "package.json"), `${JSON.stringify(published, null, 2)}\n`);
  const { status, stdout } = spawnSync("npm", ["pack", stage, "--json", ...process.argv.slice(2)], {
    encoding: "utf8",
    stdio: ["ignore", "pipe", "inherit"],
  });
  if (status !== 0) process.exit(status ?? 1);
  const [{ filename, files, size }] = JSON.parse(stdout);
  const missing = named.filter((path) => !files.some((file) => file.path === path.replace("./", "")));
  if (missing.length > 0) throw new Error(`${filename} lacks ${missing.join(", ")}, which package.json names`);
  process.stdout.write(`${filename}: ${files.length} files, ${(size / 2 ** 20).toFixed(1)} MiB\n`);
} finally {
  rmSync(stage, { recursive: true, force: true });
}
