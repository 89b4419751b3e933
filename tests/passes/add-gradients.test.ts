import { describe, expect, it } from "vitest";
import { float, model, Sketch } from "../../fixtures/sketch.ts";
import { removeDeadNodes } from "../../src/edits/dead-nodes.ts";
import { attribute, encodeModel, GraphTensor, printModel } from "../../src/entries/graph.ts";
import type { Model } from "../../src/index.ts";
import { addGradients } from "../../src/passes/add-gradients.ts";
import { errorOf } from "../support/errors.ts";

/** loss = mean((relu(x W) b)^2), with some operator in the middle. */
function network(middle = "Relu"): Model {
  const sketch = new Sketch("net");
  sketch.input("x", float(["batch", 3]));
  sketch.initializer("w", GraphTensor.floats([3, 2], [1, 2, 3, 4, 5, 6]));
  sketch.initializer("b", GraphTensor.floats([2], [1, -1]));
  sketch.node("MatMul", ["x", "w"], ["h"]);
  sketch.node(middle, ["h"], ["a"]);
  sketch.node("Mul", ["a", "b"], ["y"]);
  sketch.node("Mul", ["y", "y"], ["square"]);
  sketch.node("ReduceMean", ["square"], ["loss"]);
  sketch.output("loss", float([]));
  return model(sketch.graph, 8, [["", 17]]);
}

const gradientsOf = (net: Model, names: readonly string[]): string[] => {
  const { graph } = net;
  const wrt = graph.initializers.filter(({ name }) => names.includes(name));
  const loss = graph.outputs[0];
  if (loss === undefined) throw new Error("no loss");
  const gradients = addGradients(net, loss, wrt);
  for (const [value, gradient] of gradients) {
    gradient.type = value.type;
    graph.addOutput(gradient);
  }
  return [...gradients].map(([value, { name }]) => `${value.name}: ${name}`);
};

describe("addGradients", () => {
  it("golden text", async () => {
    const net = network();
    const before = printModel(net);
    expect(gradientsOf(net, ["w", "b"])).toEqual(["w: w_grad", "b: b_grad"]);
    removeDeadNodes(net.graph);
    await expect(`${before}@@@\n${printModel(net)}`).toMatchFileSnapshot(
      "../../fixtures/passes/add-gradients/network.txt",
    );
  });

  it("gives the same bytes each time, and names nodes after the forward node", () => {
    const [first, second] = [network(), network()];
    gradientsOf(first, ["w", "b"]);
    gradientsOf(second, ["w", "b"]);
    expect(encodeModel(second)).toEqual(encodeModel(first));
    const added = first.graph.nodes.slice(network().graph.nodeCount);
    const stems = ["loss", "square", "y", "a", "h"];
    expect(added.every(({ name }) => stems.some((stem) => name.startsWith(`${stem}`)))).toBe(true);
    expect(added.every(({ name }) => name.includes("/grad/"))).toBe(true);
  });

  it("prunes what no one needs: nothing is emitted for a frozen parameter's branch", () => {
    const net = network("MelWeightMatrix");
    expect(gradientsOf(net, ["b"])).toEqual(["b: b_grad"]);
  });

  it("names the operator without a rule, and the way to the parameter, only where one lies between", () => {
    const error = errorOf(() => gradientsOf(network("MelWeightMatrix"), ["w"]));
    expect([error.code, error.exitCode, error.field]).toEqual(["E_NO_GRADIENT_RULE", 4, "a/MelWeightMatrix"]);
    expect(error.message).toMatch(
      /no gradient rule for MelWeightMatrix .* from the loss to "w": a\/MelWeightMatrix <- h\/MatMul/,
    );
    expect(error.hint).toContain('Freeze "w"');
  });

  it("stops at operators that pass no gradient", () => {
    expect(gradientsOf(network("Floor"), ["w", "b"])).toEqual(["b: b_grad"]);
  });

  it("lays out nothing anew for a weight that is transposed before its product", () => {
    const sketch = new Sketch("linear");
    sketch.input("x", float(["batch", 3]));
    sketch.initializer("w", GraphTensor.floats([2, 3], [1, 2, 3, 4, 5, 6]));
    sketch.node("Transpose", ["w"], ["turned"], [attribute.ints("perm", [1, 0])]);
    sketch.node("MatMul", ["x", "turned"], ["y"]);
    sketch.node("ReduceMean", ["y"], ["loss"], [attribute.int("keepdims", 0)]);
    sketch.output("loss", float([]));
    const net = model(sketch.graph, 8, [["", 17]]);
    gradientsOf(net, ["w"]);
    removeDeadNodes(net.graph);
    const product = net.graph.outputs[1]?.producer;
    expect(product?.opType).toBe("MatMul");
    expect(product?.inputs.map((value) => value?.producer?.opType)).toEqual(["Transpose", undefined]);
  });

  it("takes operators named as anything", () => {
    expect(errorOf(() => gradientsOf(network("constructor"), ["w"])).code).toBe("E_NO_GRADIENT_RULE");
  });
});
