import { cpSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { SET_MANIFEST } from "../../src/entries/training.ts";
import { readArtifacts, trainableParameters, writeArtifacts } from "../../src/index.ts";
import { errorOf, rejectionOf } from "../support/errors.ts";
import { hasShared, SHARED } from "../support/shared.ts";
import { temporaryFolder } from "../support/temporary.ts";

const DIGITS = fileURLToPath(new URL("../../fixtures/digits/", import.meta.url));
const FILES = ["checkpoint", "eval_model.onnx", "optimizer_model.onnx", "training_model.onnx"];

describe("a folder of artifacts", () => {
  it("is written as it was read, with its prefix and its checkpoint's second file", async () => {
    const folder = temporaryFolder();
    for (const name of FILES) cpSync(join(DIGITS, name), join(folder, `my_${name}`));
    writeFileSync(join(folder, "my_checkpoint.data"), "tensors");
    const artifacts = await readArtifacts(folder);
    expect(artifacts.prefix).toBe("my_");
    const copy = join(temporaryFolder(), "copy");
    mkdirSync(copy);
    await writeArtifacts(copy, artifacts);
    expect(
      readdirSync(copy)
        .filter((name) => name !== SET_MANIFEST)
        .sort(),
    ).toEqual(readdirSync(folder).sort());
    for (const name of readdirSync(folder)) {
      expect(Buffer.compare(readFileSync(join(copy, name)), readFileSync(join(folder, name))), name).toBe(0);
    }
    await writeArtifacts(folder, artifacts);
    expect(readFileSync(join(folder, "my_checkpoint.data"), "utf8")).toBe("tensors");
  });

  it("may lack files; what is there is read", async () => {
    const folder = temporaryFolder();
    cpSync(join(DIGITS, "optimizer_model.onnx"), join(folder, "optimizer_model.onnx"));
    const artifacts = await readArtifacts(folder);
    expect([artifacts.trainingModel, artifacts.evalModel, artifacts.checkpoint]).toEqual([null, null, null]);
    expect(trainableParameters(artifacts)).toBeNull();
  });

  it("of two sets, or of none, is refused", async () => {
    const two = temporaryFolder();
    for (const prefix of ["a_", "b_"])
      cpSync(join(DIGITS, "optimizer_model.onnx"), join(two, `${prefix}optimizer_model.onnx`));
    expect((await rejectionOf(readArtifacts(two))).message).toContain('several sets of artifacts: "a_", "b_"');
    expect((await rejectionOf(readArtifacts(temporaryFolder()))).code).toBe("E_NO_ARTIFACTS");
    expect((await rejectionOf(readArtifacts("missing"))).code).toBe("E_NO_FILE");
  });
});

describe("trainableParameters", () => {
  it("are the inputs with a gradient buffer, in the model's order", async () => {
    expect(trainableParameters(await readArtifacts(DIGITS))).toEqual([
      { name: "conv1.weight", shape: [8, 1, 3, 3] },
      { name: "conv1.bias", shape: [8] },
      { name: "conv2.weight", shape: [16, 8, 3, 3] },
      { name: "conv2.bias", shape: [16] },
      { name: "fc.weight", shape: [10, 256] },
      { name: "fc.bias", shape: [10] },
    ]);
  });

  it("take shapes that the model leaves open from the checkpoint", async () => {
    const artifacts = await readArtifacts(DIGITS);
    for (const input of artifacts.trainingModel?.graph.inputs ?? []) {
      if (input.name === "fc.bias") input.type = { kind: "tensor", dtype: 1, shape: ["classes"] };
    }
    expect(trainableParameters(artifacts)?.at(-1)).toEqual({ name: "fc.bias", shape: [10] });
    const error = errorOf(() => trainableParameters({ trainingModel: artifacts.trainingModel }));
    expect([error.code, error.field]).toEqual(["E_NO_SHAPE", "fc.bias"]);
  });

  it.skipIf(!hasShared).each([
    ["conv-l1", 4],
    ["mlp-ce", 4],
    ["transformer-lora", 15],
  ])("of the real set %s are %d", async (name, count) => {
    expect(trainableParameters(await readArtifacts(`${SHARED}artifacts/${name}`))).toHaveLength(count);
  });
});
