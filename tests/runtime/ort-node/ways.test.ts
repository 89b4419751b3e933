import { spawnSync } from "node:child_process";
import { cpSync, mkdirSync, readdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { afterEach, describe, expect, it } from "vitest";
import { loadOrtNode } from "../../../src/entries/run.ts";
import { TrainingSession } from "../../../src/index.ts";
import { OrtApi } from "../../../src/runtime/ort-native/api.ts";
import { findInstallation } from "../../../src/runtime/ort-native/koffi.ts";
import { chooseProvider } from "../../../src/runtime/ort-node/providers.ts";
import { BINDING, type Way } from "../../../src/runtime/ort-node/ways.ts";
import { cli, DIGITS } from "../../support/cli.ts";
import { rejectionOf } from "../../support/errors.ts";
import { temporaryFolder } from "../../support/temporary.ts";

const ROOT = fileURLToPath(new URL("../../..", import.meta.url));
const FILES = {
  checkpointState: `${DIGITS}/checkpoint`,
  trainModel: `${DIGITS}/training_model.onnx`,
  optimizerModel: `${DIGITS}/optimizer_model.onnx`,
};

const failing: Way = {
  name: "native",
  providers: ["cpu"],
  load: async () => {
    throw new Error("it is not there");
  },
};

async function wayOf(options: Parameters<typeof TrainingSession.create>[1]): Promise<TrainingSession["way"]> {
  const session = await TrainingSession.create(FILES, { runtime: "ort-node", ...options });
  await session.release();
  return session.way;
}

describe("the way to ONNX Runtime", () => {
  afterEach(() => {
    delete process.env["ONNX_AGR_NATIVE"];
  });

  it("is the C API of itself", async () => {
    expect(await wayOf({})).toEqual({ name: "native", passedOver: [] });
  });

  it("is the binding where the environment says so, in a thread, too", async () => {
    process.env["ONNX_AGR_NATIVE"] = "0";
    const expected = { name: "binding", passedOver: [["native", "ONNX_AGR_NATIVE=0 turns it off"]] };
    expect(await wayOf({})).toEqual(expected);
  });

  it("is what the caller gives", async () => {
    expect(await wayOf({ ort: await loadOrtNode() })).toEqual({ name: "given", passedOver: [] });
  });

  it("is the training build's module for ort-training", async () => {
    expect(await wayOf({ runtime: "ort-training" })).toEqual({ name: "web", passedOver: [] });
  });

  it("is the next one where one does not work, with the reason", async () => {
    const { way } = await chooseProvider([failing, BINDING], {});
    expect(way).toEqual({ name: "binding", passedOver: [["native", "it is not there"]] });
  });

  it("is none where the last one does not work", async () => {
    const error = await rejectionOf(chooseProvider([failing], {}));
    expect([error.code, (error.cause as Error).message]).toEqual(["E_EXECUTION_PROVIDER", "it is not there"]);
  });

  it("passes over ways that do not have the provider", async () => {
    const error = await rejectionOf(chooseProvider([failing, BINDING], { executionProviders: ["dml"] }));
    expect((error.cause as Error).message).not.toBe("it is not there");
  });

  it("inspect tells", () => {
    const { stdout } = cli(["inspect", DIGITS, "--ep", "cpu", "--json"]);
    expect(JSON.parse(stdout)).toMatchObject({ way: { name: "native", passedOver: [] } });
    const { stdout: text } = cli(["inspect", DIGITS, "--ep", "cpu"]);
    expect(text).toContain("a training step on cpu, trained through the C API of ONNX Runtime:");
  });

  it("is not the C API of another version than the one installed", () => {
    const installation = findInstallation();
    expect(() => new OrtApi({ ...installation, version: "1.19.0" })).toThrow(
      `the library says that it is version ${installation.version}, the package is 1.19.0`,
    );
  });

  it("is the binding where koffi is not installed", () => {
    const folder = temporaryFolder();
    cpSync(join(ROOT, "dist"), join(folder, "dist"), { recursive: true });
    writeFileSync(join(folder, "package.json"), JSON.stringify({ type: "module" }));
    mkdirSync(join(folder, "node_modules"));
    for (const name of readdirSync(join(ROOT, "node_modules")))
      if (!/koffi|koromix|^\./.test(name))
        symlinkSync(join(ROOT, "node_modules", name), join(folder, "node_modules", name));
    const script = `
      import { TrainingSession } from ${JSON.stringify(pathToFileURL(join(folder, "dist", "index.js")).href)};
      const session = await TrainingSession.create(${JSON.stringify(FILES)}, { runtime: "ort-node" });
      console.log(JSON.stringify(session.way));`;
    const { stdout, stderr } = spawnSync(process.execPath, ["--input-type=module", "--eval", script], {
      encoding: "utf8",
    });
    expect(JSON.parse(stdout), stderr).toEqual({
      name: "binding",
      passedOver: [["native", "koffi is not installed"]],
    });
  });
});
