import { execFileSync } from "node:child_process";
import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { describe, expect, it } from "vitest";
import { DIGITS } from "../../support/cli.ts";
import { temporaryFolder } from "../../support/temporary.ts";

const ROOT = fileURLToPath(new URL("../../../", import.meta.url));

/** What a user writes, with nothing behind `release` that would keep the process alive. */
const PROGRAM = `
import { Tensor, TrainingSession } from "onnx-agr";

async function main(isolation, worker) {
  const session = await TrainingSession.create(
    {
      checkpointState: "${DIGITS}/checkpoint",
      trainModel: "${DIGITS}/training_model.onnx",
      optimizerModel: "${DIGITS}/optimizer_model.onnx",
    },
    { isolation, ...(worker === undefined ? {} : { worker }) },
  );
  const input = new Tensor("float32", new Float32Array(512), [2, 1, 16, 16]);
  const [loss] = await session.trainSteps([{ input, labels: new Tensor("int64", [1n, 2n], [2]) }]);
  await session.release();
  return loss;
}

main(...process.argv.slice(2)).then(
  (loss) => console.log("loss", loss, "released"),
  (error) => console.log(error.code, error.hint),
);
`;

/** A user's project with this package in it. @returns runs its program, as it is or bundled */
function project(): { readonly folder: string; readonly run: (file: string, ...args: readonly string[]) => string } {
  const folder = temporaryFolder();
  const modules = join(folder, "node_modules");
  mkdirSync(modules);
  symlinkSync(ROOT, join(modules, "onnx-agr"));
  symlinkSync(join(ROOT, "node_modules", "onnxruntime-node"), join(modules, "onnxruntime-node"));
  writeFileSync(join(folder, "package.json"), '{ "type": "module" }');
  writeFileSync(join(folder, "app.js"), PROGRAM);
  /** Throws where the exit code is not 0, which an unsettled `await` would make 13. */
  const run = (file: string, ...args: readonly string[]): string =>
    execFileSync(process.execPath, [join(folder, file), ...args], { encoding: "utf8", timeout: 60_000 });
  return { folder, run };
}

const RIGHT = /^loss 2\.306\d+ released\n$/;

describe.each(["thread", "process"])("row 103: a session in a %s of its own", (isolation) => {
  it("is released, and the program ends with 0", () => {
    expect(project().run("app.js", isolation)).toMatch(RIGHT);
  });

  it.each(["esm", "cjs"] as const)("in a bundle (%s) asks for the worker's file, and runs with it", async (format) => {
    const { folder, run } = project();
    const bundle = (entry: string, outfile: string, as: "esm" | "cjs"): Promise<unknown> =>
      build({
        ...{ absWorkingDir: folder, entryPoints: [entry], outfile, format: as, bundle: true, platform: "node" },
        ...{ external: ["onnxruntime-node"], logLevel: "error", logOverride: { "empty-import-meta": "silent" } },
      });
    const file = `app.${format === "esm" ? "mjs" : "cjs"}`;
    await bundle("app.js", `out/${file}`, format);
    /** The bundle's own neighbours are not ours to run. */
    writeFileSync(join(folder, "out", "main.js"), 'throw new Error("not the worker");');
    expect(run(`out/${file}`, isolation)).toMatch(/^E_WORKER_FILE .*make onnx-agr\/worker an entry point of its own/);
    await bundle("onnx-agr/worker", "out/onnx-agr-worker.js", "esm");
    expect(run(`out/${file}`, isolation, join(folder, "out", "onnx-agr-worker.js"))).toMatch(RIGHT);
    if (format === "esm") expect(run(`out/${file}`, isolation)).toMatch(RIGHT);
  });
});
