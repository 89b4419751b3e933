import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { float, model, Sketch } from "../../fixtures/sketch.ts";
import { encodeModel, GraphTensor } from "../../src/entries/graph.ts";
import { TrainingSession } from "../../src/index.ts";
import { command } from "../support/command.ts";
import { built, FIXTURES } from "../support/mixed-precision.ts";
import { temporaryFolder } from "../support/temporary.ts";

describe("what mixed precision does not go with is refused by name:", () => {
  const mlp = join(FIXTURES, "mlp.onnx");
  const refused = async (args: readonly string[]): Promise<string> => {
    const { status, stderr } = await command(args);
    expect(status).not.toBe(0);
    return stderr;
  };
  const build = (path: string, ...more: readonly string[]) =>
    refused(["build", path, "--loss", "cross-entropy", ...more, "-o", join(temporaryFolder(), "set")]);

  it("ONNX Runtime's four files", async () => {
    expect(await build(mlp, "--precision", "bfloat16", "--set", "onnxruntime")).toMatch(
      /\[E_TARGET\].*its files hold float32 alone, and precision is bfloat16/,
    );
  });

  it("a scale where all is float32", async () => {
    expect(await build(mlp, "--loss-scale", "1024")).toContain("[E_OPTION] lossScale must be left out");
    expect(await build(mlp, "--precision", "float32", "--loss-scale", "8")).toContain("[E_OPTION] lossScale must");
  });

  it.each(["0", "-1", "many", "dynamic:0", "dynamic:x", "dynamic1024", "1e39"])("the scale %s", async (scale) => {
    expect(await build(mlp, "--precision", "float16", `--loss-scale=${scale}`)).toMatch(/above 0/);
  });

  it("a model without a product", async () => {
    const sketch = new Sketch("factors");
    sketch.input("x", float(["batch", 3]));
    sketch.initializer("w", GraphTensor.floats([3], [1, 2, 3]));
    sketch.node("Mul", ["x", "w"], ["y"]);
    sketch.output("y", float(["batch", 3]));
    const path = join(temporaryFolder(), "factors.onnx");
    writeFileSync(path, encodeModel(model(sketch.graph, 8, [["", 17]])));
    expect(await build(path, "--precision", "float16")).toContain("it has no product that float16 would be used in");
  });

  it("ONNX Runtime's checkpoint, before the training", async () => {
    const { set } = await built(mlp, ["--precision", "float16"]);
    const args = ["train", set, "--data", join(FIXTURES, "mlp.safetensors"), "-o", join(temporaryFolder(), "out")];
    expect(await refused(args)).toContain("ONNX Runtime's checkpoint format has no place for the loss's scale");
  });

  it("gradcheck", async () => {
    expect(await refused(["gradcheck", mlp, "--loss", "cross-entropy", "--precision", "float16"])).toContain("float32");
  });
});

describe("a session without a scale", () => {
  it("says so", async () => {
    const { set } = await built(join(FIXTURES, "mlp.onnx"), ["--precision", "bfloat16"]);
    const session = await TrainingSession.create(set);
    try {
      expect(await session.lossScale()).toBeNull();
    } finally {
      await session.release();
    }
  });
});
