import { join } from "node:path";
import { Tensor } from "onnxruntime-node";
import { describe, expect, it } from "vitest";
import { float, model, Sketch } from "../../../fixtures/sketch.ts";
import { attribute, encodeModel, GraphTensor } from "../../../src/entries/graph.ts";
import {
  buildTrainingArtifacts,
  checkGradients,
  type Model,
  readModel,
  TrainingSession,
  writeModel,
} from "../../../src/index.ts";
import { cli } from "../../support/cli.ts";
import { openSession } from "../../support/ort.ts";
import { temporaryFolder } from "../../support/temporary.ts";

const numbers = (dims: readonly number[]): GraphTensor =>
  GraphTensor.floats(
    dims,
    Array.from({ length: dims.reduce((product, dim) => product * dim, 1) }, (_, index) => Math.sin(index * 1.3) / 2),
  );

/** As exporters wrote them in 2019: attributes that are inputs today, flattening Softmax, initializers among the inputs. */
function oldNet(): Model {
  const { ints, int, float: number, floats, string } = attribute;
  const net = new Sketch("net");
  net.input("x", float([2, 2, 6, 6]));
  const weights = { kernel: [3, 2, 3, 3], scale: [3], shift: [3], mean: [3], fc: [12, 4], bias: [4] };
  for (const [name, dims] of Object.entries(weights)) net.initializer(name, numbers(dims));
  net.initializer("variance", GraphTensor.floats([3], [1, 2, 0.5]));
  net.node("Pad", ["x"], ["padded"], [ints("pads", [0, 0, 1, 1, 0, 0, 1, 1])]);
  net.node("Conv", ["padded", "kernel"], ["conv"], [ints("kernel_shape", [3, 3])]);
  net.node("BatchNormalization", ["conv", "scale", "shift", "mean", "variance"], ["normal"]);
  net.node("Clip", ["normal"], ["clipped"], [number("min", -0.5), number("max", 6)]);
  net.node("Upsample", ["clipped"], ["large"], [floats("scales", [1, 1, 2, 2]), string("mode", "nearest")]);
  net.node("AveragePool", ["large"], ["small"], [ints("kernel_shape", [6, 6]), ints("strides", [6, 6])]);
  net.node("Slice", ["small"], ["top"], [ints("axes", [2]), ints("starts", [0]), ints("ends", [2])]);
  net.node("Dropout", ["top"], ["kept"], [number("ratio", 0.3)]);
  net.node("Flatten", ["kept"], ["flat"]);
  net.node("Gemm", ["flat", "fc", "bias"], ["logits"]);
  net.node("Unsqueeze", ["logits"], ["wide"], [ints("axes", [2])]);
  net.node("Softmax", ["wide"], ["shares"], [int("axis", 1)]);
  net.node("Squeeze", ["shares"], ["y"], [ints("axes", [2])]);
  net.output("y", float([2, 4]));
  net.graph.inputs.push(...net.graph.initializers);
  return model(net.graph, 3, [["", 8]]);
}

async function run(bytes: Uint8Array | string): Promise<number[]> {
  const session = await openSession(bytes as string);
  const x = new Tensor("float32", numbers([2, 2, 6, 6]).values() as Float32Array, [2, 2, 6, 6]);
  const results = await session.run({ x });
  await session.release();
  return [...((results["y"] as Tensor).data as Float32Array)];
}

describe("a model of opset 8 and IR 3", () => {
  it("row 104: is built, exported and computes what it computed", async () => {
    const { portable, report } = await buildTrainingArtifacts(oldNet(), { loss: { kind: "mse", output: "y" } });
    expect(report.trainable.map(({ name }) => name)).toEqual(["kernel", "scale", "shift", "fc", "bias"]);
    expect(report.notes).toContain("the opset was raised from 8 to 17");
    if (portable === null) throw new Error("no portable set");
    const session = await TrainingSession.create(portable);
    const exported = await session.exportModel();
    await session.release();
    const [was, is] = [await run(encodeModel(oldNet())), await run(exported)];
    for (const [index, value] of was.entries()) expect(is[index]).toBeCloseTo(value, 6);
  });

  it("has the gradients of finite differences", async () => {
    const { parameters, tolerance } = await checkGradients(oldNet(), { loss: { kind: "mse", output: "y" } });
    expect(parameters).toHaveLength(5);
    for (const { difference } of parameters) expect(difference).toBeLessThan(tolerance);
  });

  it("is upgraded by the command line", async () => {
    const folder = temporaryFolder();
    const [from, to] = [join(folder, "old.onnx"), join(folder, "new.onnx")];
    await writeModel(from, oldNet());
    const { status, stdout } = cli(["upgrade", from, "-o", to, "--json"]);
    expect(status).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ command: "upgrade", from: 8, to: 17, converted: { "Clip, 11": 1 } });
    expect((await readModel(to)).opset).toBe(17);
    const [was, is] = [await run(from), await run(to)];
    for (const [index, value] of was.entries()) expect(is[index]).toBeCloseTo(value, 6);
    const again = cli(["upgrade", to, "-o", join(folder, "third.onnx"), "--opset", "99"]);
    expect([again.status, again.stderr]).toEqual([2, expect.stringContaining("E_OPTION")]);
  });
});
