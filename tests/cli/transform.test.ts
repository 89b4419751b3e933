import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { makeOptimizer } from "../../fixtures/optimizer.ts";
import { encodeModel, PASSES } from "../../src/entries/graph.ts";
import { readModel } from "../../src/index.ts";
import { cliBytes } from "../support/cli.ts";
import { command } from "../support/command.ts";
import { temporaryFolder } from "../support/temporary.ts";

function files(): { readonly model: string; readonly output: string; readonly pipeline: string } {
  const folder = temporaryFolder();
  const model = join(folder, "optimizer.onnx");
  writeFileSync(model, encodeModel(makeOptimizer()));
  return { model, output: join(folder, "out.onnx"), pipeline: join(folder, "pipeline.json") };
}

const LIST = ["strip-agr", { name: "insert-agr", options: { count: 2, strength: 0.5 } }] as const;

describe("transform", () => {
  it("runs passes given as a file, as JSON and as names", async () => {
    const { model, output, pipeline } = files();
    writeFileSync(pipeline, JSON.stringify(LIST));
    const named = join(temporaryFolder(), "named.onnx");
    const fromFile = await command(["transform", model, "--passes", pipeline, "-o", output, "--json"]);
    const text = await command(["transform", model, "--passes", JSON.stringify(LIST), "-o", output, "--force"]);
    const names = await command(["transform", output, "--passes", "strip-agr, simplify", "-o", named]);
    expect([fromFile.status, text.status, names.status]).toEqual([0, 0, 0]);
    expect(JSON.parse(fromFile.stdout)).toMatchObject({
      command: "transform",
      changed: 1,
      steps: [
        { pass: "strip-agr", changed: 0 },
        { pass: "insert-agr", changed: 1 },
      ],
    });
    expect(text.stdout).toBe(`${output}: 1 changes\n  strip-agr: 0\n  insert-agr: 1, 1 left alone\n`);
    expect((await readModel(output)).metadata.has("onnx-agr")).toBe(true);
    expect((await readModel(named)).metadata.has("onnx-agr")).toBe(false);
  });

  it("reads stdin and writes stdout", () => {
    const input = encodeModel(makeOptimizer());
    const { status, stdout } = cliBytes(["transform", "-", "--passes", "strip-agr", "-o", "-"], input);
    expect([status, Buffer.compare(stdout, input)]).toEqual([0, 0]);
  });

  it.each<readonly [string, (pipeline: string) => string, number, RegExp]>([
    ["a pass that there is not", () => "strip-agrr", 2, /\[E_PIPELINE\] passes\[0\]: there is no pass "strip-agrr"/],
    ["an option that there is not", () => '[{"name":"raise-opset","options":{"to":9}}]', 2, /passes\[0\]\.options\.to/],
    ["JSON that is none", () => "[", 3, /\[E_JSON\] --passes is not JSON/],
    ["a file that is none", (pipeline) => pipeline, 6, /\[E_FILE_SYSTEM\] cannot read .*no such file or folder/],
    [
      "a pass that refuses",
      () => '["simplify",{"name":"add-lora","options":{"rank":2,"targets":["*"]}}]',
      4,
      /\[E_NO_PARAMETERS\] pass add-lora \(2 of 2\): no weight of a MatMul or Gemm/,
    ],
  ])("writes nothing for %s", async (_, passes, exit, message) => {
    const { model, output, pipeline } = files();
    const { status, stdout, stderr } = await command(["transform", model, "--passes", passes(pipeline), "-o", output]);
    expect([status, stdout, existsSync(output)]).toEqual([exit, "", false]);
    expect(stderr).toMatch(message);
  });

  it("lists every pass and its options in its help", async () => {
    const { stdout } = await command(["transform", "--help"]);
    for (const { name, summary, options } of PASSES) {
      expect(stdout).toContain(summary);
      for (const option of [name, ...Object.keys(options)]) expect(stdout).toContain(option);
    }
  });
});
