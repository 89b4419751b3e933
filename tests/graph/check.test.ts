import { describe, expect, it } from "vitest";
import { makeOptimizer } from "../../fixtures/optimizer.ts";
import { checkModel, decodeModel, encodeModel, Graph, Node, Value } from "../../src/entries/graph.ts";
import type { ModelProto } from "../../src/graph/proto/schema.ts";
import { insertAgr, type Model, stripAgr } from "../../src/index.ts";
import { errorOf } from "../support/errors.ts";
import { encodeProto, FULL_MODEL } from "./serde/full-model.ts";
import { nestedIf, node, WRONG, withGraph } from "./wrong-models.ts";

const load = (model: ModelProto): Model => {
  const decoded = decodeModel(encodeProto(model));
  checkModel(decoded);
  return decoded;
};
describe("a wrong model is refused with what and where:", () => {
  it.each(WRONG)("%s", (_, model, code, exitCode, message) => {
    const error = errorOf(() => load(model));
    expect([error.code, error.exitCode]).toEqual([code, exitCode]);
    expect(error.message).toMatch(message);
  });

  it("row 23: graphs nested more than 32 deep", () => {
    expect(() => load(withGraph({ node: nestedIf(30) }))).not.toThrow();
    const error = errorOf(() => load(withGraph({ node: nestedIf(33) })));
    expect(error.exitCode).toBe(3);
    expect(error.message).toMatch(/nested deeper than/);
  });
});

describe("what is unusual but right passes:", () => {
  it("every kind of tensor, sparse initializers, annotations, metadata", () => {
    expect(() => load(FULL_MODEL)).not.toThrow();
  });

  it("row 18: names that JavaScript objects have already", () => {
    const names = ["__proto__", "constructor", "toString", "hasOwnProperty", "名前 with spaces/and/slashes"];
    const model = withGraph({
      input: names.map((name) => ({ name })),
      node: names.map((name) => node(name, "Identity", [name], [`${name}!`])),
      output: names.map((name) => ({ name: `${name}!` })),
    });
    const bytes = encodeProto(model);
    const decoded = load(model);
    expect(decoded.graph.outputs.map(({ name }) => name)).toEqual(names.map((name) => `${name}!`));
    expect(encodeModel(decoded)).toEqual(bytes);
  });

  it("row 34: everything beside the optimizer survives an insertion and its removal", () => {
    const full = decodeModel(encodeProto(FULL_MODEL));
    const model = decodeModel(encodeModel(makeOptimizer()));
    model.graph.sparseInitializers.push(...full.graph.sparseInitializers);
    model.graph.metadata.set("note", "kept");
    model.docString = "kept";
    const original = encodeModel(model);
    const changed = decodeModel(original);
    insertAgr(changed, { count: 2 });
    const inserted = decodeModel(encodeModel(changed));
    expect(inserted.graph.sparseInitializers).toHaveLength(1);
    expect([inserted.docString, inserted.graph.metadata.get("note")]).toEqual(["kept", "kept"]);
    stripAgr(inserted);
    expect(encodeModel(inserted)).toEqual(original);
  });

  it("a graph that reads values of the graph around it", () => {
    const graph = new Graph("inner");
    graph.append(new Node("Identity", [new Value("x")], [new Value("y")]));
    expect(graph.nodeCount).toBe(1);
    const model = withGraph({
      input: [{ name: "x" }],
      node: [
        node(
          "if",
          "If",
          ["x"],
          ["y"],
          [
            {
              name: "then_branch",
              type: 5,
              g: { node: [node("i", "Identity", ["x"], ["x2"])], output: [{ name: "x2" }] },
            },
          ],
        ),
      ],
    });
    const decoded = load(model);
    expect(decoded.graph.inputs[0]?.uses).toHaveLength(2);
  });
});
