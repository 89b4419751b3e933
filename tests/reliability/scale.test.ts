import { describe, expect, it } from "vitest";
import { makeOptimizer } from "../../fixtures/optimizer.ts";
import { float, model, Sketch } from "../../fixtures/sketch.ts";
import {
  checkModel,
  decodeModel,
  diffModels,
  encodeModel,
  findOptimizers,
  GraphFunction,
  GraphTensor,
  Node,
  printModel,
  Value,
} from "../../src/entries/graph.ts";
import { buildTrainingArtifacts, insertAgr, type Model, stripAgr } from "../../src/index.ts";
import { inlineFunctions } from "../../src/passes/inline-functions.ts";

/** A chain of nodes, and inputs that nothing reads. */
function beside(graph: Model["graph"], nodes: number, inputs: number): void {
  let last = new Value("v", float([2]));
  graph.inputs.push(last);
  for (let index = 0; index < inputs; index++) graph.inputs.push(new Value(`x${index}`, float([2])));
  for (let index = 0; index < nodes; index++) {
    const next = new Value(`v${index}`);
    graph.append(new Node("Tanh", [last], [next], { name: `n${index}` }));
    last = next;
  }
  graph.addOutput(last);
  last.type = float([2]);
}

describe("row 100: work is linear and no call takes a list as its arguments:", () => {
  it("10,000 nodes in a chain and 130,000 inputs are read, found, inserted into, stripped, told apart and printed", () => {
    const plain = makeOptimizer();
    beside(plain.graph, 10_000, 130_000);
    const bytes = encodeModel(plain);
    const read = decodeModel(bytes);
    checkModel(read);
    expect(findOptimizers(read).sites).toHaveLength(1);
    expect(insertAgr(read, { count: 2 }).changed).toBe(1);
    expect(diffModels(plain, read).length).toBeGreaterThan(0);
    stripAgr(read);
    expect(Buffer.compare(encodeModel(read), bytes)).toBe(0);
    expect(printModel(read).split("\n").length).toBeGreaterThan(10_000);
  }, 60_000);

  it("5,000 calls of a function are replaced by its body", () => {
    const sketch = new Sketch("calls");
    sketch.input("v0", float([2]));
    for (let at = 1; at <= 5000; at++) sketch.node("Step", [`v${at - 1}`], [`v${at}`], [], "own");
    sketch.output("v5000", float([2]));
    const step = new GraphFunction("Step", "own");
    const [x, y] = [new Value("x"), new Value("y")];
    step.body.inputs.push(x);
    step.body.append(new Node("Tanh", [x], [y]));
    step.body.addOutput(y);
    const calls = model(sketch.graph, 8, [
      ["", 17],
      ["own", 1],
    ]);
    calls.functions.push(step);
    expect(inlineFunctions(calls)).toBe(5000);
    checkModel(calls);
  }, 60_000);

  it("a value that 3,000 nodes read, and 300 layers, are built", async () => {
    const sketch = new Sketch("net");
    sketch.input("x", float(["batch", 2]));
    let last = "x";
    for (let layer = 0; layer < 300; layer++) {
      sketch.initializer(`w${layer}`, GraphTensor.floats([2, 2], [1, 0.5, 0.25, layer]));
      sketch.node("MatMul", [last, `w${layer}`], [`h${layer}`]);
      last = `h${layer}`;
    }
    for (let at = 0; at < 3000; at++) sketch.node("Tanh", [last], [`v${at}`]);
    sketch.node(
      "Sum",
      Array.from({ length: 3000 }, (_, at) => `v${at}`),
      ["y"],
    );
    sketch.output("y", float(["batch", 2]));
    const { report } = await buildTrainingArtifacts(model(sketch.graph, 8, [["", 17]]), { loss: { kind: "mse" } });
    expect(report.trainable).toHaveLength(300);
  }, 60_000);
});
