import { readFileSync } from "node:fs";
import { InferenceSession } from "onnxruntime-node";
import { describe, expect, it } from "vitest";
import { decodeModel, encodeModel, Node, Value } from "../../src/entries/graph.ts";
import { type Model, TrainingSession } from "../../src/index.ts";
import { explain } from "../../src/runtime/ort-errors.ts";
import { cli, DIGITS } from "../support/cli.ts";
import { rejectionOf } from "../support/errors.ts";

/** What onnxruntime-node throws at a changed eval model. */
async function thrownAt(change: (model: Model) => void): Promise<unknown> {
  const model = decodeModel(readFileSync(`${DIGITS}/eval_model.onnx`));
  change(model);
  return InferenceSession.create(encodeModel(model), { logSeverityLevel: 4 }).then(
    () => null,
    (error: unknown) => error,
  );
}

const unknownOperator = (model: Model): void => {
  const [first] = model.graph.nodes;
  if (first !== undefined) {
    model.graph.insertBefore(first, new Node("NoSuchOperator", [], [new Value("nothing")], { name: "bad" }));
  }
};

const newerIr = (model: Model): void => {
  model.irVersion = 99;
};

describe("what ONNX Runtime says is translated", () => {
  it.each([
    ["a newer IR version", newerIr, /newer version/, /onnxruntime-node@latest/],
    ["a newer opset", (model: Model) => void model.opsets.set("", 99), /newer version/, /onnxruntime-node@latest/],
    ["an operator it lacks", unknownOperator, /no kernel for an operator/, /lower/],
  ])("row 80: %s", async (_, change, reason, hint) => {
    const said = explain(await thrownAt(change));
    expect([said.reason, said.hint]).toEqual([expect.stringMatching(reason), expect.stringMatching(hint)]);
  });

  it("row 79: a bare number, and row 81: WebAssembly's memory", () => {
    expect(explain(14_680_064).reason).toContain("exception inside WebAssembly");
    expect(explain(new RangeError("WebAssembly.Memory(): could not allocate memory")).reason).toContain("4 GiB");
  });

  it("row 80: a provider that is not there is an error with what it needs, and no silent fallback", async () => {
    const files = { checkpointState: `${DIGITS}/checkpoint`, trainModel: `${DIGITS}/training_model.onnx` };
    const error = await rejectionOf(
      TrainingSession.create(files, { runtime: "ort-node", executionProviders: ["dml"] }),
    );
    expect([error.code, error.exitCode, error.hint]).toEqual([
      "E_EXECUTION_PROVIDER",
      9,
      expect.stringMatching(/DirectML is there on Windows only.*put cpu into the list/),
    ]);
  });

  it.each([
    ["webgpu", "no GPU adapter", /driver; on Linux XDG_RUNTIME_DIR must be set/],
    ["cuda", "its libraries are not installed", /CUDA 12 and cuDNN 9.*npm rebuild onnxruntime-node/],
  ])("row 80: %s without what it needs ends with 9 and says what that is", (provider, reason, needs) => {
    const { status, stderr } = cli(["inspect", DIGITS, "--ep", provider], {
      env: { VK_ICD_FILENAMES: "/nothing", VK_DRIVER_FILES: "/nothing", CUDA_VISIBLE_DEVICES: "", XDG_RUNTIME_DIR: "" },
    });
    expect([status, stderr]).toEqual([9, expect.stringMatching(needs)]);
    expect(stderr).toContain(reason);
    expect(stderr).toContain("put cpu into the list");
  });

  it("and what it said itself stays in the cause alone", async () => {
    const cause = await thrownAt(unknownOperator);
    expect(explain(cause).reason).not.toMatch(/NoSuchOperator for|onnxruntime_src/);
    expect(String(cause)).toContain("NoSuchOperator");
  });
});
