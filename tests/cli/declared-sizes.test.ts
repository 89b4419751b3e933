import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { float, model, Sketch } from "../../fixtures/sketch.ts";
import { encodeModel, GraphTensor } from "../../src/entries/graph.ts";
import { encodeSafetensors } from "../../src/entries/training.ts";
import { command } from "../support/command.ts";
import { temporaryFolder } from "../support/temporary.ts";

const WEIGHTS = [0.5, -1, 0.25, 2];
const X = [1, 2, 3, -1, 0.5, 0.75];
const TARGET = [1, 0, 0, 2, -1, 1];

/** y = relu(x W), any number of rows, of which what is behind the input is declared to be one: what PyTorch's exporter writes for an example of one sample. */
function write(folder: string): string {
  const sketch = new Sketch("example");
  sketch.input("x", float(["s77", 2]));
  sketch.initializer("w", GraphTensor.floats([2, 2], WEIGHTS));
  sketch.node("MatMul", ["x", "w"], ["product"]);
  sketch.node("Relu", ["product"], ["y"]);
  sketch.output("y", float([1, 2]));
  const made = model(sketch.graph, 8, [["", 17]]);
  const product = made.graph.nodes[0]?.outputs[0];
  if (!product) throw new Error("no product");
  product.type = float([1, 2]);
  made.graph.declare(product);
  const path = join(folder, "model.onnx");
  writeFileSync(path, encodeModel(made));
  const tensors = [
    { name: "x", tensor: GraphTensor.floats([3, 2], X) },
    { name: "target", tensor: GraphTensor.floats([3, 2], TARGET) },
  ];
  writeFileSync(join(folder, "data.safetensors"), encodeSafetensors(tensors));
  return path;
}

/** The mean of squared differences, by hand. */
function loss(): number {
  const errors = TARGET.map((target, at) => {
    const [row, column] = [Math.floor(at / 2), at % 2];
    const y = (X[2 * row] ?? 0) * (WEIGHTS[column] ?? 0) + (X[2 * row + 1] ?? 0) * (WEIGHTS[2 + column] ?? 0);
    return Math.max(y, 0) - target;
  });
  return errors.reduce((sum, error) => sum + error * error, 0) / errors.length;
}

describe("sizes that are declared otherwise than the model computes them", () => {
  it("are those of the inputs, which is said, and batches of several samples train", async () => {
    const folder = temporaryFolder();
    const path = write(folder);
    const data = ["--data", join(folder, "data.safetensors"), "--batch-size", "3"];
    const built = await command(["build", path, "--loss", "mse", "--optimizer", "sgd", "-o", join(folder, "set")]);
    expect([built.status, built.stderr]).toEqual([
      0,
      expect.stringContaining('the output "y" is declared as [1,2]; by what the model computes it is [s77,2]'),
    ]);
    const checked = await command(["gradcheck", path, "--loss", "mse", ...data, "--json"]);
    expect([checked.status, checked.stderr]).toEqual([0, expect.any(String)]);
    expect((JSON.parse(checked.stdout) as { loss: number }).loss).toBeCloseTo(loss(), 6);
    const run = await command(["train", join(folder, "set"), ...data, "--no-shuffle", "--lr", "0", "--json"]);
    expect([run.status, run.stderr]).toEqual([0, expect.any(String)]);
    const steps = run.stdout.split("\n").filter((line) => line.includes('"step"'));
    expect(steps).toHaveLength(1);
    expect((JSON.parse(steps[0] ?? "") as { loss: number }).loss).toBeCloseTo(loss(), 5);
  });
});
