import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { float, MICROSOFT, model, Sketch } from "../../fixtures/sketch.ts";
import { attribute, encodeModel, GraphTensor } from "../../src/entries/graph.ts";
import { encodeSafetensors } from "../../src/entries/training.ts";
import { command } from "../support/command.ts";
import { temporaryFolder } from "../support/temporary.ts";

const WIDTH = 8;
const numbers = (dims: readonly number[], seed: number): GraphTensor => {
  const size = dims.reduce((product, dim) => product * dim, 1);
  return GraphTensor.floats(
    dims,
    Array.from({ length: size }, (_, at) => Math.sin(at * 1.7 + seed) * 0.5),
  );
};

/** A layer of a transformer as ONNX Runtime's optimizers leave it. */
function fusedModel(folder: string, more: readonly ReturnType<typeof attribute.int>[] = []): string {
  const sketch = new Sketch("fused");
  sketch.input("x", float(["N", 3, WIDTH]));
  sketch.initializer("qkv", numbers([WIDTH, 3 * WIDTH], 1));
  sketch.initializer("qkv_bias", numbers([3 * WIDTH], 2));
  sketch.initializer("gamma", numbers([WIDTH], 3));
  sketch.initializer("out", numbers([WIDTH, 2], 4));
  sketch.initializer("out_bias", numbers([2], 5));
  sketch.node("Attention", ["x", "qkv", "qkv_bias"], ["a"], [attribute.int("num_heads", 2), ...more], MICROSOFT);
  const epsilon = [attribute.float("epsilon", 0.01)];
  sketch.node("SkipSimplifiedLayerNormalization", ["x", "a", "gamma"], ["n"], epsilon, MICROSOFT);
  sketch.node("ReduceMean", ["n"], ["pooled"], [attribute.ints("axes", [1]), attribute.int("keepdims", 0)]);
  sketch.node("FusedGemm", ["pooled", "out", "out_bias"], ["y"], [attribute.string("activation", "Tanh")], MICROSOFT);
  sketch.output("y", float(["N", 2]));
  const path = join(folder, "fused.onnx");
  const opsets = [["", 17] as const, [MICROSOFT, 1] as const];
  writeFileSync(path, encodeModel(model(sketch.graph, 8, opsets)));
  return path;
}

describe("models with operators of ONNX Runtime's optimizers", () => {
  it("pass gradcheck in float64, build, train and evaluate in both runtimes", async () => {
    const folder = temporaryFolder();
    const path = fusedModel(folder);
    const checked = await command(["gradcheck", path, "--loss", "mse", "--json"]);
    expect([checked.status, checked.stderr]).toEqual([0, expect.any(String)]);
    expect(JSON.parse(checked.stdout)).toMatchObject({ precision: "float64", isRight: true });
    const set = join(folder, "set");
    const built = await command(["build", path, "--loss", "mse", "-o", set, "--json"]);
    expect([built.status, built.stderr]).toEqual([0, expect.any(String)]);
    expect(JSON.parse(built.stdout)).toMatchObject({ targets: ["onnxruntime", "portable"] });
    const data = join(folder, "data.safetensors");
    const tensors = [
      { name: "x", tensor: numbers([12, 3, WIDTH], 6) },
      { name: "target", tensor: numbers([12, 2], 7) },
    ];
    writeFileSync(data, encodeSafetensors(tensors));
    const losses: number[][] = [];
    for (const runtime of ["ort-node", "ort-training"]) {
      const args = ["--data", data, "--lr", "0.01", "--batch-size", "4", "--no-shuffle", "--runtime", runtime];
      const run = await command(["train", set, ...args, "-o", join(folder, `${runtime}.safetensors`), "--json"]);
      expect([run.status, run.stderr]).toEqual([0, expect.any(String)]);
      const steps = run.stdout.trim().split("\n");
      losses.push(
        steps.flatMap((line) => (line.includes('"step"') ? [(JSON.parse(line) as { loss: number }).loss] : [])),
      );
    }
    const [portable = [], training = []] = losses;
    expect(portable).toHaveLength(3);
    for (const [at, loss] of portable.entries()) expect(Math.abs(loss / (training[at] ?? 0) - 1)).toBeLessThan(2e-5);
    const evaluated = await command(["eval", set, "--data", data, "--json"]);
    expect([evaluated.status, evaluated.stderr]).toEqual([0, expect.any(String)]);
  });

  it("row 105: are refused by node and attribute where one is not known", async () => {
    const path = fusedModel(temporaryFolder(), [attribute.int("do_rotary", 1)]);
    const refused = await command(["gradcheck", path, "--loss", "mse"]);
    expect([refused.status, refused.stderr]).toEqual([4, expect.stringContaining("E_NO_GRADIENT")]);
    expect(refused.stderr).toContain(
      '"a/Attention" (com.microsoft.Attention) has no gradient: its attribute do_rotary is 1',
    );
  });
});
