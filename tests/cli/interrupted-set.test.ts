import { spawnSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { drawDigits } from "../../src/cli/demo/digits.ts";
import { sha256, writeFileAtomic } from "../../src/entries/graph.ts";
import { encodeSafetensors } from "../../src/entries/training.ts";
import { SET_JOURNAL } from "../../src/graph/io/file-set.ts";
import { writePending } from "../../src/graph/io/write-file.ts";
import {
  insertAgr,
  lowerArtifacts,
  readArtifacts,
  readModel,
  readPortable,
  readTrainable,
  readTrainingSet,
  readWeights,
  TrainingSession,
  writeModel,
  writeTrainingSet,
} from "../../src/index.ts";
import { cli, DIGITS, MAIN } from "../support/cli.ts";
import { contentOf } from "../support/faults.ts";
import { temporaryFolder } from "../support/temporary.ts";

let sets = "";
const at = (name: string): string => join(sets, name);

afterAll(() => rmSync(sets, { recursive: true, force: true }));
beforeAll(async () => {
  sets = mkdtempSync(join(tmpdir(), "onnx-agr-sets-"));
  for (const name of ["old", "new"]) mkdirSync(at(name));
  const artifacts = await readArtifacts(DIGITS);
  const portable = await lowerArtifacts(artifacts);
  await writeTrainingSet(at("old"), { onnxruntime: artifacts, portable });
  for (const model of [portable.trainStep, portable.apply, artifacts.optimizerModel]) {
    if (model !== null) insertAgr(model);
  }
  await writeTrainingSet(at("new"), { onnxruntime: artifacts, portable });
  writeFileSync(at("data.safetensors"), encodeSafetensors(drawDigits(20, 5)));
});

/** The old set, as a process leaves it that was killed when half of the new one's files were in place. */
async function interrupted(): Promise<string> {
  const folder = join(temporaryFolder(), "set");
  cpSync(at("old"), folder, { recursive: true });
  const renames: (readonly [string, string])[] = [];
  for (const [index, name] of readdirSync(at("new")).sort().entries()) {
    const bytes = readFileSync(join(at("new"), name));
    const { temporary } = await writePending(join(folder, name), [bytes]);
    renames.push([basename(temporary), name]);
    if (index % 2 === 0) spawnSync("mv", [temporary, join(folder, name)]);
  }
  const text = JSON.stringify({ schema: 1, renames, removals: [] });
  writeFileSync(join(folder, SET_JOURNAL), `${text}\n${sha256(new TextEncoder().encode(text))}\n`);
  return folder;
}

const session = (folder: string) => ({
  checkpointState: join(folder, "checkpoint"),
  trainModel: join(folder, "training_model.onnx"),
  optimizerModel: join(folder, "optimizer_model.onnx"),
});

describe("row 71, row 91: a set that a killed process has left half in place", () => {
  it.each<readonly [string, (folder: string) => Promise<unknown>]>([
    ["readTrainingSet", readTrainingSet],
    ["readArtifacts", readArtifacts],
    ["readPortable", readPortable],
    ["readTrainable", (folder) => readTrainable(folder)],
    ["readModel of one file", (folder) => readModel(join(folder, "apply.onnx"))],
    ["readWeights of the state", (folder) => readWeights(join(folder, "state.safetensors"))],
    ["readWeights of ONNX Runtime's checkpoint", (folder) => readWeights(join(folder, "checkpoint"))],
    ["TrainingSession.create", async (folder) => (await TrainingSession.create(session(folder))).release()],
  ])("is completed by %s", async (_, read) => {
    const folder = await interrupted();
    await read(folder);
    expect(contentOf(folder)).toEqual(contentOf(at("new")));
  });

  it.each<readonly [string, (path: string) => Promise<void>]>([
    ["a file", (path) => writeFileAtomic(path, Uint8Array.of(1))],
    ["a model", async (path) => writeModel(path, await readModel(join(DIGITS, "eval_model.onnx")))],
  ])("is completed before %s is written beside it, or in its place", async (_, write) => {
    for (const name of ["other", "apply.onnx"]) {
      const folder = await interrupted();
      await write(join(folder, name));
      const [content, expected] = [new Map(contentOf(folder)), new Map(contentOf(at("new")))];
      expect(content.get(name)).not.toBe(expected.get(name));
      for (const each of [content, expected]) each.delete(name);
      expect(content).toEqual(expected);
    }
  });

  it("is completed before export writes into its folder, and none of its files is replaced", async () => {
    const folder = await interrupted();
    const { status, stderr } = cli(["export", DIGITS, "--force", "-o", join(folder, "eval.onnx")]);
    expect([status, stderr]).toEqual([2, expect.stringContaining("[E_SET]")]);
    expect(contentOf(folder)).toEqual(contentOf(at("new")));
  });

  it.each([
    ["train", (folder: string) => ["train", folder, "--data", at("data.safetensors"), "--quiet"]],
    ["eval", (folder: string) => ["eval", folder, "--data", at("data.safetensors")]],
    ["strip of one file, elsewhere", (folder: string) => ["strip", join(folder, "apply.onnx"), "-o", at("apply.onnx")]],
    ["diff", (folder: string) => ["diff", folder, at("new")]],
    [
      "export with its weights",
      (folder: string) => ["export", DIGITS, "--checkpoint", join(folder, "checkpoint"), "-o", at("model.onnx")],
    ],
  ])("is completed by the command %s", async (_, args) => {
    const folder = await interrupted();
    const { status, stderr } = cli(args(folder));
    expect([status, stderr]).toEqual([0, expect.not.stringContaining("[E_")]);
    expect(contentOf(folder)).toEqual(contentOf(at("new")));
  });

  const readOnly = (folder: string, ...args: readonly string[]) =>
    spawnSync(
      "unshare",
      ["-m", "bash", "-c", 'mount --bind "$0" "$0" && mount -o remount,ro,bind "$0" && "$@"', folder, ...args],
      { encoding: "utf8", cwd: tmpdir() },
    );
  const hasMounts = readOnly(tmpdir(), "true").status === 0;

  it.skipIf(!hasMounts)("is refused where it cannot be completed, and stays as it is (unshare -m)", async () => {
    const folder = await interrupted();
    const before = contentOf(folder);
    for (const args of [
      ["train", folder, "--data", at("data.safetensors")],
      ["inspect", join(folder, "train_step.onnx")],
    ]) {
      const { status, stderr } = readOnly(folder, process.execPath, MAIN, ...args);
      const reason = /\[E_FILE_SYSTEM\] cannot complete the files that an interrupted .*: the file system is read-only/;
      expect([status, stderr]).toEqual([6, expect.stringMatching(reason)]);
    }
    expect(contentOf(folder)).toEqual(before);
  });
});
