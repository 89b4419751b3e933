import { describe, expect, it } from "vitest";
import { float, model, Sketch } from "../../fixtures/sketch.ts";
import { DataType, GraphTensor } from "../../src/entries/graph.ts";
import { buildTrainingArtifacts, type Model } from "../../src/index.ts";
import { wave } from "../support/conv-net.ts";

const matrix = (rows: number, columns: number, seed: number): GraphTensor =>
  GraphTensor.from(DataType.float, [rows, columns], wave(rows * columns, seed));

function turned(tensor: GraphTensor): GraphTensor {
  const [rows = 0, columns = 0] = tensor.dims;
  const from = tensor.floatValues();
  const values = Float32Array.from(
    { length: from.length },
    (_, at) => from[(at % rows) * columns + Math.floor(at / rows)] ?? 0,
  );
  return GraphTensor.from(DataType.float, [columns, rows], values);
}

/** Two layers and a head, each of the weight that is named for it. */
function net(
  weights: Readonly<Record<string, GraphTensor>>,
  [first, second, head]: readonly [string, string, string],
): Model {
  const sketch = new Sketch("net");
  sketch.input("x", float(["batch", 4]));
  for (const [name, tensor] of Object.entries(weights)) sketch.initializer(name, tensor);
  sketch.node("MatMul", ["x", first], ["one"]);
  sketch.node("Tanh", ["one"], ["h"]);
  sketch.node("MatMul", ["h", second], ["two"]);
  sketch.node("Tanh", ["two"], ["g"]);
  sketch.node("MatMul", ["g", head], ["y"]);
  sketch.output("y", float(["batch", "classes"]));
  return model(sketch.graph, 8, [["", 17]]);
}

async function notesOf(made: Model): Promise<readonly string[]> {
  const { report } = await buildTrainingArtifacts(made, { loss: { kind: "mse" } });
  return report.notes.filter((note) => note.startsWith("weights that"));
}

describe("weights that may be tied", () => {
  const [a, b, head] = [matrix(4, 4, 1), matrix(4, 4, 2), matrix(4, 3, 3)];

  it("are told where several layers read one", async () => {
    const [note, ...others] = await notesOf(net({ a, head }, ["a", "a", "head"]));
    expect(note).toMatch(/^weights that several layers read are trained as one: "a"; .*TrainingMode\.TRAINING/);
    expect(others).toEqual([]);
  });

  it("are told where one is the other's transpose", async () => {
    const [note, ...others] = await notesOf(net({ a, b: turned(a), head }, ["a", "b", "head"]));
    expect(note).toMatch(
      /^weights that are each other's transpose are trained apart: "a" and "b"; .*do_constant_folding/,
    );
    expect(others).toEqual([]);
  });

  it("are not told where they are apart, equal ones too, or fresh", async () => {
    const ones = GraphTensor.floats([4, 4], Array(16).fill(0.5));
    expect(await notesOf(net({ a, b, head }, ["a", "b", "head"]))).toEqual([]);
    expect(await notesOf(net({ a, b: a, head }, ["a", "b", "head"]))).toEqual([]);
    expect(await notesOf(net({ a: ones, b: ones, head }, ["a", "b", "head"]))).toEqual([]);
  });
});
