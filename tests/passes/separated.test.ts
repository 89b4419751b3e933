import { describe, expect, it } from "vitest";
import { float, model, Sketch } from "../../fixtures/sketch.ts";
import { attribute, checkModel, DataType, encodeModel, GraphTensor, printModel } from "../../src/entries/graph.ts";
import { buildTrainingArtifacts, type PortableArtifacts } from "../../src/index.ts";
import type { StepModel } from "../../src/passes/portable/step-model.ts";
import { type SeparatedUpdate, separateUpdate } from "../../src/passes/separated/separate-update.ts";
import { KERNEL_OPERATORS } from "../../src/runtime/update-kernel/operators.ts";
import { programsOf } from "../../src/session-programs.ts";
import { agr, CASES, setOf, stepOf, trained, wave } from "../support/optimizer-cases.ts";

const OPERATORS: ReadonlySet<string> = new Set(Object.keys(KERNEL_OPERATORS));

/** Wide enough for a session to have the update apart. */
const WIDTH = 1300;

function separated(step: StepModel): SeparatedUpdate {
  const made = separateUpdate(step, OPERATORS);
  if (made === null) throw new Error("nothing was separated");
  return made;
}

const renewed = ({ state }: StepModel): number => state.filter(({ next }) => next !== null).length;

/** State that is made in another way than number by number: what a step is counted by, and what it begins with. */
const LEFT: Readonly<Record<string, number>> = { "a proximal term": 7, "schedule-free AdamW": 8 };
const WHOLE = ["float16 and a scale that changes"];

const isInTwo = (set: PortableArtifacts): readonly boolean[] => {
  const { trainStep, apply } = programsOf(set, {}, { block: null, parts: 1 }).separated;
  return [trainStep !== null, apply !== null];
};

describe("the elementwise end of an update, apart", () => {
  it.each(CASES.filter(([name]) => !WHOLE.includes(name)))(
    "%s: bit for bit as in the graph",
    async (name, _, options) => {
      const set = await setOf(options, WIDTH);
      const step = stepOf(set);
      const before = renewed(step);
      const { step: rest, update } = separated(step);
      checkModel(rest.model);
      checkModel(update.model);
      expect(renewed(rest)).toBe(LEFT[name] ?? 0);
      expect(renewed(rest) + renewed(update)).toBe(before);
      expect(isInTwo(set)).toEqual([true, true]);
      expect(await trained(set, {})).toEqual(await trained(set, { stepsPerCall: 3 }));
    },
  );

  it.each(WHOLE)("%s: stays whole, since every number is chosen", async (name) => {
    const [, , options] = CASES.find(([each]) => each === name) ?? [];
    const set = await setOf(options ?? {}, WIDTH);
    expect(separateUpdate(stepOf(set), OPERATORS)).toBeNull();
    expect(isInTwo(set)).toEqual([false, false]);
  });

  it("stays in the graph of a step of few numbers, which runs several times in a call", async () => {
    expect(isInTwo(await setOf({ optimizer: { name: "adamw" }, agr }, 5))).toEqual([false, true]);
  });

  it("changes nothing the second time", async () => {
    const { step } = separated(stepOf(await setOf({ optimizer: { name: "adamw" }, agr }, WIDTH)));
    const bytes = encodeModel(step.model);
    expect(separateUpdate(step, OPERATORS)).toBeNull();
    expect(encodeModel(step.model)).toEqual(bytes);
  });

  it("takes nothing that its operators do not have: the weights of a 1x1 convolution are reshaped", async () => {
    const step = stepOf(await setOf({ optimizer: { name: "adamw" } }, WIDTH));
    const { update } = separateUpdate(step, new Set(["Sub", "Mul"])) ?? {};
    expect(new Set(update?.model.graph.nodes.map(({ opType }) => opType))).toEqual(new Set(["Sub", "Mul"]));
    expect(update?.state.map(({ kind }) => kind)).toEqual(Array(7).fill("parameter"));
  });

  it("takes the loss itself as a factor", () => {
    const sketch = new Sketch("step");
    sketch.input("g", float([4, 3]));
    sketch.input("w", float([4, 3]));
    sketch.node("ReduceMean", ["g"], ["loss"]);
    sketch.node("Mul", ["loss", "g"], ["change"]);
    sketch.node("Sub", ["w", "change"], ["w_next"]);
    sketch.output("loss", float([1, 1]));
    sketch.output("w_next", float([4, 3]));
    const none = { learningRate: null, step: null, reset: null, gradients: [] };
    const { step, update } = separated({
      ...{ ...none, model: model(sketch.graph, 8, [["", 17]]), inputs: ["g"], outputs: ["loss"] },
      state: [{ name: "w", next: "w_next", kind: "parameter" }],
    });
    checkModel(update.model);
    expect(step.model.graph.outputs.map(({ name }) => name)).toEqual(["loss", "g/given"]);
    expect(update.model.graph.inputs.map(({ name }) => name)).toEqual(["loss", "w", "g/given"]);
  });

  it("golden text", async () => {
    const sketch = new Sketch("layer");
    sketch.input("x", float([2, 3]));
    sketch.initializer("w", GraphTensor.from(DataType.float, [4, 3], wave(12, 1)));
    sketch.node("Gemm", ["x", "w", ""], ["y"], [attribute.int("transB", 1)]);
    sketch.output("y", float([2, 4]));
    const { portable } = await buildTrainingArtifacts(model(sketch.graph, 8, [["", 17]]), {
      ...{ loss: { kind: "mse" }, optimizer: { name: "sgd", momentum: 0.9, weightDecay: 0.01 }, agr: {} },
      targets: ["portable"],
    });
    if (portable === null) throw new Error("no portable set was built");
    const step = stepOf(portable);
    const before = printModel(step.model);
    const { step: rest, update } = separated(step);
    await expect(`${before}@@@\n${printModel(rest.model)}@@@\n${printModel(update.model)}`).toMatchFileSnapshot(
      "../../fixtures/passes/portable/separated-update.txt",
    );
  });
});
