import { Tensor } from "onnxruntime-node";
import { describe, expect, it } from "vitest";
import { makePreviewStep, PREVIEW, PREVIEW_TRAINING } from "../../../fixtures/tensor-optimizers.ts";
import {
  attribute,
  checkModel,
  DataType,
  decodeModel,
  encodeModel,
  findOptimizers,
  formatType,
  Graph,
  GraphFunction,
  GraphTensor,
  Node,
  printModel,
  Value,
} from "../../../src/entries/graph.ts";
import { insertAgr, Model, stripAgr } from "../../../src/index.ts";
import { agrReference, worstDifference } from "../../support/agr-reference.ts";
import { openSession } from "../../support/ort.ts";
import { valuesOf } from "../../support/tensor-values.ts";

const OPERATORS = ["Adam", "Adagrad", "Momentum"] as const;
type Operator = (typeof OPERATORS)[number];

/** The same step as the algorithm of a training_info, its state initializers of the main graph. */
function asTrainingInfo(opType: Operator): Model {
  const { graph } = makePreviewStep(opType);
  const [node] = graph.nodes;
  if (node === undefined) throw new Error("no node");
  const main = new Graph("inference");
  const made = new Model(10, main);
  for (const [domain, version] of makePreviewStep(opType).opsets) made.opsets.set(domain, version);
  for (const input of graph.inputs.filter(({ name }) => /^[xvh]\./.test(name))) {
    const shape = input.type?.kind === "tensor" ? (input.type.shape ?? []).map(Number) : [];
    input.tensor = GraphTensor.from(
      DataType.float,
      shape,
      new Float32Array(shape.reduce((size, dim) => size * dim, 1)),
    );
    main.initializers.push(input);
  }
  const rest = graph.inputs.filter(({ tensor }) => tensor === null);
  graph.inputs.splice(0, graph.inputs.length, ...rest);
  const updateBinding = graph.outputs.map(({ name }) => [name.slice("new_".length), name] as const);
  made.trainingInfo.push({ initialization: null, algorithm: graph, initializationBinding: [], updateBinding });
  return made;
}

/** The operator's specification (ORT-TRAINING 3.7) in standard operators, as a function of the model: ONNX Runtime has no kernel. */
function specification(opType: Operator): GraphFunction {
  const { slots } = PREVIEW[opType];
  const definition = new GraphFunction(opType, PREVIEW_TRAINING);
  definition.opsets.set("", 17);
  const { body } = definition;
  const input = (name: string): Value => {
    const value = new Value(name);
    body.inputs.push(value);
    return value;
  };
  const op = (type: string, ...inputs: Value[]): Value => {
    const output = new Value(`t${body.nodeCount}`);
    body.append(
      new Node(type, inputs, [output], type === "Cast" ? { attributes: [attribute.int("to", DataType.float)] } : {}),
    );
    return output;
  };
  const number = (value: number): Value => {
    const output = new Value(`t${body.nodeCount}`);
    body.append(new Node("Constant", [], [output], { attributes: [attribute.float("value_float", value)] }));
    return output;
  };
  const [R, T] = [input("R"), input("T")];
  const groups = Object.fromEntries(
    ["x", "g", ...slots].map((group) => [group, [input(`${group}0`), input(`${group}1`)]]),
  ) as Record<string, Value[]>;
  const step = op("Cast", T);
  const scaled = (a: number, b: Value): Value => op("Mul", number(a), b);
  const results: Record<string, Value[]> = {};
  const push = (group: string, value: Value): void => {
    results[group] = [...(results[group] ?? []), value];
  };
  for (const index of [0, 1]) {
    const at = (group: string): Value => groups[group]?.[index] ?? R;
    const [x, g] = [at("x"), at("g")];
    if (opType === "Adam") {
      const gr = op("Add", scaled(0.01, x), g);
      const v = op("Add", scaled(0.9, at("v")), scaled(0.1, gr));
      const h = op("Add", scaled(0.99, at("h")), scaled(0.01, op("Mul", gr, gr)));
      const correction = op(
        "Div",
        op("Sqrt", op("Sub", number(1), op("Pow", number(0.99), step))),
        op("Sub", number(1), op("Pow", number(0.9), step)),
      );
      push(
        "x",
        op("Sub", x, op("Div", op("Mul", op("Mul", R, correction), v), op("Add", op("Sqrt", h), number(1e-3)))),
      );
      push("v", v);
      push("h", h);
    } else if (opType === "Adagrad") {
      const rate = op("Div", R, op("Add", number(1), scaled(0.1, step)));
      const h = op("Add", at("h"), op("Mul", g, g));
      push("x", op("Sub", x, op("Div", op("Mul", rate, g), op("Add", op("Sqrt", h), number(1e-3)))));
      push("h", h);
    } else {
      const gr = op("Add", scaled(0.01, x), g);
      const v = op("Add", scaled(0.8, at("v")), scaled(0.7, gr));
      push("x", op("Sub", x, op("Mul", R, op("Add", gr, scaled(0.8, v)))));
      push("v", v);
    }
  }
  for (const group of ["x", ...slots]) for (const value of results[group] ?? []) body.addOutput(value);
  return definition;
}

const INPUTS = {
  x: [
    [0.5, -1, 2, 0.25, -0.125, 3],
    [1, 2, -3, 4],
  ],
  g: [
    [0.1, -0.2, 0.3, 0.05, -1, 2],
    [1, -2, 3, -4],
  ],
  v: [
    [0.01, 0.02, -0.03, 0.04, 0.05, -0.06],
    [0.1, -0.2, 0.3, 0.4],
  ],
  h: [
    [0.01, 0.02, 0.03, 0.04, 0.05, 0.06],
    [0.1, 0.2, 0.3, 0.4],
  ],
};
const RATE = 0.1;
const STEP = 3;

/** The specification in float64, on regularized gradients. */
function expected(opType: Operator, gradients: readonly (readonly number[])[]): Record<string, number[]> {
  const results: Record<string, number[]> = {};
  for (const [index, part] of ["a", "b"].entries()) {
    const at = (group: keyof typeof INPUTS): number[] => INPUTS[group][index] ?? [];
    const g = gradients[index] ?? [];
    const state = at("x").map((x, i) => {
      const [gradient, v0, h0] = [g[i] ?? 0, at("v")[i] ?? 0, at("h")[i] ?? 0];
      const decayed = 0.01 * x + gradient;
      if (opType === "Adam") {
        const v = 0.9 * v0 + 0.1 * decayed;
        const h = 0.99 * h0 + 0.01 * decayed ** 2;
        const rate = (RATE * Math.sqrt(1 - 0.99 ** STEP)) / (1 - 0.9 ** STEP);
        return { x: x - (rate * v) / (Math.sqrt(h) + 1e-3), v, h };
      }
      if (opType === "Adagrad") {
        const h = h0 + gradient ** 2;
        return { x: x - ((RATE / (1 + 0.1 * STEP)) * gradient) / (Math.sqrt(h) + 1e-3), v: 0, h };
      }
      const v = 0.8 * v0 + 0.7 * decayed;
      return { x: x - RATE * (decayed + 0.8 * v), v, h: 0 };
    });
    for (const group of ["x", ...PREVIEW[opType].slots] as const)
      results[`new_${group}.${part}`] = state.map((each) => each[group]);
  }
  return results;
}

async function runStep(model: Model, opType: Operator): Promise<Record<string, number[]>> {
  model.functions.push(specification(opType));
  const session = await openSession(encodeModel(model));
  const tensors = (["x", "g", ...PREVIEW[opType].slots] as const).flatMap((group) =>
    ["a", "b"].map((part, index): [string, Tensor] => [
      `${group}.${part}`,
      new Tensor("float32", Float32Array.from(INPUTS[group][index] ?? []), index === 0 ? [2, 3] : [4]),
    ]),
  );
  const feeds = {
    R: new Tensor("float32", [RATE], []),
    T: new Tensor("int64", [BigInt(STEP)], []),
    ...Object.fromEntries(tensors),
  };
  const results = await session.run(feeds);
  await session.release();
  return Object.fromEntries(Object.entries(results).map(([name, value]) => [name, valuesOf(value)]));
}

const GRADIENTS = [
  { shape: [2, 3], values: INPUTS.g[0] ?? [] },
  { shape: [4], values: INPUTS.g[1] ?? [] },
];

describe.each(OPERATORS)("ai.onnx.preview.training %s", (opType) => {
  it("in a main graph: the new state is the specification's, applied to g'", async () => {
    const plain = await runStep(makePreviewStep(opType), opType);
    for (const [name, values] of Object.entries(expected(opType, INPUTS.g)))
      expect(worstDifference(plain[name] ?? [], values, [4])).toBeLessThan(1e-6);
    const model = makePreviewStep(opType);
    insertAgr(model, { scope: "global" });
    const regularized = await runStep(model, opType);
    const reference = expected(opType, agrReference(GRADIENTS, { scope: "global" }));
    for (const [name, values] of Object.entries(reference))
      expect(worstDifference(regularized[name] ?? [], values, [4])).toBeLessThan(1e-6);
  });

  it("in training_info: only the gradient inputs change, bindings stay, strip restores the bytes", () => {
    const original = encodeModel(asTrainingInfo(opType));
    const model = decodeModel(original);
    checkModel(model);
    const {
      trainingInfo: [info],
    } = model;
    const before = info?.algorithm?.nodes[0]?.inputs.map((value) => value?.name ?? "");
    const report = insertAgr(model);
    expect(report.reached).toEqual(["x.a", "x.b"]);
    const inserted = encodeModel(model);
    const again = decodeModel(inserted);
    checkModel(again);
    const step = again.trainingInfo[0]?.algorithm?.nodes.find((node) => node.opType === opType);
    const after = step?.inputs.map((value) => value?.name ?? "");
    expect(after?.map((name, index) => (name === before?.[index] ? name : "changed"))).toEqual(
      before?.map((name) => (name.startsWith("g.") ? "changed" : name)),
    );
    expect(again.trainingInfo[0]?.updateBinding).toEqual(info?.updateBinding);
    expect(insertAgr(again).changed).toBe(0);
    expect(encodeModel(again)).toEqual(inserted);
    stripAgr(again);
    expect(encodeModel(again)).toEqual(original);
  });

  it("in training_info: the new state is the specification's, applied to g'", async () => {
    const model = decodeModel(encodeModel(asTrainingInfo(opType)));
    insertAgr(model, { scope: "tensor" });
    const algorithm = model.trainingInfo[0]?.algorithm;
    if (!algorithm) throw new Error("no algorithm");
    const step = new Model(10, algorithm);
    for (const [domain, version] of model.opsets) step.opsets.set(domain, version);
    step.functions.push(...model.functions);
    algorithm.inputs.push(...model.graph.initializers);
    const renewed = await runStep(step, opType);
    const reference = expected(opType, agrReference(GRADIENTS));
    for (const [name, values] of Object.entries(reference)) {
      expect(worstDifference(renewed[name] ?? [], values, [4])).toBeLessThan(1e-6);
    }
  });

  it("golden text", async () => {
    const model = makePreviewStep(opType);
    const before = printModel(model);
    insertAgr(model);
    await expect(`${before}@@@\n${printModel(model)}`).toMatchFileSnapshot(
      `../../../fixtures/passes/insert-agr/onnx-training-${opType.toLowerCase()}.txt`,
    );
  });
});

describe("an operator with a number of inputs that cannot be", () => {
  it("is refused by name", () => {
    const model = makePreviewStep("Adam");
    const [node] = model.graph.nodes;
    if (node === undefined) throw new Error("no node");
    const odd = new Node("Adam", node.inputs.slice(0, 5), [new Value("odd")], {
      domain: PREVIEW_TRAINING,
      name: "odd",
    });
    model.graph.append(odd);
    expect(findOptimizers(model).refusals).toMatchObject([
      { at: 'node "odd" (ai.onnx.preview.training.Adam)', reason: expect.stringContaining("5 inputs") },
    ]);
  });
});

describe("gradients whose type no shape inference tells", () => {
  it("get their element type declared, as ONNX's full checker wants of a function's inputs, until strip", () => {
    const model = makePreviewStep("Adam");
    const edges = findOptimizers(model).sites.flatMap((site) => site.edges);
    const [gradient] = edges.map(({ value }) => value);
    if (gradient === undefined) throw new Error("no gradient");
    const made = new Value("made");
    const node = new Node("Gradient", [...model.graph.inputs.slice(0, 1)], [made], { domain: PREVIEW_TRAINING });
    for (const { user, index } of [...gradient.uses]) if (user instanceof Node) user.setInput(index, made);
    model.graph.insertBefore(model.graph.nodes[0] ?? node, node);
    const original = encodeModel(model);
    insertAgr(model);
    const inserted = decodeModel(encodeModel(model));
    expect(inserted.graph.valueInfo.map(({ value }) => [value.name, formatType(value.type)])).toEqual([
      ["made", "float"],
    ]);
    stripAgr(inserted);
    expect(encodeModel(inserted)).toEqual(original);
  });
});
