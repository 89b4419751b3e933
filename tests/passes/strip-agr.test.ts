import { describe, expect, it } from "vitest";
import { makeOptimizer } from "../../fixtures/optimizer.ts";
import { decodeModel, encodeModel, Node, Value } from "../../src/entries/graph.ts";
import { insertAgr, stripAgr } from "../../src/index.ts";
import { errorOf } from "../support/errors.ts";

describe("stripAgr refuses, and leaves the model alone", () => {
  const inserted = (): ReturnType<typeof makeOptimizer> => {
    const model = decodeModel(encodeModel(makeOptimizer()));
    insertAgr(model, { count: 2 });
    return model;
  };

  it.each([
    ["not JSON", "{"],
    ["of another form", '{"schema":2}'],
    ["naming a value that is gone", '{"schema":1,"options":{},"edges":[{"from":"gradients","to":"gone"}]}'],
    [
      "that would take out nodes of the user",
      '{"schema":1,"options":{},"edges":[{"from":"gradients","to":"updated_flag"}]}',
    ],
  ])("a record %s", (_, record) => {
    const model = inserted();
    model.metadata.set("onnx-agr", record);
    const bytes = encodeModel(model);
    expect(errorOf(() => stripAgr(model)).code).toBe("E_RECORD");
    expect(encodeModel(model)).toEqual(bytes);
  });

  it.each(["peek", "onnx-agr/peek"])("a graph in which someone, called %s, reads an inserted value", (name) => {
    const model = inserted();
    const value = model.graph.nodes.find(({ opType }) => opType === "AGR")?.outputs[0] ?? null;
    model.graph.append(new Node("Identity", [value], [new Value("peek")], { name }));
    const bytes = encodeModel(model);
    expect(errorOf(() => stripAgr(model)).message).toContain("is read outside the inserted nodes");
    expect(encodeModel(model)).toEqual(bytes);
  });
});
