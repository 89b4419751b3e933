import { describe, expect, it } from "vitest";
import { makePlainStep } from "../../fixtures/plain-steps.ts";
import { float, model as modelOf, Sketch } from "../../fixtures/sketch.ts";
import { makeCorpusStep } from "../../fixtures/step-corpus/index.ts";
import { attribute, DataType, GraphTensor, Node, Value } from "../../src/entries/graph.ts";
import { type InsertProvenOptions, insertProven, type Model, proveGradients } from "../../src/index.ts";
import { rejectionOf } from "../support/errors.ts";

/** Adds to the loss what no gradient of the step has, through some nodes; the output is then `total_loss`. */
function addToLoss(model: Model, make: (predicted: Value, weight: Value, emit: Emit) => Value): Model {
  const { graph } = model;
  const emit: Emit = (type, inputs, attributes = []) => {
    const value = new Value(`added/${graph.nodeCount}`);
    graph.append(new Node(type, inputs, [value], { name: value.name, attributes }));
    return value;
  };
  const weight = graph.inputs.find(({ name }) => name === "weight");
  const difference = graph.nodes.find(
    (node) => node.opType === "Sub" && node.inputs.some((input) => input?.name === "y"),
  );
  const [predicted] = difference?.inputs ?? [];
  const at = graph.outputs.findIndex(({ name }) => name === "loss");
  const loss = graph.outputs[at];
  if (!weight || !predicted || !loss) throw new Error("no such step");
  const flat = emit("ReduceMean", [make(predicted, weight, emit)], [attribute.int("keepdims", 0)]);
  const total = emit("Add", [loss, flat]);
  total.name = "total_loss";
  total.type = loss.type;
  graph.setOutput(at, total);
  return model;
}

type Emit = (type: string, inputs: readonly Value[], attributes?: readonly ReturnType<typeof attribute.int>[]) => Value;

const plain = (): Model => makeCorpusStep({ optimizer: "adamw", variant: "plain" });
/** A term through which the person who wrote the step let no gradient pass. */
const stopped = (): Model =>
  addToLoss(plain(), (_, weight, emit) => emit("Mul", [weight, emit("Mul", [weight, weight])]));

describe("row 106: what is no derivative of the loss", () => {
  it("is refused with the numbers and the flag, where the loss stops gradients", async () => {
    const error = await rejectionOf(insertProven(stopped()));
    expect([error.code, error.exitCode, error.field]).toEqual(["E_NOT_GRADIENT", 4, "weight"]);
    expect(error.message).toMatch(
      /parameter "weight": its gradient is not the derivative of "total_loss".* cosine -?0\.\d{3}/,
    );
    expect(error.message).not.toContain('"bias"');
    expect(error.hint).toMatch(/--gradient \S+=weight.*--allow-partial/);
  });

  it("stays without AGR with allowPartial, the others get it", async () => {
    const { report } = await insertProven(stopped(), { allowPartial: true });
    expect(report.reached).toEqual(["bias"]);
    expect(report.proof?.unproven).toMatchObject([{ parameter: "weight" }]);
  });

  it("E_PARTIAL: without the proof a parameter that the rules refuse is an error too", async () => {
    const step = (): Model => makePlainStep({ update: "sgd", matrix: true });
    const error = await rejectionOf(insertProven(step(), { proof: false }));
    expect([error.code, error.exitCode, error.field]).toEqual(["E_PARTIAL", 4, "weight"]);
    const { report } = await insertProven(step(), { proof: false, allowPartial: true });
    expect(report.reached).toEqual(["bias"]);
  });
});

describe("the derivative", () => {
  it("is by reverse mode, checked by a central difference", async () => {
    const proof = await proveGradients(plain());
    expect(proof).toMatchObject({ precision: "float64", method: "gradients", isCrossChecked: true, reason: null });
  });

  it("is by central differences where an operator has no gradient rule", async () => {
    const proof = await proveGradients(makeCorpusStep({ optimizer: "adamw", variant: "no gradient rule" }));
    expect(proof).toMatchObject({ method: "differences", isCrossChecked: false, unproven: [] });
    expect(proof?.reason).toContain("ExpandDims");
  });

  it("is by central differences where these say that reverse mode is wrong", async () => {
    const step = addToLoss(plain(), (predicted, _, emit) => {
      const scale = emit("Constant", [], [attribute.tensor("value", GraphTensor.scalar(DataType.float, 1e9))] as never);
      return emit("Div", [emit("Floor", [emit("Mul", [predicted, scale])]), scale]);
    });
    const proof = await proveGradients(step);
    expect(proof?.reason).toMatch(/the derivative of "total_loss" by reverse mode is .* has the slope/);
    expect(proof?.method).toBe("differences");
    expect(proof?.unproven.map(({ parameter }) => parameter)).toEqual(["weight", "bias"]);
  });
});

describe("losses of several parts", () => {
  it("are proven part by part: a GAN", async () => {
    const proof = await proveGradients(makeGan());
    expect(proof?.unproven).toEqual([]);
    expect(proof?.parameters.map(({ parameter, gradient, loss }) => [parameter, gradient, loss])).toEqual([
      ["critic", "critic_gradient", "critic_loss"],
      ["generator", "generator_gradient", "generator_loss"],
    ]);
  });
});

describe("E_GRADIENT: a tensor that is named and lies behind the update", () => {
  it("is refused, also where the output is a copy of it", async () => {
    for (const named of [
      "weight_out",
      plain().graph.outputs.find(({ name }) => name === "weight_out")?.producer?.inputs[0]?.name,
    ])
      expect(await rejectionOf(insertProven(plain(), { gradient: [`${named}=weight`] }))).toMatchObject({
        code: "E_GRADIENT",
        message: `"${named}" cannot be the gradient of "weight": it is what the update makes of the parameter`,
      });
  });
});

describe("transforms of the gradient", () => {
  it.each([
    ["clipped by value", ["clipping"]],
    ["clipped by norm", []],
    ["centralized", ["centralization"]],
    ["update inside an If", []],
    ["skipped where not finite", []],
  ] as const)("%s: %j is named, and no copy", async (variant, named) => {
    const proof = await proveGradients(makeCorpusStep({ optimizer: "momentum", variant }));
    expect(proof?.parameters.find(({ parameter }) => parameter === "weight")?.transforms).toEqual(named);
  });
});

describe("several layers in one parameter", () => {
  it("are said, with the scope that takes one sum for each", async () => {
    const step = (): Model => makeCorpusStep({ optimizer: "adamw", variant: "stacked layers" });
    const note = /^"layers" holds 2 layers: AGR takes one sum over all of them; .*--scope channel$/;
    const notes = async (options: InsertProvenOptions): Promise<readonly string[]> =>
      (await insertProven(step(), options)).report.notes.filter((each) => note.test(each));
    expect(await notes({})).toHaveLength(1);
    expect(await notes({ scope: "channel" })).toHaveLength(0);
    expect((await proveGradients(plain()))?.parameters.map(({ layers }) => layers)).toEqual([null, null]);
  });
});

describe("row 107: state that is no parameter", () => {
  it.each([
    ["mean teacher", ["teacher.weight", "teacher.bias"]],
    ["running statistics", ["running_mean"]],
  ] as const)("%s is listed and left alone", async (variant, states) => {
    const { report } = await insertProven(makeCorpusStep({ optimizer: "adamw", variant }));
    expect(report.reached).toEqual(["weight", "bias"]);
    expect(report.proof?.otherState.map(({ state }) => state)).toEqual(states);
    expect(report.notes).toContain(`state that is no parameter, left alone: ${states.join(", ")}`);
  });

  it("is said with what its renewal lacks, where that alone tells it from a parameter", async () => {
    const { report } = await insertProven(makeCorpusStep({ optimizer: "sgd", variant: "running statistics" }));
    expect(report.notes.at(-1)).toMatch(
      /^"running_mean" has no AGR: it is renewed without "y".*If it is a parameter, name its gradient: --gradient <tensor>=running_mean$/,
    );
  });
});

/** A linear generator and a linear critic, each trained by its own loss in one step. */
function makeGan(): Model {
  const sketch = new Sketch("gan");
  for (const [name, shape] of Object.entries({ critic: [3, 1], generator: [2, 3], lr: [], x: [4, 3], z: [4, 2] }))
    sketch.input(name, float(shape));
  sketch.initializer("one", GraphTensor.scalar(DataType.float, 1));
  let count = 0;
  const op = (type: string, ...inputs: string[]): string => {
    const output = `v${count++}`;
    sketch.node(type, inputs, [output]);
    return output;
  };
  const made = op("MatMul", "z", "generator");
  const [real, fake] = [op("MatMul", "x", "critic"), op("MatMul", made, "critic")];
  const [realError, fakeError] = [op("Sub", real, "one"), op("Sub", fake, "one")];
  const mean = (value: string, output: string): void =>
    sketch.node("ReduceMean", [value], [output], [attribute.int("keepdims", 0)]);
  mean(op("Add", op("Mul", realError, realError), op("Mul", fake, fake)), "critic_loss");
  mean(op("Mul", fakeError, fakeError), "generator_loss");
  sketch.node(
    "Add",
    [op("MatMul", op("Transpose", "x"), realError), op("MatMul", op("Transpose", made), fake)],
    ["critic_gradient"],
  );
  sketch.node(
    "MatMul",
    [op("Transpose", "z"), op("MatMul", fakeError, op("Transpose", "critic"))],
    ["generator_gradient"],
  );
  for (const name of ["critic_loss", "generator_loss"]) sketch.output(name, float([]));
  for (const [name, shape] of Object.entries({ critic: [3, 1], generator: [2, 3] })) {
    sketch.node("Sub", [name, op("Mul", "lr", `${name}_gradient`)], [`${name}_out`]);
    sketch.output(`${name}_out`, float(shape));
  }
  return modelOf(sketch.graph, 10, [["", 17]]);
}
