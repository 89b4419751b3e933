import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { makeOptimizer } from "../../fixtures/optimizer.ts";
import { makeCorpusStep } from "../../fixtures/step-corpus/index.ts";
import { checkModel, decodeModel, encodeModel, printModel } from "../../src/entries/graph.ts";
import { insertAgr, insertProven, type Model, stripAgr, verifyFinished } from "../../src/index.ts";
import { command } from "../support/command.ts";
import { errorOf, rejectionOf } from "../support/errors.ts";
import { wrongOutputs } from "../support/field-steps.ts";
import { temporaryFolder } from "../support/temporary.ts";

const FOLDER = new URL("../../fixtures/traced-steps/", import.meta.url).pathname;
const load = (name: string): Model => decodeModel(readFileSync(`${FOLDER}${name}.onnx`));

describe("insert --cautious", () => {
  // The numbers are PyTorch's, in float64: scripts/reference/traced-steps.
  it.each(["adamw_capturable", "lion_decay_in_the_update", "adan_of_its_authors", "momentum_as_velocity"])(
    "%s: masked as PyTorch masks it, stripped with the rest, and there once",
    async (name) => {
      const model = load(name);
      const before = encodeModel(model);
      const { report, options } = await insertProven(model, { cautious: true });
      expect(report.edges.filter(({ mask }) => mask === true)).toHaveLength(4);
      expect(await wrongOutputs(`${FOLDER}${name}`, encodeModel(model), "cautious")).toEqual([]);
      expect(await wrongOutputs(`${FOLDER}${name}`, encodeModel(model))).not.toEqual([]);
      expect(insertAgr(model, options).changed).toBe(0);
      const { passed, checks } = await verifyFinished(model);
      expect([passed, checks.map((each) => each.passed)]).toEqual([true, [true, true, true, true, true]]);
      stripAgr(model);
      expect(Buffer.compare(encodeModel(model), before)).toBe(0);
    },
  );

  it("golden text", async () => {
    const model = makeCorpusStep({ optimizer: "adamw", variant: "plain" });
    const before = printModel(model);
    await insertProven(model, { cautious: true, exclude: ["bias"] });
    checkModel(decodeModel(encodeModel(model)));
    await expect(`${before}@@@\n${printModel(model)}`).toMatchFileSnapshot(
      "../../fixtures/passes/insert-agr/cautious.txt",
    );
  });

  it("masks inside a branch, and masters in the place of float16 parameters", async () => {
    for (const variant of ["update inside an If", "half with masters", "dynamic loss scaling"] as const) {
      const { report } = await insertProven(makeCorpusStep({ optimizer: "adamw", variant }), { cautious: true });
      expect(report.edges.filter(({ mask }) => mask === true)).toHaveLength(2);
    }
  });

  it("verify: an update that goes the other way is not what is proven", async () => {
    const model = load("adamw_capturable");
    const { options } = await insertProven(model, { cautious: true });
    stripAgr(model);
    insertAgr(model, {
      ...options,
      cautious: options.cautious?.map((each) => ({ ...each, ascends: !each.ascends })) ?? [],
    });
    const { passed, checks } = await verifyFinished(model);
    expect([passed, checks.find(({ check }) => check === "updates")?.passed]).toEqual([false, false]);
  });

  it.each([
    ["weight decay before the moments", "adam", "plain", {}, "the parameter is in its update"],
    ["a trust ratio", "lamb", "plain", {}, "the parameter is in its update"],
    ["the gradient itself", "sgd", "plain", {}, "gradient itself"],
    ["updates clipped together", "adamw", "updates clipped by norm", {}, "the parameter is in its update"],
    ["what is not proven", "adamw", "plain", { proof: false }, "without the proof"],
  ] as const)("E_CAUTIOUS: refuses %s", async (_, optimizer, variant, options, text) => {
    const model = makeCorpusStep({ optimizer, variant });
    const before = encodeModel(model);
    const error = await rejectionOf(insertProven(model, { ...options, cautious: true }));
    expect([error.code, error.exitCode, error.message]).toEqual(["E_CAUTIOUS", 4, expect.stringContaining(text)]);
    expect(Buffer.compare(encodeModel(model), before)).toBe(0);
  });

  it("E_CAUTIOUS: refuses optimizers that hold their update", () => {
    const cautious = [{ parameter: "weight", ascends: false }];
    const error = errorOf(() => insertAgr(makeOptimizer(), { cautious }));
    expect([error.code, error.hint]).toEqual(["E_CAUTIOUS", expect.stringContaining("build --cautious")]);
  });

  it("of the command line: writes what verify takes, and strip restores", { timeout: 60_000 }, async () => {
    const output = join(temporaryFolder(), "out.onnx");
    const step = `${FOLDER}adamw_capturable.onnx`;
    const right = await command(["insert", step, "-o", output, "--cautious"]);
    expect([right.status, right.stdout]).toEqual([0, expect.stringContaining("masked: div")]);
    const verified = await command(["verify", output]);
    expect([verified.status, verified.stdout]).toEqual([0, expect.stringContaining("ok: updates: 4 masked updates")]);
    expect((await command(["strip", output, "--in-place"])).status).toBe(0);
    expect(readFileSync(output).equals(readFileSync(step))).toBe(true);
    const artifacts = join(temporaryFolder(), "optimizer_model.onnx");
    writeFileSync(artifacts, encodeModel(makeOptimizer()));
    const refused = await command(["insert", artifacts, "-o", output, "--force", "--cautious"]);
    expect([refused.status, refused.stderr]).toEqual([4, expect.stringContaining("E_CAUTIOUS")]);
  });
});
