import { createHash } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { makePlainStep } from "../../fixtures/plain-steps.ts";
import { AGR_RECORD, attribute, decodeModel, encodeModel } from "../../src/entries/graph.ts";
import { type FinishedReport, insertAgr, type Model, verifyFinished } from "../../src/index.ts";
import { DIGITS } from "../support/cli.ts";
import { command } from "../support/command.ts";

const folder = mkdtempSync(join(tmpdir(), "onnx-agr-test-"));
afterAll(() => rmSync(folder, { recursive: true }));

const path = (name: string): string => join(folder, name);
const verdicts = ({ checks }: FinishedReport): Record<string, boolean | null> =>
  Object.fromEntries(checks.map(({ check, passed }) => [check, passed]));
const sha256 = (file: string): string => createHash("sha256").update(readFileSync(file)).digest("hex");

function inserted(options: Parameters<typeof insertAgr>[1] = {}): Model {
  const model = makePlainStep({ update: "adam with coupled weight decay" });
  insertAgr(model, options);
  return model;
}

describe("verifyFinished", () => {
  it("makes all four checks of a step", async () => {
    const report = await verifyFinished(inserted());
    expect(verdicts(report)).toEqual({ structure: true, formula: true, "strength-zero": true, gradients: true });
    expect([report.passed, report.proof?.precision]).toEqual([true, "float64"]);
  });

  it("finds AGR on a tensor that is not the gradient", async () => {
    const model = makePlainStep({ update: "adam with coupled weight decay" });
    const decayed = model.graph.nodes.find(
      ({ opType, inputs }) => opType === "Add" && inputs.some((input) => input?.name === "weight_gradient"),
    )?.outputs[0];
    insertAgr(model, { gradient: [`${decayed?.name}=weight`] });
    const report = await verifyFinished(model);
    expect(verdicts(report)).toEqual({ structure: true, formula: true, "strength-zero": true, gradients: false });
    expect(report.checks.at(-1)?.detail).toContain(`AGR is on "${decayed?.name}" as the gradient of "weight"`);
    const answered = await verifyFinished(model, { gradient: [`${decayed?.name}=weight`] });
    expect(verdicts(answered)).toMatchObject({ gradients: true });
  });

  it("finds a parameter that was left out though the options select it, unless it may be", async () => {
    const model = makePlainStep({ update: "sgd", matrix: true });
    insertAgr(model);
    const report = await verifyFinished(model);
    expect(report.checks.at(-1)).toMatchObject({ passed: false, detail: '"weight" has no AGR' });
    expect((await verifyFinished(model, { allowPartial: true })).passed).toBe(true);
    expect((await verifyFinished(inserted({ minRank: 2 }))).passed).toBe(true);
  });

  it("finds a function body that was changed after the insertion", async () => {
    const bytes = Buffer.from(encodeModel(inserted()));
    bytes.write("Neg", bytes.indexOf("\x22\x03Abs") + 2);
    const report = await verifyFinished(decodeModel(bytes));
    expect(verdicts(report)).toEqual({ structure: false, formula: null, "strength-zero": null, gradients: true });
  });

  it("finds a strength that is not the recorded one", async () => {
    const model = inserted();
    const [agr] = model.graph.nodes.filter(({ opType }) => opType === "AGR");
    agr?.attributes.set("strength", attribute.float("strength", 0.5));
    expect(verdicts(await verifyFinished(model))["structure"]).toBe(false);
  });

  it("refuses records whose options are none", async () => {
    const model = inserted();
    const record = JSON.parse(model.metadata.get(AGR_RECORD) ?? "");
    for (const [name, value] of Object.entries({ gradient: [1], state: "a=b", strength: "x", parameters: [{}] })) {
      model.metadata.set(AGR_RECORD, JSON.stringify({ ...record, options: { ...record.options, [name]: value } }));
      await expect(verifyFinished(model), name).rejects.toMatchObject({ code: "E_RECORD", exitCode: 3 });
    }
  });
});

describe("onnx-agr verify", () => {
  it("of a file, with statements of insertion and verification", async () => {
    writeFileSync(path("step.onnx"), encodeModel(makePlainStep({ update: "sgd" })));
    const insertion = ["insert", path("step.onnx"), "-o", path("agr.onnx"), "--attest", path("insert.json"), "--json"];
    expect((await command(insertion)).status).toBe(0);
    const { status, stdout } = await command(["verify", path("agr.onnx"), "--attest", path("verify.json"), "--json"]);
    expect([status, JSON.parse(stdout)]).toEqual([
      0,
      expect.objectContaining({ schemaVersion: 1, command: "verify", passed: true }),
    ]);
    const subject = [{ name: "agr.onnx", digest: { sha256: sha256(path("agr.onnx")) } }];
    const inserted = JSON.parse(readFileSync(path("insert.json"), "utf8"));
    expect(inserted).toMatchObject({
      _type: "https://in-toto.io/Statement/v1",
      subject,
      predicateType: "https://slsa.dev/provenance/v1",
      predicate: {
        buildDefinition: {
          resolvedDependencies: [{ name: "step.onnx", digest: { sha256: sha256(path("step.onnx")) } }],
          externalParameters: { command: "insert", options: { scope: "tensor", strength: 1 } },
        },
        runDetails: { builder: { version: { node: process.versions.node, "onnxruntime-node": expect.any(String) } } },
      },
    });
    const verified = readFileSync(path("verify.json"), "utf8");
    expect(JSON.parse(verified)).toMatchObject({
      _type: "https://in-toto.io/Statement/v1",
      subject,
      predicateType: "https://in-toto.io/attestation/test-result/v0.1",
      predicate: {
        result: "PASSED",
        passedTests: ["structure", "formula", "strength-zero", "gradients"],
        failedTests: [],
      },
    });
    expect(verified).not.toContain(folder);
    expect(JSON.stringify(inserted)).not.toContain(folder);
  });

  it("of a folder: what cannot be checked is said, and every file is a subject", async () => {
    expect((await command(["insert", DIGITS, "-o", path("artifacts")])).status).toBe(0);
    const { status, stdout } = await command(["verify", path("artifacts"), "--attest", path("folder.json")]);
    expect(status).toBe(0);
    expect(stdout).toMatch(/^optimizer_model\.onnx:\n {2}ok: structure: .*\n {2}ok: formula: 1 edges/);
    expect(stdout).toContain("  not checked: gradients: not proven: no loss is in the graph");
    const { subject, predicate } = JSON.parse(readFileSync(path("folder.json"), "utf8"));
    expect(predicate.result).toBe("WARNED");
    expect(subject).toContainEqual({
      name: "optimizer_model.onnx",
      digest: { sha256: sha256(path("artifacts/optimizer_model.onnx")) },
    });
    expect(subject).toHaveLength(5);
  });

  it("exits with 7, 3 and 4", async () => {
    const model = inserted();
    const [agr] = model.graph.nodes.filter(({ opType }) => opType === "AGR");
    agr?.attributes.set("strength", attribute.float("strength", 0.5));
    writeFileSync(path("changed.onnx"), encodeModel(model));
    const changed = await command(["verify", path("changed.onnx")]);
    expect([changed.status, changed.stdout]).toEqual([7, expect.stringMatching(/^FAILED: structure: it is not what/)]);

    const broken = decodeModel(encodeModel(inserted()));
    for (const node of broken.graph.nodes) if (node.opType === "AGR") node.name = `mine/${node.name}`;
    writeFileSync(path("broken.onnx"), encodeModel(broken));
    expect(await command(["verify", path("broken.onnx")])).toMatchObject({
      status: 3,
      stderr: expect.stringContaining("[E_RECORD]"),
    });

    writeFileSync(path("plain.onnx"), encodeModel(makePlainStep({ update: "sgd" })));
    expect(await command(["verify", path("plain.onnx")])).toMatchObject({
      status: 4,
      stderr: expect.stringContaining("[E_NO_AGR]"),
    });
    const dry = await command(["insert", path("plain.onnx"), "--dry-run", "--attest", path("x.json")]);
    expect([dry.status, dry.stderr]).toEqual([2, expect.stringContaining("--attest is about files")]);
    const differ = await command(["diff", path("plain.onnx"), path("changed.onnx"), "--exit-code", "--json"]);
    expect([differ.status, JSON.parse(differ.stdout).equal]).toEqual([4, false]);
    expect((await command(["diff", path("plain.onnx"), path("plain.onnx"), "--exit-code"])).status).toBe(0);
  });
});
