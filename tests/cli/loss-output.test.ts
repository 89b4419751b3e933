import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { float, model, Sketch } from "../../fixtures/sketch.ts";
import { attribute, DataType, GraphTensor } from "../../src/entries/graph.ts";
import { writeModel } from "../../src/index.ts";
import { cli } from "../support/cli.ts";
import { temporaryFolder } from "../support/temporary.ts";

/** A game's agent: numbers that describe the model come before what it decides. */
async function agent(decides: "actions" | "choices"): Promise<string> {
  const net = new Sketch("agent");
  net.input("obs", float([4, 3]));
  net.initializer("version", GraphTensor.floats([1], [3]));
  net.initializer("body", GraphTensor.floats([3, 2], [1, -1, 0.5, 2, -0.5, 0.25]));
  net.node("Identity", ["version"], ["version_number"]);
  net.node("MatMul", ["obs", "body"], ["scores"]);
  net.output("version_number", float([1]));
  if (decides === "actions") {
    net.node("Tanh", ["scores"], ["actions"]);
    net.output("actions", float([4, 2]));
  } else {
    net.node("ArgMax", ["scores"], ["choices"], [attribute.int("axis", 1), attribute.int("keepdims", 0)]);
    net.output("choices", { kind: "tensor", dtype: DataType.int64, shape: [4] });
  }
  const path = join(temporaryFolder(), "agent.onnx");
  await writeModel(path, model(net.graph, 8, [["", 17]]));
  return path;
}

describe("the output that a loss is computed from", () => {
  it("is the first that depends on an input, which is said", async () => {
    const path = await agent("actions");
    const built = cli(["build", path, "--loss", "mse", "-o", join(temporaryFolder(), "built")]);
    expect([built.status, built.stderr]).toEqual([
      0,
      expect.stringContaining(
        'the loss is computed from "actions": the first output, "version_number", depends on no input',
      ),
    ]);
    expect(built.stdout).toMatch(/1 parameters of 6 numbers/);
  });

  it("is named where no gradient gets through to any parameter, and the option that is printed works", async () => {
    const path = await agent("choices");
    const folder = temporaryFolder();
    const refused = cli(["build", path, "--loss", "mse", "-o", join(folder, "built")]);
    expect([refused.status, refused.stderr]).toEqual([
      4,
      expect.stringMatching(/E_NO_PARAMETERS.*No gradient passes node "choices\/ArgMax" \(ArgMax\).*--loss-output \S+/),
    ]);
    const [, remedy = ""] = /(--loss-output \S+)/.exec(refused.stderr) ?? [];
    const built = cli(["build", path, "--loss", "mse", ...remedy.split(" "), "-o", join(folder, "built")]);
    expect(built.status).toBe(0);
    expect(built.stdout).toMatch(/body \[3,2\]/);
  });
});

describe("a loss of numbers that are drawn by chance", () => {
  it("is trained, and is not compared with differences of it: gradcheck says which outputs are free of chance", async () => {
    const net = new Sketch("agent");
    net.input("obs", float([4, 3]));
    net.initializer("body", GraphTensor.floats([3, 2], [1, -1, 0.5, 2, -0.5, 0.25]));
    net.node("MatMul", ["obs", "body"], ["mean"]);
    net.node("RandomNormalLike", ["mean"], ["noise"]);
    net.node("Add", ["mean", "noise"], ["actions"]);
    net.output("actions", float([4, 2]));
    net.output("mean", float([4, 2]));
    const path = join(temporaryFolder(), "agent.onnx");
    await writeModel(path, model(net.graph, 8, [["", 17]]));
    expect(cli(["build", path, "--loss", "mse", "-o", join(temporaryFolder(), "built")]).status).toBe(0);
    const refused = cli(["gradcheck", path, "--loss", "mse"]);
    expect([refused.status, refused.stderr]).toEqual([
      4,
      expect.stringMatching(/E_RANDOM.*"noise\/RandomNormalLike".*Free of chance are: mean\./),
    ]);
    expect(cli(["gradcheck", path, "--loss", "mse", "--loss-output", "mean"]).status).toBe(0);
  });
});
