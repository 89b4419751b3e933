import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import {
  attribute,
  DataType,
  decodeModel,
  encodeModel,
  Graph,
  GraphTensor,
  hasExternalData,
  Node,
  readExternalTensors,
  Value,
} from "../../src/entries/graph.ts";
import { tensorType } from "../../src/graph/value-type.ts";
import { buildTrainingArtifacts, Model, readModel } from "../../src/index.ts";
import { growthOf, LINEAR } from "../support/growth.ts";
import { temporaryFolder } from "../support/temporary.ts";
import { encodeProto, FULL_MODEL } from "./serde/full-model.ts";

/** x plus a weight, times another, by way of a branch. */
function model(): Model {
  const graph = new Graph("g");
  const [x, sum, y] = [new Value("x", tensorType(DataType.float, ["n", 2])), new Value("sum"), new Value("y")];
  const [a, b] = [weight("a", [1024, 2]), weight("b", [2])];
  graph.inputs.push(x);
  graph.initializers.push(a, b);
  const attributes = ["then_branch", "else_branch"].map((name) => {
    const branch = new Graph(name);
    const product = new Value(`${name}/product`);
    branch.append(new Node("Mul", [sum, b], [product], { name: "inner" }));
    branch.addOutput(product);
    return attribute.graph(name, branch);
  });
  graph.append(new Node("Add", [x, a], [sum]), new Node("If", [x], [y], { attributes }));
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

describe("a clone", () => {
  it("of a model with every field encodes to the same bytes: sparse initializers, value_info, metadata, unknown fields", () => {
    const bytes = encodeProto(FULL_MODEL);
    const original = decodeModel(bytes);
    expect(encodeModel(original.clone())).toEqual(bytes);
    expect(encodeModel(original.clone().clone())).toEqual(bytes);
    expect(encodeModel(original)).toEqual(bytes);
  });

  it("shares every tensor and no value, node or graph, those of graphs inside too", () => {
    const original = model();
    const copy = original.clone();
    const [a] = copy.graph.initializers;
    expect(a?.tensor).toBe(original.graph.initializers[0]?.tensor);
    expect(a).not.toBe(original.graph.initializers[0]);
    const before = encodeModel(original);
    for (const value of copy.graph.initializers) value.tensor = null;
    for (const node of copy.graph.nodes) node.name = "renamed";
    copy.metadata.set("key", "value");
    copy.graph.remove(copy.graph.nodes.filter(({ outputs }) => outputs.every((output) => !output?.isUsed)));
    expect(encodeModel(original)).toEqual(before);
  });

  it("reads its own values in the graphs inside, and keeps the original's uses as they were", () => {
    const original = model();
    const [, b] = original.graph.initializers;
    const uses = b?.uses.length;
    const copy = original.clone();
    expect(b?.uses.length).toBe(uses);
    expect(copy.graph.initializers[1]?.uses.length).toBe(uses);
  });

  it("row 100: takes as many steps as there are nodes", () => {
    const chain = (count: number): Model => {
      const graph = new Graph("chain");
      const values = Array.from({ length: count + 1 }, (_, index) => new Value(`v${index}`));
      graph.inputs.push(...values.slice(0, 1));
      graph.append(values.slice(1).map((value, index) => new Node("Relu", [values[index] ?? null], [value])));
      return new Model(8, graph);
    };
    const models = new Map([8000, 64_000].map((count) => [count, chain(count)]));
    expect(growthOf((count) => models.get(count)?.clone(), 8000)).toBeLessThan(LINEAR);
  });
});

describe("external data", () => {
  async function withExternal(): Promise<Model> {
    const sketch = model();
    const bytes = encodeModel(sketch);
    const proto = decodeModel(bytes);
    const graph = proto.graph;
    const [a] = graph.initializers;
    if (a?.tensor?.data.kind !== "raw") throw new Error("no raw tensor");
    const folder = temporaryFolder();
    writeFileSync(join(folder, "w.bin"), a.tensor.data.bytes);
    const at = { location: "w.bin", offset: 0, length: a.tensor.data.bytes.length, checksum: null };
    a.tensor = new GraphTensor(a.tensor.dtype, a.tensor.dims, { kind: "external", at });
    writeFileSync(join(folder, "m.onnx"), encodeModel(proto));
    return readModel(join(folder, "m.onnx"));
  }

  it("are found by the clone, and reading them there leaves the original as it was", async () => {
    const original = await withExternal();
    const copy = original.clone();
    await readExternalTensors(copy);
    expect(hasExternalData(copy)).toBe(false);
    expect(hasExternalData(original)).toBe(true);
    expect(copy.graph.initializers[0]?.tensor?.values().length).toBe(2048);
  });

  it("of a model that is built are not read into it", async () => {
    const original = await withExternal();
    const { graph } = original;
    const sum = graph.nodes[0]?.outputs[0] as Value;
    sum.type = tensorType(DataType.float, [1024, 2]);
    graph.replaceOutputs([sum]);
    graph.remove(graph.nodes.slice(1));
    const before = encodeModel(original);
    const name = graph.initializers[0]?.name ?? "";
    await buildTrainingArtifacts(original, { loss: { kind: "mse" }, targets: ["portable"], parameters: [name] });
    expect(encodeModel(original)).toEqual(before);
    expect(hasExternalData(original)).toBe(true);
  });
});
