import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { float, model, Sketch, tensor } from "../../fixtures/sketch.ts";
import { attribute, DataType, encodeModel, GraphTensor } from "../../src/entries/graph.ts";
import { command } from "../support/command.ts";
import { temporaryFolder } from "../support/temporary.ts";

const numbers = (dims: readonly number[], seed: number): GraphTensor => {
  const size = dims.reduce((product, dim) => product * dim, 1);
  return GraphTensor.floats(
    dims,
    Array.from({ length: size }, (_, at) => Math.sin(at * 1.7 + seed) * 0.5),
  );
};

/** An LSTM with lengths and peepholes, then three rounds of a layer whose weight lies in the loop's body. */
function write(folder: string): string {
  const sketch = new Sketch("loops");
  sketch.input("x", float([4, 2, 3]));
  sketch.initializer("w", numbers([1, 16, 3], 1));
  sketch.initializer("r", numbers([1, 16, 4], 2));
  sketch.initializer("b", numbers([1, 32], 3));
  sketch.initializer("p", numbers([1, 12], 4));
  sketch.initializer("lengths", GraphTensor.from(DataType.int32, [2], Int32Array.of(4, 2)));
  sketch.node("LSTM", ["x", "w", "r", "b", "lengths", "", "", "p"], ["", "last"], [attribute.int("hidden_size", 4)]);
  sketch.initializer("flat", GraphTensor.ints([2, 4]));
  sketch.node("Reshape", ["last", "flat"], ["v"]);
  sketch.initializer("count", GraphTensor.from(DataType.int64, [], BigInt64Array.of(3n)));
  const body = new Sketch("body");
  body.input("i", tensor(DataType.int64, []));
  body.input("go", tensor(DataType.bool, []));
  body.input("v_in", float([2, 4]));
  body.initializer("inside", numbers([4, 4], 5));
  body.node("Identity", ["go"], ["go_out"]);
  body.node("MatMul", ["v_in", "inside"], ["product"]);
  body.node("Tanh", ["product"], ["v_out"]);
  body.output("go_out", tensor(DataType.bool, []));
  body.output("v_out", float([2, 4]));
  sketch.node("Loop", ["count", "", "v"], ["y"], [attribute.graph("body", body.graph)]);
  sketch.output("y", float([2, 4]));
  const path = join(folder, "loops.onnx");
  writeFileSync(path, encodeModel(model(sketch.graph, 8, [["", 17]])));
  return path;
}

describe("models with loops", () => {
  it("pass gradcheck in float64 and build, and the weights inside are trained", async () => {
    const folder = temporaryFolder();
    const path = write(folder);
    const checked = await command(["gradcheck", path, "--loss", "mse", "--json"]);
    expect([checked.status, checked.stderr]).toEqual([0, expect.any(String)]);
    const check = JSON.parse(checked.stdout) as { precision: string; parameters: { parameter: string }[] };
    expect(check.precision).toBe("float64");
    expect(check.parameters.map(({ parameter }) => parameter).sort()).toEqual(["b", "inside", "p", "r", "w"]);
    const built = await command(["build", path, "--loss", "mse", "-o", join(folder, "set"), "--json"]);
    expect([built.status, built.stderr]).toEqual([0, expect.any(String)]);
    expect(JSON.parse(built.stdout)).toMatchObject({ targets: ["onnxruntime", "portable"] });
  });
});
