import { describe, expect, it } from "vitest";
import { copyModel } from "../../src/graph/copy-model.ts";
import { tensorType } from "../../src/graph/value-type.ts";
import { DataType, encodeModel, Graph, GraphTensor, Model, Node, Value } from "../../src/index.ts";

/** x plus a weight of 8 KiB, times one of 8 bytes. */
function model(): Model {
  const graph = new Graph("g");
  const [x, sum, y] = [
    new Value("x", tensorType(DataType.float, ["n", 2])),
    new Value("sum"),
    new Value("y", tensorType(1, null)),
  ];
  const [large, small] = [weight("large", [1024, 2]), weight("small", [2])];
  graph.inputs.push(x);
  graph.initializers.push(small, large);
  graph.append(new Node("Add", [x, large], [sum]), new Node("Mul", [sum, small], [y]));
  graph.addOutput(y);
  const made = new Model(8, graph);
  made.opsets.set("", 17);
  return made;
}

function weight(name: string, dims: readonly number[]): Value {
  const count = dims.reduce((product, each) => product * each, 1);
  const value = new Value(name, tensorType(DataType.float, dims));
  value.tensor = GraphTensor.from(
    DataType.float,
    dims,
    Float32Array.from({ length: count }, (_, i) => i),
  );
  return value;
}

describe("copyModel", () => {
  it("encodes to the original's bytes, and leaves the original as it was", () => {
    const original = model();
    const before = encodeModel(original);
    expect(encodeModel(copyModel(original))).toEqual(before);
    expect(encodeModel(original)).toEqual(before);
  });

  it("shares the large weights alone, keeps their types, and is changed by itself", () => {
    const original = model();
    const before = encodeModel(original);
    const copy = copyModel(original);
    const [small, large] = copy.graph.initializers;
    expect(large?.tensor).toBe(original.graph.initializers[1]?.tensor);
    expect(small?.tensor).not.toBe(original.graph.initializers[0]?.tensor);
    expect(large?.type).toEqual(tensorType(DataType.float, [1024, 2]));
    for (const value of copy.graph.initializers) value.tensor = null;
    for (const node of copy.graph.nodes) node.name = "renamed";
    expect(encodeModel(original)).toEqual(before);
  });
});
