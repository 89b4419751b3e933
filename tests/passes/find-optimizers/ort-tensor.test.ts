import { describe, expect, it } from "vitest";
import { makeOrtStep, type OrtTensorOperator } from "../../../fixtures/tensor-optimizers.ts";
import {
  checkModel,
  DataType,
  decodeModel,
  encodeModel,
  findOptimizers,
  insertAgr,
  printModel,
  stripAgr,
} from "../../../src/index.ts";
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
  it("are summed in float32 (golden text)", async () => {
    const model = decodeModel(encodeModel(makeOrtStep("AdamOptimizer", DataType.float16)));
    const before = printModel(model);
    insertAgr(model);
    await expect(`${before}@@@\n${printModel(model)}`).toMatchFileSnapshot(
      "../../../fixtures/passes/insert-agr/ort-tensor-float16.txt",
    );
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
    const [first, second] = model.graph.nodes.filter(({ opType }) => opType === "SGDOptimizer");
    const late = model.graph.nodes.find(({ outputs }) => outputs[0]?.name === "b.g");
    const read = late?.outputs[0];
    if (first === undefined || second === undefined || !read) throw new Error("no optimizer");
    const bytes = encodeModel(model);
    for (const { user, index } of read.uses) if (user !== second && "setInput" in user) user.setInput(index, null);
    model.graph.insertBefore(second, ...moved(model, late));
    expect(errorOf(() => insertAgr(model, { scope: "global" })).code).toBe("E_GLOBAL_SCOPE");
    expect(insertAgr(decodeModel(bytes), { scope: "global" }).changed).toBe(2);
  });
});

/** Takes a node out of the list of nodes to be put elsewhere, readers and all. */
function moved(model: ReturnType<typeof makeOrtStep>, node: ReturnType<typeof makeOrtStep>["graph"]["nodes"][number]) {
  const [output] = node.outputs;
  const readers = output?.uses ?? [];
  for (const { user, index } of readers) if ("setInput" in user) user.setInput(index, null);
  const inputs = [...node.inputs];
  model.graph.remove(node);
  for (const [index, input] of inputs.entries()) node.setInput(index, input);
  for (const { user, index } of readers) if ("setInput" in user) user.setInput(index, output ?? null);
  return [node];
}
