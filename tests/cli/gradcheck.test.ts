import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { float, model, Sketch } from "../../fixtures/sketch.ts";
import { DataType, encodeModel, GraphTensor } from "../../src/entries/graph.ts";
import { command } from "../support/command.ts";
import { wave } from "../support/conv-net.ts";
import { temporaryFolder } from "../support/temporary.ts";

/** A convolution with a bias before a batch normalization, which takes it away; Atan has no float64 kernel. */
function write(): string {
  const sketch = new Sketch("taken");
  sketch.input("x", float(["batch", 2, "height", "width"]));
  sketch.initializer("w", GraphTensor.from(DataType.float, [4, 2, 3, 3], wave(72, 1)));
  for (const [seed, name] of ["b", "scale", "bias", "mean"].entries())
    sketch.initializer(name, GraphTensor.from(DataType.float, [4], wave(4, seed + 2)));
  sketch.initializer("var", GraphTensor.floats([4], [1, 2, 3, 4]));
  sketch.node("Conv", ["x", "w", "b"], ["conv"]);
  sketch.node("BatchNormalization", ["conv", "scale", "bias", "mean", "var"], ["norm"]);
  sketch.node("Atan", ["norm"], ["bent"]);
  sketch.node("GlobalAveragePool", ["bent"], ["y"]);
  sketch.output("y", float(["batch", 4, 1, 1]));
  const path = join(temporaryFolder(), "model.onnx");
  writeFileSync(path, encodeModel(model(sketch.graph, 8, [["", 17]])));
  return path;
}

describe("gradcheck", () => {
  it("says which gradients are too small to be seen, and which sizes to give where those it takes do not fit", async () => {
    const path = write();
    const args = ["gradcheck", path, "--loss", "mse", "--dim", "height=7", "--dim", "width=7"];
    const checked = await command(args);
    expect([checked.status, checked.stdout]).toEqual([
      0,
      expect.stringMatching(/in float32.*\n1 of 4 parameters cannot be judged on these inputs.*\nall differences/s),
    ]);
    const small = await command(["gradcheck", path, "--loss", "mse", "--dim", "height=2", "--dim", "width=2"]);
    expect([small.status, small.stderr]).toEqual([9, expect.stringContaining("--dim batch=<size>")]);
  });
});
