import { describe, expect, it } from "vitest";
import { float, model, Sketch } from "../../fixtures/sketch.ts";
import { attribute, checkModel, DataType, encodeModel, GraphTensor, printModel } from "../../src/entries/graph.ts";
import { loadOrtNode } from "../../src/entries/run.ts";
import { buildTrainingArtifacts } from "../../src/index.ts";
import { joinUpdates } from "../../src/passes/joined/join-updates.ts";
import type { StepModel } from "../../src/passes/portable/step-model.ts";
import { agr, CASES, setOf, stepOf, trained, wave } from "../support/optimizer-cases.ts";

const nodesRun = ({ model: { graph } }: StepModel): number =>
  graph.nodes.filter(({ opType }) => opType !== "Constant").length;

/** Cases that have numbers of each parameter's own. */
const LONGER = [
  ...["AdamW with AGR", "cautious AdamW", "groups", "normalized gradients", "SGD with AGR", "SGD with momentum"],
  ...["Adan", "LAMB", "Muon", "schedule-free AdamW", "float16 and a scale that changes"],
];

describe("updates of small parameters as one", () => {
  /** Tensors of 66 numbers on average, and of 800: their numbers per parameter are spread over the elements, or a node each. */
  for (const [width, cases] of [
    [5, CASES],
    [110, CASES.filter(([name]) => LONGER.includes(name))],
  ] as const) {
    it.each(cases)(`%s, ${width} wide: bit for bit as one by one`, async (_, joined, options) => {
      const set = await setOf(options, width);
      const step = stepOf(set);
      const before = nodesRun(step);
      const made = joinUpdates(step);
      checkModel(made.step.model);
      expect(made.parameters).toBe(joined);
      if (joined > 0) expect(nodesRun(made.step)).toBeLessThan(before);
      expect(await trained(set, { stepsPerCall: 3 })).toEqual(await trained(set, { stepsPerCall: 1 }));
    });
  }

  it("are the same through the binding", async () => {
    const set = await setOf({ optimizer: { name: "adamw" }, agr }, 5);
    const ort = await loadOrtNode();
    expect(await trained(set, { stepsPerCall: 3, ort })).toEqual(await trained(set, { stepsPerCall: 1 }));
  });

  it("leave alone what is large, and have the state apart again at the border", async () => {
    const step = stepOf(await setOf({ optimizer: { name: "adamw" }, agr }, 400));
    const { inputs, outputs } = step.model.graph;
    const [taken, given] = [inputs, outputs].map((values) => values.map(({ name }) => name).toSorted());
    const { step: joined, parameters, separate } = joinUpdates(step);
    expect(parameters).toBe(7);
    expect(joined.state.filter(({ kind }) => kind === "parameter").map(({ name }) => name)).toEqual(["third.w"]);
    expect(joined.state).toHaveLength(6);
    const apart = separate(joined);
    checkModel(apart.model);
    expect(apart.state).toEqual(step.state);
    expect(apart.model.graph.inputs.map(({ name }) => name).toSorted()).toEqual(taken);
    expect(apart.model.graph.outputs.map(({ name }) => name).toSorted()).toEqual(given);
  });

  it("change nothing the second time", async () => {
    const { step } = joinUpdates(stepOf(await setOf({ optimizer: { name: "adamw" }, agr }, 5)));
    const bytes = encodeModel(step.model);
    const again = joinUpdates(step);
    expect(again.parameters).toBe(0);
    expect(encodeModel(again.step.model)).toEqual(bytes);
  });

  it("are eighty nodes fewer where eight tensors of AdamW are joined", async () => {
    const step = stepOf(await setOf({ optimizer: { name: "adamw" } }, 5));
    const before = nodesRun(step);
    expect(nodesRun(joinUpdates(step).step)).toBeLessThan(before - 80);
  });

  it("golden text", async () => {
    const sketch = new Sketch("layer");
    sketch.input("x", float([2, 3]));
    sketch.initializer("w", GraphTensor.from(DataType.float, [4, 3], wave(12, 1)));
    sketch.initializer("b", GraphTensor.from(DataType.float, [4], wave(4, 2)));
    sketch.node("Gemm", ["x", "w", "b"], ["y"], [attribute.int("transB", 1)]);
    sketch.output("y", float([2, 4]));
    const { portable } = await buildTrainingArtifacts(model(sketch.graph, 8, [["", 17]]), {
      ...{ loss: { kind: "mse" }, optimizer: { name: "sgd", momentum: 0.9, weightDecay: 0.01 }, agr: {} },
      ...{ parameterGroups: [{ parameters: ["b"], learningRateScale: 2 }], targets: ["portable"] },
    });
    if (portable === null) throw new Error("no portable set was built");
    const step = stepOf(portable);
    const before = printModel(step.model);
    const { step: joined, separate } = joinUpdates(step);
    const after = printModel(joined.model);
    const apart = printModel(separate(joined).model);
    await expect(`${before}@@@\n${after}@@@\n${apart}`).toMatchFileSnapshot(
      "../../fixtures/passes/portable/joined-updates.txt",
    );
  });
});
