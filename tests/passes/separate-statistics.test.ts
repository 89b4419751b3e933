import { describe, expect, it } from "vitest";
import { float, model, Sketch } from "../../fixtures/sketch.ts";
import { attribute, GraphTensor } from "../../src/entries/graph.ts";
import { buildTrainingArtifacts, type Model, Tensor, TrainingSession } from "../../src/index.ts";

const wave = (size: number): number[] => Array.from({ length: size }, (_, at) => Math.sin(at + 1));

/** Two convolutions, each with a BatchNormalization, as they begin. @param merged as a tool leaves it that removes duplicates */
function fresh(merged: boolean): Model {
  const sketch = new Sketch("net");
  sketch.input("x", float(["batch", 2, 4, 4]));
  let from = "x";
  for (const layer of [1, 2]) {
    const name = (of: string, twin: string): string => (merged ? twin : `${of}${layer}`);
    sketch.initializer(`w${layer}`, GraphTensor.floats([2, 2, 3, 3], wave(36)));
    const inputs = [`scale${layer}`, `bias${layer}`, name("mean", `bias${layer}`), name("var", `scale${layer}`)];
    for (const tensor of new Set(inputs)) {
      sketch.initializer(tensor, GraphTensor.floats([2], /scale|var/.test(tensor) ? [1, 1] : [0, 0]));
    }
    sketch.node("Conv", [from, `w${layer}`], [`conv${layer}`], [attribute.ints("pads", [1, 1, 1, 1])]);
    sketch.node("BatchNormalization", [`conv${layer}`, ...inputs], [`norm${layer}`]);
    from = `norm${layer}`;
  }
  sketch.node("GlobalAveragePool", [from], ["pooled"]);
  sketch.node("Flatten", ["pooled"], ["y"]);
  sketch.output("y", float(["batch", 2]));
  return model(sketch.graph, 8, [["", 17]]);
}

async function losses(net: Model): Promise<readonly number[]> {
  const built = await buildTrainingArtifacts(net, { loss: { kind: "mse" }, optimizer: { name: "sgd" } });
  const session = await TrainingSession.create(built, { learningRate: 0.1 });
  const feeds = {
    x: new Tensor("float32", Float32Array.from(wave(96)), [3, 2, 4, 4]),
    target: new Tensor("float32", Float32Array.from(wave(6)), [3, 2]),
  };
  const all = await session.trainSteps([feeds, feeds, feeds]);
  const evaluated = await session.runEvalStep(feeds);
  await session.release();
  return [...all, Number(evaluated["loss"]?.data[0])];
}

describe("statistics that share a tensor with parameters", () => {
  it("have their own, which is said, and train as a model that nothing was merged in", async () => {
    const { report } = await buildTrainingArtifacts(fresh(true), { loss: { kind: "mse" } });
    expect(report.trainable.map(({ name }) => name)).toEqual(["w1", "scale1", "bias1", "w2", "scale2", "bias2"]);
    expect(report.notes.filter((note) => note.startsWith("running statistics"))).toEqual([
      expect.stringContaining("bias1/running_mean, scale1/running_var, bias2/running_mean, scale2/running_var"),
    ]);
    expect(await losses(fresh(true))).toEqual(await losses(fresh(false)));
  });

  it("fresh vectors that several nodes read are told", async () => {
    const net = fresh(false);
    const second = net.graph.nodes.findLast(({ opType }) => opType === "BatchNormalization");
    const scale = net.graph.initializers.find(({ name }) => name === "scale1");
    second?.setInput(1, scale ?? null);
    const { report } = await buildTrainingArtifacts(net, { loss: { kind: "mse" } });
    expect(report.notes).toContainEqual(expect.stringMatching(/^"scale1": each is read by several nodes/));
    const apart = await buildTrainingArtifacts(fresh(false), { loss: { kind: "mse" } });
    expect(apart.report.notes.join()).not.toContain("read by several nodes");
  });
});
