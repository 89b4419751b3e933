import { describe, expect, it } from "vitest";
import { makeOrtStep, type OrtTensorOperator } from "../../../fixtures/tensor-optimizers.ts";
import {
  attribute,
  checkModel,
  DataType,
  decodeModel,
  encodeModel,
  findOptimizers,
  Graph,
  Node,
  printModel,
  Value,
} from "../../../src/entries/graph.ts";
import { insertAgr, type Model, stripAgr, verifyInsertion } from "../../../src/index.ts";
import { errorOf } from "../../support/errors.ts";

const OPERATORS: readonly OrtTensorOperator[] = ["AdamOptimizer", "AdamWOptimizer", "SGDOptimizer", "LambOptimizer"];

describe.each(OPERATORS)("com.microsoft %s over tensors", (opType) => {
  it("is found once per parameter, each with its gradient", () => {
    const { sites, refusals } = findOptimizers(makeOrtStep(opType));
    expect(refusals).toEqual([]);
    expect(sites.map(({ dialect, optimizer }) => [dialect, optimizer])).toEqual([
      ["ort-tensor", `com.microsoft.${opType}`],
      ["ort-tensor", `com.microsoft.${opType}`],
    ]);
    expect(sites.flatMap(({ edges }) => edges.map(({ value, parameter }) => [value.name, parameter]))).toEqual([
      ["a.g", { name: "a.w", shape: [2, 3] }],
      ["b.g", { name: "b.w", shape: [4] }],
    ]);
  });

  it("gets AGR on every gradient, idempotently; norm and finiteness read what they read; strip restores the bytes", () => {
    for (const options of [
      {},
      { form: "inline" },
      { scope: "channel" },
      { scope: "global", strength: 0.5 },
      { include: ["a.*"] },
    ] as const) {
      const original = encodeModel(makeOrtStep(opType));
      const model = decodeModel(original);
      const report = insertAgr(model, options);
      const skipsB = "include" in options || ("scope" in options && options.scope === "channel");
      expect(report.reached).toEqual(skipsB ? ["a.w"] : ["a.w", "b.w"]);
      const inserted = encodeModel(model);
      const again = decodeModel(inserted);
      checkModel(again);
      for (const reader of ["ReduceAllL2", "IsAllFinite"]) {
        expect(again.graph.nodes.find((node) => node.opType === reader)?.inputs.map((value) => value?.name)).toEqual([
          "a.g",
          "b.g",
        ]);
      }
      expect(insertAgr(again, options).changed).toBe(0);
      expect(encodeModel(again)).toEqual(inserted);
      stripAgr(again);
      expect(encodeModel(again)).toEqual(original);
    }
  });
});

describe("gradients in float16", () => {
  it("row 29: are summed in float32 (golden text)", async () => {
    const model = decodeModel(encodeModel(makeOrtStep("AdamOptimizer", DataType.float16)));
    const before = printModel(model);
    insertAgr(model);
    await expect(`${before}@@@\n${printModel(model)}`).toMatchFileSnapshot(
      "../../../fixtures/passes/insert-agr/ort-tensor-float16.txt",
    );
  });
});

describe("parameters whose shape the graph does not tell", () => {
  it("are tested when the graph runs, in a function beside that of the others", async () => {
    const make = (): Model => {
      const model = makeOrtStep("AdamOptimizer");
      for (const input of model.graph.inputs) {
        if (input.name === "a.w") input.type = { kind: "tensor", dtype: DataType.float, shape: ["N", 3] };
      }
      return model;
    };
    const inserted = make();
    expect(insertAgr(inserted).reached).toEqual(["a.w", "b.w"]);
    expect(inserted.functions.map(({ name }) => name)).toEqual(["AGR", "AGR_tested"]);
    const { edges } = await verifyInsertion(make(), inserted);
    expect(edges).toHaveLength(2);
  });
});

describe("refusals", () => {
  it("of gradients of other types name tensor and type", () => {
    const error = errorOf(() => insertAgr(makeOrtStep("SGDOptimizer", DataType.int64)));
    expect([error.code, error.exitCode]).toEqual(["E_NO_OPTIMIZER", 4]);
    expect(error.message).toContain('its gradient "a.g" is int64, not floating point');
  });

  it("of the global scope where a gradient comes after an update", () => {
    const model = makeOrtStep("SGDOptimizer");
    const second = model.graph.nodes.filter(({ opType }) => opType === "SGDOptimizer")[1];
    const late = model.graph.nodes.find(({ outputs }) => outputs[0]?.name === "b.g");
    if (second === undefined || late === undefined) throw new Error("no optimizer");
    moveBefore(model, second, late);
    expect(errorOf(() => insertAgr(model, { scope: "global" })).code).toBe("E_GLOBAL_SCOPE");
    expect(insertAgr(makeOrtStep("SGDOptimizer"), { scope: "global" }).changed).toBe(2);
  });
});

describe("an optimizer inside an If", () => {
  it("gets AGR there, on a gradient of the graph around it", () => {
    const model = makeOrtStep("SGDOptimizer");
    const [optimizer] = model.graph.nodes.filter(({ opType }) => opType === "SGDOptimizer");
    const [updated] = optimizer?.outputs ?? [];
    if (optimizer === undefined || !updated) throw new Error("no optimizer");
    const body = new Graph("then_branch");
    const inner = new Value("inner");
    body.append(new Node("SGDOptimizer", optimizer.inputs, [inner], { domain: optimizer.domain, name: "inside" }));
    body.addOutput(inner);
    const chosen = new Value("chosen");
    const signal = model.graph.inputs.find(({ name }) => name === "signal") ?? null;
    model.graph.insertBefore(
      optimizer,
      new Node("If", [signal], [chosen], { attributes: [attribute.graph("then_branch", body)] }),
    );
    updated.replaceAllUsesWith(chosen);
    model.graph.remove(optimizer);
    const original = encodeModel(model);
    const changed = decodeModel(original);
    const report = insertAgr(changed);
    expect(report.reached).toEqual(["b.w", "a.w"]);
    const again = decodeModel(encodeModel(changed));
    const branch = again.graph.nodes.find(({ opType }) => opType === "If")?.attributes.get("then_branch");
    if (branch?.kind !== "graph") throw new Error("no branch");
    expect(branch.value.nodes.map(({ opType }) => opType)).toEqual(["AGR", "SGDOptimizer"]);
    expect(insertAgr(again).changed).toBe(0);
    stripAgr(again);
    expect(encodeModel(again)).toEqual(original);
    expect(errorOf(() => insertAgr(decodeModel(original), { scope: "global" })).message).toContain(
      "are used in different graphs",
    );
  });
});

/** Moves a node to another place in the list of nodes, its readers staying where they are. */
function moveBefore(model: Model, anchor: Node, node: Node): void {
  const [output = null] = node.outputs;
  const readers = output?.uses ?? [];
  const inputs = [...node.inputs];
  for (const { user, index } of readers) if (user instanceof Node) user.setInput(index, null);
  model.graph.remove(node);
  for (const [index, input] of inputs.entries()) node.setInput(index, input);
  model.graph.insertBefore(anchor, node);
  for (const { user, index } of readers) if (user instanceof Node) user.setInput(index, output);
}
