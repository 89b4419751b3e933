import { execFileSync } from "node:child_process";
import { cpSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { makePlainStep } from "../../fixtures/plain-steps.ts";
import { encodeModel } from "../../src/entries/graph.ts";
import { DIGITS, MAIN } from "../support/cli.ts";
import { command } from "../support/command.ts";
import { temporaryFolder } from "../support/temporary.ts";

const same = (a: string, b: string): boolean => Buffer.compare(readFileSync(a), readFileSync(b)) === 0;

describe("inspect", () => {
  it("tells what is in a folder, with AGR and without", async () => {
    const out = join(temporaryFolder(), "agr");
    expect((await command(["inspect", DIGITS])).stdout).toContain('gradients: sequence "gradients", without AGR');
    await command(["insert", DIGITS, "-o", out]);
    const { status, stdout } = await command(["inspect", out, "--json"]);
    const document = JSON.parse(stdout) as {
      kind: string;
      optimizerModel: { optimizers: { gradients: unknown }[]; agr: { edges: unknown } };
    };
    expect([status, document.kind]).toEqual([0, "artifacts"]);
    expect(document.optimizerModel.optimizers[0]?.gradients).toEqual([
      { value: "gradients", kind: "sequence", parameter: null, regularized: true },
    ]);
    expect(document.optimizerModel.agr.edges).toEqual([
      { from: "gradients", to: "onnx-agr/gradients/SequenceConstruct:out" },
    ]);
  });

  it("--explain says what every form found or what stopped it, and ends with 4 where there is nothing", async () => {
    const folder = temporaryFolder();
    const step = join(folder, "step.onnx");
    writeFileSync(step, encodeModel(makePlainStep({ update: "adan" })));
    const found = await command(["inspect", step, "--explain"]);
    expect(found.status).toBe(0);
    expect(found.stdout).toMatch(
      /^plain-step: 2 gradient edges; looks for .*\n {2}plain operators: tensor "weight_gradient" of weight\n/,
    );
    const nothing = await command(["inspect", join(DIGITS, "eval_model.onnx"), "--explain"]);
    expect(nothing.status).toBe(4);
    expect(nothing.stdout).toContain("ort-sequence: nothing; looks for com.microsoft AdamWOptimizer or SGDOptimizerV2");
    expect(nothing.stdout).toContain("not the graph: no input has an output that renews it by name and type");
    const document = JSON.parse((await command(["inspect", step, "--explain", "--json"])).stdout) as {
      dialects: { dialect: string; matched: unknown[] }[];
    };
    expect(document.dialects.map(({ dialect, matched }) => [dialect, matched.length])).toEqual([
      ["plain-step", 2],
      ["portable", 0],
      ["ort-sequence", 0],
      ["ort-tensor", 0],
      ["onnx-training", 0],
    ]);
  });

  it("and insert take a plain train step, told what its names do not tell", async () => {
    const folder = temporaryFolder();
    const [step, out, back] = ["step.onnx", "agr.onnx", "back.onnx"].map((name) => join(folder, name)) as [
      string,
      string,
      string,
    ];
    writeFileSync(step, encodeModel(makePlainStep({ update: "sgd", renewal: (name) => `r_${name}`, report: true })));
    expect((await command(["insert", step, "--dry-run"])).stderr).toContain("state paired by data flow");
    const told = [
      "--state",
      "weight=r_weight",
      "--state",
      "bias=r_bias",
      "--gradient",
      "weight_gradient=weight",
      "--reported",
      "regularized",
    ];
    expect((await command(["insert", step, "-o", out, ...told])).stdout).toContain("regularized: weight, bias");
    expect((await command(["strip", out, "-o", back])).status).toBe(0);
    expect(same(step, back)).toBe(true);
    expect((await command(["insert", step, "-o", out, "--force", "--state", "weight=nothing"])).status).toBe(2);
  });

  it("prints a graph as text, and a checkpoint under any name", async () => {
    expect((await command(["inspect", join(DIGITS, "optimizer_model.onnx"), "--text"])).stdout).toContain(
      "com.microsoft.AdamWOptimizer",
    );
    const copy = join(temporaryFolder(), "trained");
    cpSync(join(DIGITS, "checkpoint"), copy);
    expect((await command(["inspect", copy])).stdout).toContain(
      "ONNX Runtime training checkpoint: 6 trainable and 0 frozen parameters",
    );
  });

  it("and diff tell two models apart", async () => {
    const out = join(temporaryFolder(), "agr.onnx");
    await command(["insert", join(DIGITS, "optimizer_model.onnx"), "-o", out]);
    const { status, stdout } = await command(["diff", join(DIGITS, "optimizer_model.onnx"), out]);
    expect(status).toBe(0);
    expect(stdout).toContain(
      "> node graph: updated_flag/AdamWOptimizer, input 3: gradients -> onnx-agr/gradients/SequenceMap:out",
    );
    expect(JSON.parse((await command(["diff", out, out, "--json"])).stdout)).toMatchObject({
      equal: true,
      differences: [],
    });
    expect((await command(["diff", out, "missing"])).status).toBe(3);
  });

  it("ends quietly when nobody reads on", () => {
    const script = '"$0" "$1" inspect "$2" --text | head -c 1; echo " $PIPESTATUS"';
    const output = execFileSync("bash", ["-c", script, process.execPath, MAIN, join(DIGITS, "training_model.onnx")], {
      encoding: "utf8",
    });
    expect(output).toBe("< 0\n");
  });
});
