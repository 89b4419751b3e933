import { Tensor } from "onnxruntime-node";
import { describe, expect, it } from "vitest";
import { float, model, Sketch, tensor } from "../../fixtures/sketch.ts";
import { removeDeadNodes } from "../../src/edits/dead-nodes.ts";
import { attribute, checkModel, DataType, decodeModel, encodeModel, GraphTensor } from "../../src/entries/graph.ts";
import type { Model } from "../../src/index.ts";
import { addGradients } from "../../src/passes/add-gradients.ts";
import { openSession } from "../support/ort.ts";
import { valuesOf } from "../support/tensor-values.ts";

/** y = c ? tanh of x w with its columns turned round : (x w) * v; loss = sum(y^2). The second branch alone reads v. */
function network(): Model {
  const sketch = new Sketch("choice");
  sketch.input("c", tensor(DataType.bool, []));
  sketch.input("x", float([2, 3]));
  sketch.initializer("w", GraphTensor.floats([3, 2], [0.1, -0.4, 0.3, 0.2, -0.5, 0.6]));
  sketch.initializer("v", GraphTensor.floats([2], [1.5, -0.5]));
  sketch.node("MatMul", ["x", "w"], ["h"]);
  const branch = (name: string, fill: (inner: Sketch) => void): Sketch => {
    const inner = new Sketch(name);
    inner.outer(sketch, "h");
    inner.outer(sketch, "v");
    fill(inner);
    inner.output(`${name}_out`, float([2, 2]));
    return inner;
  };
  const yes = branch("yes", (inner) => {
    const constants = Object.entries({ starts: -1, ends: -3, axes: 1, steps: -1 });
    for (const [part, value] of constants) {
      inner.node("Constant", [], [`yes_${part}`], [attribute.tensor("value", GraphTensor.ints([value]))]);
    }
    inner.node("Slice", ["h", ...constants.map(([part]) => `yes_${part}`)], ["turned"]);
    inner.node("Tanh", ["turned"], ["yes_out"]);
  });
  const no = branch("no", (inner) => {
    inner.node("Mul", ["h", "v"], ["no_part"]);
    inner.node("Mul", ["no_part", "h"], ["no_out"]);
  });
  const attributes = [attribute.graph("then_branch", yes.graph), attribute.graph("else_branch", no.graph)];
  sketch.node("If", ["c"], ["y"], attributes);
  sketch.node("ReduceSumSquare", ["y"], ["loss"], [attribute.int("keepdims", 0)]);
  sketch.output("loss", float([]));
  return model(sketch.graph, 8, [["", 17]]);
}

async function runWith(net: Model, condition: boolean, names: readonly string[]): Promise<Record<string, number[]>> {
  const bytes = encodeModel(net);
  checkModel(decodeModel(bytes));
  const session = await openSession(bytes);
  const feeds = {
    c: new Tensor("bool", Uint8Array.of(condition ? 1 : 0), []),
    x: new Tensor("float32", Float32Array.of(0.5, -1, 2, 1.5, 0.25, -0.75), [2, 3]),
  };
  const results = await session.run(feeds);
  await session.release();
  return Object.fromEntries(names.map((name) => [name, valuesOf(results[name])]));
}

describe("gradients through If", () => {
  it.each([true, false])("are those of the branch that was taken (%s)", async (condition) => {
    const net = network();
    const { graph } = net;
    const parameters = graph.initializers.filter(({ name }) => name === "w" || name === "v");
    const loss = graph.outputs[0];
    if (loss === undefined) throw new Error("no loss");
    const gradients = addGradients(net, loss, parameters);
    for (const [value, gradient] of gradients) {
      gradient.type = value.type;
      graph.addOutput(gradient);
    }
    removeDeadNodes(graph);
    const actual = await runWith(net, condition, ["w_grad", "v_grad"]);
    for (const name of ["w", "v"]) {
      const values = valuesOf({ data: parameters.find((each) => each.name === name)?.tensor?.values() });
      const numeric: number[] = [];
      for (const [index, value] of values.entries()) {
        const at = async (delta: number): Promise<number> => {
          const moved = network();
          const target = moved.graph.initializers.find((each) => each.name === name);
          if (!target?.tensor) throw new Error("no parameter");
          const changed = values.map((each, place) => (place === index ? value + delta : each));
          target.tensor = GraphTensor.floats(target.tensor.dims, changed);
          return (await runWith(moved, condition, ["loss"]))["loss"]?.[0] ?? Number.NaN;
        };
        numeric.push(((await at(3e-3)) - (await at(-3e-3))) / 6e-3);
      }
      const scale = Math.max(1e-1, ...numeric.map(Math.abs));
      /** Differences in float32: rounding of the loss over the step, and the square of the step. */
      for (const [index, value] of numeric.entries()) {
        expect(
          Math.abs((actual[`${name}_grad`]?.[index] ?? Number.NaN) - value) / scale,
          `${name}[${index}]`,
        ).toBeLessThan(2e-3);
      }
    }
    expect(actual["v_grad"]?.every((value) => value === 0)).toBe(condition);
  });
});
