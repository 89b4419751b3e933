import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { float, model, Sketch } from "../../fixtures/sketch.ts";
import { encodeModel, GraphTensor } from "../../src/entries/graph.ts";
import { encodeSafetensors } from "../../src/entries/training.ts";
import { command } from "../support/command.ts";
import { temporaryFolder } from "../support/temporary.ts";

const WEIGHTS = [0.5, -1, 0.25, 2, -0.5, 1];
const X = [
  [1, 2, 3],
  [0, -1, 0.5],
  [4, 0.25, -2],
];
const TARGET = [
  [1, 0],
  [0, 2],
  [-1, 1],
];

/** y = x W of one vector x, with no axis of samples. */
function write(folder: string): string {
  const sketch = new Sketch("policy");
  sketch.input("x", float([3]));
  sketch.initializer("w", GraphTensor.floats([3, 2], WEIGHTS));
  sketch.node("MatMul", ["x", "w"], ["y"]);
  sketch.output("y", float([2]));
  const path = join(folder, "policy.onnx");
  writeFileSync(path, encodeModel(model(sketch.graph, 8, [["", 17]])));
  writeFileSync(
    join(folder, "data.safetensors"),
    encodeSafetensors([
      { name: "x", tensor: GraphTensor.floats([3, 3], X.flat()) },
      { name: "target", tensor: GraphTensor.floats([3, 2], TARGET.flat()) },
    ]),
  );
  return path;
}

/** The mean of squared differences of one sample, by hand. */
function lossOf(sample: number): number {
  const errors = [0, 1].map((column) => {
    const y = (X[sample] ?? []).reduce((sum, value, row) => sum + value * (WEIGHTS[2 * row + column] ?? 0), 0);
    return y - (TARGET[sample]?.[column] ?? 0);
  });
  return errors.reduce((sum, error) => sum + error * error, 0) / 2;
}

describe("a model of one sample without a batch axis", () => {
  it("is given one, which is said, passes gradcheck and trains sample by sample", async () => {
    const folder = temporaryFolder();
    const path = write(folder);
    const data = ["--data", join(folder, "data.safetensors")];
    const built = await command(["build", path, "--loss", "mse", "--optimizer", "sgd", "-o", join(folder, "set")]);
    expect([built.status, built.stderr]).toEqual([
      0,
      expect.stringContaining(
        '"x" [3]: one sample without a batch axis; it gets one, and is trained with batches of 1',
      ),
    ]);
    const checked = await command(["gradcheck", path, "--loss", "mse", ...data, "--json"]);
    expect([checked.status, checked.stderr]).toEqual([0, expect.any(String)]);
    const check = JSON.parse(checked.stdout) as { loss: number; precision: string; isComplete: boolean };
    expect(check).toMatchObject({ precision: "float64", isComplete: true });
    expect(check.loss).toBeCloseTo(lossOf(0), 6);
    const run = await command(["train", join(folder, "set"), ...data, "--no-shuffle", "--lr", "0", "--json"]);
    expect([run.status, run.stderr]).toEqual([0, expect.any(String)]);
    const events = run.stdout
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as { type: string; loss: number });
    const losses = events.flatMap(({ type, loss }) => (type === "step" ? [loss] : []));
    expect(losses).toHaveLength(3);
    for (const [sample, loss] of losses.entries()) expect(loss).toBeCloseTo(lossOf(sample), 5);
  });
});
