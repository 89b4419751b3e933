import { cpSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { float, model, Sketch } from "../../fixtures/sketch.ts";
import { DataType, encodeModel, GraphTensor } from "../../src/entries/graph.ts";
import {
  decodeCheckpoint,
  decodeSafetensors,
  encodeCheckpoint,
  encodeSafetensors,
  readCheckpointFile,
} from "../../src/entries/training.ts";
import { readModel } from "../../src/index.ts";
import { decodeNpz } from "../../src/runtime/data/npz.ts";
import { DIGITS } from "../support/cli.ts";
import { command } from "../support/command.ts";
import { errorOf, rejectionOf } from "../support/errors.ts";
import { temporaryFolder } from "../support/temporary.ts";

const POINTER = Buffer.from(
  `version https://git-lfs.github.com/spec/v1\noid sha256:${"0".repeat(64)}\nsize 1590352\n`,
  "latin1",
);
const LFS = /this is a Git LFS pointer, not the file itself/;

/** A copy of a set of artifacts, with one file exchanged or gone. */
function digits(name: string, content: Uint8Array | null): string {
  const folder = join(temporaryFolder(), "artifacts");
  cpSync(DIGITS, folder, { recursive: true });
  if (content === null) rmSync(join(folder, name));
  else writeFileSync(join(folder, name), content);
  return folder;
}

function folderOf(files: Readonly<Record<string, Uint8Array>>): string {
  const folder = temporaryFolder();
  for (const [name, bytes] of Object.entries(files)) writeFileSync(join(folder, name), bytes);
  return folder;
}

const refused = async (args: readonly string[], exit: number, message: RegExp): Promise<void> => {
  const { status, stderr } = await command(args);
  expect([status, stderr]).toEqual([exit, expect.stringMatching(message)]);
};

describe("what stands where a file was not fetched is named", () => {
  it("row 3: a checkpoint that is a Git LFS pointer", async () => {
    const folder = digits("checkpoint", POINTER);
    await refused(
      ["insert", folder, "--dry-run"],
      3,
      /\[E_CHECKPOINT\] .*checkpoint: this is a Git LFS pointer.*git lfs pull/,
    );
  });

  it("row 3: weights and data", () => {
    expect(errorOf(() => decodeSafetensors(POINTER)).message).toMatch(LFS);
    const npz = errorOf(() => decodeNpz(POINTER));
    expect([npz.message, npz.hint]).toEqual([expect.stringMatching(LFS), "Run `git lfs pull`."]);
  });

  it("row 3: external data", async () => {
    const sketch = new Sketch("g");
    sketch.initializer("w", GraphTensor.floats([64], new Array(64).fill(1)));
    sketch.node("Relu", ["w"], ["y"]);
    sketch.output("y", float([64]));
    const [initializer] = sketch.graph.initializers;
    if (initializer === undefined) throw new Error("no weight");
    const folder = folderOf({ "w.data": new Uint8Array(256) });
    const at = { location: "w.data", offset: 0, length: 256, checksum: null };
    initializer.tensor = new GraphTensor(1, [64], { kind: "external", at });
    const path = join(folder, "model.onnx");
    writeFileSync(path, encodeModel(model(sketch.graph, 8, [["", 17]])));
    await readModel(path);
    writeFileSync(join(folder, "w.data"), POINTER);
    const error = await rejectionOf(readModel(path));
    expect([error.code, error.message]).toEqual([
      "E_EXTERNAL_MISSING",
      expect.stringMatching(/w\.data is a Git LFS pointer/),
    ]);
  });

  it("row 4: an error page in the place of weights", () => {
    expect(errorOf(() => decodeSafetensors(Buffer.from("<!DOCTYPE html><html>"))).message).toBe("this is an HTML page");
  });
});

describe("files of another kind are named", () => {
  it("row 5: a folder of .ort files", async () => {
    const folder = folderOf({ "training_model.ort": Uint8Array.of(0, 0, 0, 0, 0x4f, 0x52, 0x54, 0x4d) });
    await refused(
      ["insert", folder, "--dry-run"],
      3,
      /\[E_NO_ARTIFACTS\].*in ONNX Runtime's \.ort format\. Give a folder of the \.onnx/,
    );
  });

  it("row 6: a folder for a model", async () => {
    await refused(["upgrade", DIGITS, "-o", "x.onnx"], 3, /\[E_NO_FILE\] .* is a folder, not a file/);
  });

  it("row 48: a .pbseq file, and a folder of them", async () => {
    const folder = folderOf({ "paramtrain_tensors.pbseq": Uint8Array.of(0) });
    const file = join(folder, "paramtrain_tensors.pbseq");
    await refused(
      ["inspect", file],
      3,
      /one file of a checkpoint folder of ONNX Runtime up to 1\.15\. Give the folder/,
    );
    await refused(
      ["insert", folder, "--dry-run"],
      3,
      /\[E_NO_ARTIFACTS\].*a checkpoint of ONNX Runtime up to 1\.15, without the models/,
    );
    const told = await command(["inspect", folder]);
    expect([told.status, told.stdout]).toEqual([0, expect.stringContaining("training checkpoint: 0 trainable")]);
  });

  it("row 48: a nominal checkpoint for --init-from", async () => {
    const bytes = await readCheckpointFile(join(DIGITS, "checkpoint"));
    const checkpoint = decodeCheckpoint(bytes);
    const nominal = join(folderOf({ nominal: encodeCheckpoint({ ...checkpoint, nominal: true }) }), "nominal");
    const data = join(DIGITS, "none.npz");
    await refused(
      ["train", DIGITS, "--data", data, "--init-from", nominal],
      4,
      /\[E_NOMINAL\] the checkpoint .*nominal is nominal.*Use the full checkpoint/,
    );
  });
});

describe("remedies are in the words of the command line", () => {
  const options = (): readonly string[] => {
    const data = folderOf({
      "data.safetensors": encodeSafetensors([
        { name: "input", tensor: GraphTensor.floats([2, 1, 16, 16], new Array(512).fill(0.5)) },
        { name: "labels", tensor: GraphTensor.from(DataType.int64, [2], new BigInt64Array(2)) },
      ]),
    });
    return ["--data", join(data, "data.safetensors"), "--batch-size", "2"];
  };

  it("a folder without the eval model", async () => {
    await refused(
      ["eval", digits("eval_model.onnx", null), ...options()],
      9,
      /\[E_NO_EVAL_MODEL\] .*\. Give a folder that has an eval model/,
    );
  });

  it("a folder without the optimizer model", async () => {
    const folder = digits("optimizer_model.onnx", null);
    await refused(
      ["train", folder, ...options()],
      9,
      /\[E_NO_OPTIMIZER_MODEL\] .*\. Give a folder that has an optimizer model/,
    );
  });

  it("row 27: a graph of gradients without an optimizer", async () => {
    await refused(
      ["insert", join(DIGITS, "training_model.onnx"), "--dry-run"],
      4,
      /\[E_NO_OPTIMIZER\].*computes gradients and leaves the update to another: give that optimizer model, or the folder/,
    );
  });
});
