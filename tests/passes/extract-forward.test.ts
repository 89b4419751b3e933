import { Tensor } from "onnxruntime-node";
import { describe, expect, it } from "vitest";
import { float, model as modelOf, Sketch } from "../../fixtures/sketch.ts";
import { checkModel, decodeModel, encodeModel, extractForward, GraphTensor } from "../../src/entries/graph.ts";
import { buildTrainingArtifacts, readArtifacts, readTrainable, readWeights, TrainingSession } from "../../src/index.ts";
import { DIGITS } from "../support/cli.ts";
import { wave } from "../support/conv-net.ts";
import { errorOf } from "../support/errors.ts";
import { openSession } from "../support/ort.ts";

const image = Float32Array.from({ length: 512 }, (_, index) => Math.sin(index));

describe("an exported model", () => {
  it.each(["ort-node", "ort-training"] as const)("of %s has the trained weights and no loss", async (runtime) => {
    const session = await TrainingSession.create(await readTrainable(DIGITS), { runtime, learningRate: 0.01 });
    const feeds = {
      input: new Tensor("float32", image.slice(), [2, 1, 16, 16]),
      labels: new Tensor("int64", [3n, 7n], [2]),
    };
    await session.trainSteps([feeds, feeds]);
    const expected = (await session.runEvalStep(feeds, ["logits"]))["logits"]?.data as Float32Array;
    const bytes = await session.exportModel();
    const named = await session.exportModel(["relu2"]);
    await session.release();
    const model = decodeModel(bytes);
    checkModel(model);
    expect(model.graph.inputs.map(({ name }) => name)).toEqual(["input"]);
    expect(model.graph.outputs.map(({ name }) => name)).toEqual(["logits"]);
    const inference = await openSession(bytes);
    const actual = (await inference.run({ input: feeds.input }))["logits"]?.data as Float32Array;
    await inference.release();
    for (const [index, value] of expected.entries())
      expect(Math.abs((actual[index] ?? Number.NaN) - value)).toBeLessThan(1e-5);
    expect(decodeModel(named).graph.outputs.map(({ name }) => name)).toEqual(["relu2"]);
  });
});

describe("extractForward", () => {
  it("reports what it kept, is idempotent, and refuses what is not there", async () => {
    const { evalModel } = await readArtifacts(DIGITS);
    if (evalModel === null) throw new Error("no eval model");
    const weights = await readWeights(`${DIGITS}/checkpoint`);
    const bytes = encodeModel(evalModel);
    const report = extractForward(evalModel, { weights });
    expect([report.inputs, report.outputs]).toEqual([["input"], ["logits"]]);
    const once = encodeModel(evalModel);
    const again = decodeModel(once);
    extractForward(again, { weights, outputs: ["logits"] });
    expect(encodeModel(again)).toEqual(once);
    const unknown = errorOf(() => extractForward(decodeModel(bytes), { weights, outputs: ["nothing"] }));
    expect([unknown.code, unknown.exitCode]).toEqual(["E_OUTPUT", 2]);
  });

  it("finds the data behind weights that are turned before they meet it", async () => {
    const sketch = new Sketch("turned");
    sketch.input("x", float(["N", 4]));
    sketch.initializer("w", GraphTensor.floats([3, 4], Array.from(wave(12, 1))));
    sketch.node("Transpose", ["w"], ["turned"]);
    sketch.node("MatMul", ["x", "turned"], ["h"]);
    sketch.node("Tanh", ["h"], ["y"]);
    sketch.output("y", float(["N", 3]));
    const { portable } = await buildTrainingArtifacts(modelOf(sketch.graph, 8, [["", 17]]), { loss: { kind: "mse" } });
    const evalModel = portable?.evalModel ?? null;
    if (evalModel === null) throw new Error("not built");
    const weights = new Map([["w", GraphTensor.floats([3, 4], Array.from(wave(12, 1)))]]);
    const { inputs, outputs } = extractForward(evalModel, { weights });
    expect([inputs, outputs]).toEqual([["x"], ["y"]]);
  });

  it("refuses a graph that is only a loss", async () => {
    const { evalModel } = await readArtifacts(DIGITS);
    if (evalModel === null) throw new Error("no eval model");
    const loss = evalModel.graph.outputs[0];
    if (loss === undefined) throw new Error("no loss");
    evalModel.graph.replaceOutputs([loss]);
    evalModel.graph.inputs.splice(1, 1);
    const weights = new Map([["fc.bias", GraphTensor.floats([10], new Array<number>(10).fill(0))]]);
    expect(errorOf(() => extractForward(evalModel, { weights })).code).toBe("E_NO_FORWARD");
  });
});
