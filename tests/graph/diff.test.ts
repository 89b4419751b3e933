import { describe, expect, it } from "vitest";
import { makeOptimizer } from "../../fixtures/optimizer.ts";
import { makePlainStep } from "../../fixtures/plain-steps.ts";
import { attribute, decodeModel, diffModels, encodeModel, GraphTensor } from "../../src/entries/graph.ts";
import { insertAgr, stripAgr } from "../../src/index.ts";
import { encodeProto, FULL_MODEL } from "./serde/full-model.ts";

describe("diffModels", () => {
  it("finds nothing between a model and itself, whatever is in it", () => {
    const bytes = encodeProto(FULL_MODEL);
    expect(diffModels(decodeModel(bytes), decodeModel(bytes))).toEqual([]);
  });

  it("tells what an insertion did, and nothing after strip", () => {
    const [before, after] = [makeOptimizer(), makeOptimizer()];
    insertAgr(after, { count: 1 });
    const differences = diffModels(before, after);
    expect(differences.filter(({ kind }) => kind === "rewired")).toEqual([
      {
        kind: "rewired",
        of: "node",
        at: "graph: updated_flag/AdamWOptimizer, input 3",
        from: "gradients",
        to: "onnx-agr/gradients/SequenceConstruct:out",
      },
    ]);
    expect(differences.filter(({ kind, of }) => kind === "added" && of === "node").map(({ at }) => at)).toContain(
      "graph: onnx-agr/gradients/0/AGR",
    );
    expect(
      differences.filter(({ of }) => of === "function" || of === "opset").map(({ kind, at }) => [kind, at]),
    ).toEqual([
      ["added", 'opset "onnx-agr"'],
      ["added", 'function "onnx-agr.AGR"'],
    ]);
    expect(differences.some(({ kind }) => kind === "removed" || kind === "changed")).toBe(false);
    stripAgr(after);
    expect(diffModels(before, after)).toEqual([]);
  });

  it("tells initializers apart by what they hold, attributes by value, types and metadata by text", () => {
    const [before, after] = [makePlainStep({ update: "sgd" }), makePlainStep({ update: "sgd" })];
    const [constant] = after.graph.initializers;
    const node = after.graph.nodes.find(({ opType }) => opType === "ReduceMean");
    const [input] = after.graph.inputs;
    if (constant === undefined || node === undefined || input === undefined) throw new Error("incomplete");
    constant.tensor = GraphTensor.ints([1]);
    node.attributes.set("keepdims", attribute.int("keepdims", 1));
    input.type = { kind: "tensor", dtype: 1, shape: ["N", 2] };
    after.metadata.set("note", "new");
    expect(diffModels(before, after).map(({ kind, of, at }) => `${kind} ${of} ${at}`)).toEqual([
      'added metadata metadata "note"',
      "changed input graph: weight",
      `changed initializer graph: ${constant.name}`,
      `changed node graph: ${node.name}, attribute "keepdims"`,
    ]);
  });

  it("looks into the graphs of nodes", () => {
    const [before, after] = [makeOptimizer(), makeOptimizer()];
    insertAgr(before);
    insertAgr(after, { strength: 0.5 });
    const differences = diffModels(decodeModel(encodeModel(before)), decodeModel(encodeModel(after)));
    expect(differences.map(({ of, at }) => `${of} ${at}`)).toEqual([
      'metadata metadata "onnx-agr"',
      'node graph: onnx-agr/gradients/SequenceMap, attribute "body"[0]: onnx-agr/gradients/each/strength, attribute "value"',
    ]);
  });
});
