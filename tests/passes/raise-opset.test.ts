import { Tensor } from "onnxruntime-node";
import { describe, expect, it } from "vitest";
import { model, Sketch, tensor } from "../../fixtures/sketch.ts";
import { GRADIENT_RULES } from "../../src/autodiff/table.ts";
import {
  attribute,
  checkModel,
  DataType,
  decodeModel,
  encodeModel,
  type Graph,
  GraphFunction,
  GraphTensor,
  Node,
  raiseOpset,
  Value,
} from "../../src/entries/graph.ts";
import type { Model } from "../../src/index.ts";
import { OPERATOR_NAMES, versionsOf } from "../../src/ops/operators/index.ts";
import { irVersionFor } from "../../src/passes/raise-opset/index.ts";
import { stepOf } from "../../src/passes/raise-opset/steps.ts";
import { errorOf } from "../support/errors.ts";
import { openSession } from "../support/ort.ts";
import { CASES, type Case, tensorOf } from "./raise-opset/cases.ts";

function modelOf({ opset, op, inputs, attributes = [], outputs = 1, gives = DataType.float }: Case): Model {
  const sketch = new Sketch("case");
  const names = inputs.map((_, index) => `x${index}`);
  for (const [index, input] of inputs.entries()) {
    const name = names[index] ?? "";
    if (input.constant === true) sketch.initializer(name, tensorOf(input));
    else sketch.input(name, tensor(input.dtype ?? DataType.float, input.declared ?? input.dims));
  }
  const made = Array.from({ length: outputs }, (_, index) => `y${index}`);
  sketch.node(op, names, op === "TopK" ? [...made, "indices"] : made, attributes);
  for (const name of made) sketch.graph.addOutput(madeBy(sketch, name));
  for (const output of sketch.graph.outputs) output.type = { kind: "tensor", dtype: gives, shape: null };
  return model(sketch.graph, Math.max(4, irVersionFor(opset)), [["", opset]]);
}

function madeBy(sketch: Sketch, name: string) {
  const value = sketch.graph.nodes.flatMap(({ outputs }) => outputs).find((each) => each?.name === name);
  if (!value) throw new Error(`no ${name}`);
  return value;
}

async function run(bytes: Uint8Array, { inputs }: Case): Promise<Record<string, number[]>> {
  const session = await openSession(bytes);
  const feeds = inputs.flatMap((input, index) =>
    input.constant === true ? [] : [[`x${index}`, feed(input)] as const],
  );
  const results = await session.run(Object.fromEntries(feeds));
  await session.release();
  return Object.fromEntries(
    Object.entries(results).map(([name, { data, dims }]) => [
      name,
      [...dims, ...Array.from(data as Float32Array, Number)],
    ]),
  );
}

function feed(input: Case["inputs"][number]): Tensor {
  const { dims, dtype } = input;
  if (dtype === DataType.bool) return new Tensor("bool", Uint8Array.from(input.values ?? []), [...dims]);
  const values = tensorOf(input).values();
  return dtype === DataType.int64
    ? new Tensor("int64", values as BigInt64Array, [...dims])
    : new Tensor("float32", values as Float32Array, [...dims]);
}

/** How far every step is tested or was compared schema by schema. */
const NEWEST_TARGET = 21;

describe("row 104: a raised model computes in ONNX Runtime what it computed before", () => {
  const targets = (opset: number): readonly number[] => [17, NEWEST_TARGET].filter((target) => target > opset);
  it.each(CASES.flatMap((each) => targets(each.opset).map((target) => [each.name, target, each] as const)))(
    "%s, raised to %d",
    async (_, target, each) => {
      const before = encodeModel(modelOf(each));
      const raised = modelOf(each);
      const report = raiseOpset(raised, target);
      expect([report.from, report.to, raised.opset]).toEqual([each.opset, target, target]);
      const bytes = encodeModel(raised);
      checkModel(decodeModel(bytes));
      const [was, is] = [await run(before, each), await run(bytes, each)];
      expect(Object.keys(is)).toEqual(Object.keys(was));
      for (const [name, values] of Object.entries(was)) {
        for (const [index, value] of values.entries()) expect(is[name]?.[index]).toBeCloseTo(value, 5);
        expect(is[name]).toHaveLength(values.length);
      }
    },
  );
});

describe("the table of steps", () => {
  const ops = [...GRADIENT_RULES.keys()].filter((op) => !op.includes("."));

  it("has a row for every version of every operator that has a gradient rule", () => {
    const missing = ops.flatMap((op) =>
      (versionsOf(op) ?? [0])
        .slice(1)
        .filter((version) => version <= NEWEST_TARGET && stepOf(op, version) === undefined)
        .map((version) => `${op} ${version}`),
    );
    expect(missing).toEqual([]);
    expect(ops.filter((op) => versionsOf(op) === undefined)).toEqual(["SimplifiedLayerNormalization"]);
  });

  it("has rows for versions that exist alone", () => {
    const wrong = OPERATOR_NAMES.flatMap((op) =>
      Array.from({ length: NEWEST_TARGET + 1 }, (_, opset) => opset).filter(
        (opset) => stepOf(op, opset) !== undefined && !versionsOf(op)?.includes(opset),
      ),
    );
    expect(wrong).toEqual([]);
  });
});

describe("what cannot be raised is refused by name", () => {
  const node = (opset: number, op: string, more: Partial<Case> = {}): Model =>
    modelOf({ name: op, opset, op, inputs: [{ dims: [2, 3, 2, 2] }], ...more });
  it.each([
    [
      "an operator that means something else later",
      node(10, "Resize", { inputs: [{ dims: [1, 1, 4, 4] }, { dims: [4] }] }),
      /its scales are computed/,
    ],
    [
      "statistics per element",
      node(7, "BatchNormalization", { attributes: [attribute.int("spatial", 0)] }),
      /spatial = 0/,
    ],
    ["training mode told by outputs", node(9, "BatchNormalization", { outputs: 3 }), /training mode/],
    ["an operator newer than the model", node(12, "HardSwish"), /came with opset 14, which is newer than the model/],
    ["an operator that is none", node(12, "NoSuchOperator"), /no operator of ONNX/],
  ] as const)("%s", (_, model, message) => {
    const error = errorOf(() => raiseOpset(model, 17));
    expect(error).toMatchObject({ code: "E_NO_UPGRADE", exitCode: 4, message: expect.stringMatching(message) });
  });

  it("and the model is unchanged, whatever came before the node that is refused", () => {
    const model = node(7, "BatchNormalization", { attributes: [attribute.int("spatial", 0)] });
    const [first] = model.graph.nodes;
    if (first === undefined) throw new Error("no node");
    const scales = [attribute.floats("scales", [1, 1, 2, 2])];
    const upsample = new Node("Upsample", [model.graph.inputs[0] ?? null], [new Value("large")], {
      attributes: scales,
    });
    model.graph.insertBefore(first, [upsample]);
    const before = encodeModel(model);
    const upsampled = modelOf({
      name: "Upsample",
      opset: 7,
      op: "Upsample",
      inputs: [{ dims: [1, 1, 2, 2] }],
      attributes: scales,
    });
    expect(raiseOpset(upsampled, 9).converted).toEqual({ "Upsample, 9": 1 });
    expect(errorOf(() => raiseOpset(model, 9)).code).toBe("E_NO_UPGRADE");
    expect(encodeModel(model)).toEqual(before);
    expect([model.opset, upsample.inputs.length]).toEqual([7, 1]);
  });

  it("what is new in an opset that the table does not know", () => {
    expect(errorOf(() => raiseOpset(node(17, "Mod"), 28)).message).toMatch(/how it is written there is not known/);
  });
});

describe("a raised model", () => {
  it("is left as it is where it has the opset", () => {
    const model = modelOf({ name: "", opset: 17, op: "Softmax", inputs: [{ dims: [2, 3, 4] }] });
    const before = encodeModel(model);
    expect(raiseOpset(model, 13)).toMatchObject({ changed: 0, from: 17, to: 17, notes: [] });
    expect(encodeModel(model)).toEqual(before);
  });

  it("has its functions and the graphs in its nodes raised too, each from its own opset", async () => {
    const body = new Sketch("body");
    body.input("x", tensor(DataType.float, [2, 3, 2]));
    body.node("Softmax", ["x"], ["y"]);
    const result = madeBy(body, "y");
    const called = new GraphFunction("OldSoftmax", "local", "");
    called.body.inputs.push(...body.graph.inputs);
    called.body.append(...body.graph.nodes);
    called.body.addOutput(result);
    called.opsets.set("", 12);
    const branch = (op: string): Graph => {
      const sketch = new Sketch(op);
      sketch.outer(main, "made");
      sketch.node(op, ["made"], [`${op}_out`], [attribute.int("axis", 1)]);
      sketch.output(`${op}_out`, tensor(DataType.float, []));
      const [output] = sketch.graph.outputs;
      if (output !== undefined) output.type = { kind: "tensor", dtype: DataType.float, shape: null };
      return sketch.graph;
    };
    const main = new Sketch("main");
    main.input("x", tensor(DataType.float, [2, 3, 2]));
    main.input("yes", tensor(DataType.bool, []));
    main.node("OldSoftmax", ["x"], ["made"], [], "local");
    main.node(
      "If",
      ["yes"],
      ["z"],
      [attribute.graph("then_branch", branch("Softmax")), attribute.graph("else_branch", branch("LogSoftmax"))],
    );
    main.output("z", tensor(DataType.float, []));
    madeBy(main, "z").type = { kind: "tensor", dtype: DataType.float, shape: null };
    const made = model(main.graph, 8, [
      ["", 9],
      ["local", 1],
    ]);
    made.functions.push(called);
    const results = async (bytes: Uint8Array): Promise<number[][]> => {
      const session = await openSession(bytes);
      const x = feed({ dims: [2, 3, 2] });
      const all = [];
      for (const yes of [0, 1]) {
        const results = await session.run({ x, yes: new Tensor("bool", Uint8Array.of(yes), []) });
        const z = results["z"] as Tensor;
        all.push([...z.dims, ...(z.data as Float32Array)]);
      }
      await session.release();
      return all;
    };
    const before = await results(encodeModel(made));
    raiseOpset(made, 17);
    expect(called.opsets.get("")).toBe(17);
    expect(await results(encodeModel(made))).toEqual(before);
  });

  it("of IR 3 no longer lists its initializers as inputs", () => {
    const old = modelOf({ name: "", opset: 8, op: "Clip", inputs: [{ dims: [2] }] });
    const held = new Value("w", tensor(DataType.float, [1]));
    held.tensor = GraphTensor.floats([1], [2]);
    old.graph.inputs.push(held);
    old.graph.initializers.push(held);
    old.irVersion = 3;
    const { notes } = raiseOpset(old, 17);
    expect(old.graph.inputs.map(({ name }) => name)).toEqual(["x0"]);
    expect(old.irVersion).toBe(8);
    expect(notes.join()).toMatch(/1 initializers that IR 3 also lists as inputs/);
  });
});
