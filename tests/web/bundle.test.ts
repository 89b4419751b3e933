import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { build, type Metafile } from "esbuild";
import { describe, expect, it } from "vitest";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));

/** What a bundler makes of an entry point of the package for a page, onnxruntime-web left out. */
async function bundled(
  entry: string,
): Promise<{ readonly metafile: Metafile; readonly files: ReadonlyMap<string, Uint8Array> }> {
  const { metafile, outputFiles } = await build({
    absWorkingDir: ROOT,
    entryPoints: [entry],
    bundle: true,
    splitting: true,
    minify: true,
    format: "esm",
    platform: "browser",
    external: ["node:*", "onnxruntime-*"],
    conditions: ["browser"],
    metafile: true,
    write: false,
    outdir: "out",
    logLevel: "error",
  });
  return { metafile, files: new Map(outputFiles.map(({ path, contents }) => [path.slice(ROOT.length), contents])) };
}

/** The bytes, gzipped, that a page loads before anything is called. */
function loadedBytes({ metafile, files }: Awaited<ReturnType<typeof bundled>>): number {
  const loaded = new Set<string>();
  const load = (path: string): void => {
    if (loaded.has(path)) return;
    loaded.add(path);
    const { imports = [] } = metafile.outputs[path] ?? {};
    for (const { path: next, kind, external } of imports)
      if (kind === "import-statement" && external !== true) load(next);
  };
  const [entry = ""] = Object.entries(metafile.outputs).flatMap(([path, { entryPoint }]) => (entryPoint ? [path] : []));
  load(entry);
  return [...loaded].reduce((sum, path) => sum + gzipSync(files.get(path) ?? new Uint8Array()).length, 0);
}

describe("what a page ships", () => {
  it.each(["index", "trainer", "onnx-agr-web-worker"])("of %s needs nothing of Node", async (name) => {
    const { metafile } = await bundled(`dist/web/${name}.js`);
    const external = Object.values(metafile.outputs).flatMap(({ imports }) =>
      imports.flatMap(({ path, external: isExternal }) => (isExternal === true ? [path] : [])),
    );
    const allowed = ["onnxruntime-common", "onnxruntime-web/wasm", "onnxruntime-web/webgpu"];
    expect([...new Set(external)].filter((path) => !allowed.includes(path))).toEqual([]);
  });

  it("of the trainer is below 60 kB, gzipped, beside onnxruntime-web", async () => {
    expect(loadedBytes(await bundled("dist/web/trainer.js"))).toBeLessThan(60_000);
  });
});
