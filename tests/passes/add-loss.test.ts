import { readFileSync } from "node:fs";
import { Tensor } from "onnxruntime-node";
import { describe, expect, it } from "vitest";
import { float, model, Sketch } from "../../fixtures/sketch.ts";
import { checkModel, decodeModel, encodeModel, printModel } from "../../src/entries/graph.ts";
import type { LossOptions, Model } from "../../src/index.ts";
import { addGradients } from "../../src/passes/add-gradients.ts";
import { addLoss } from "../../src/passes/add-loss.ts";
import { errorOf } from "../support/errors.ts";
import { openSession } from "../support/ort.ts";
import { valuesOf } from "../support/tensor-values.ts";

interface Numbers {
  readonly dims: readonly number[];
  readonly data: readonly number[];
}

const CASES = JSON.parse(readFileSync(new URL("add-loss.json", import.meta.url), "utf8")) as readonly {
  readonly options: LossOptions;
  readonly scores: Numbers;
  readonly target: Numbers;
  readonly loss: number;
  readonly gradient: Numbers;
}[];

/** A model whose output is its input: the gradient of the loss is that of the scores. */
function passing(shape: readonly (number | string)[], opset = 17): Model {
  const sketch = new Sketch("forward");
  sketch.input("x", float(shape));
  sketch.node("Identity", ["x"], ["scores"]);
  sketch.output("scores", float(shape));
  return model(sketch.graph, 8, [["", opset]]);
}

describe("losses and their gradients are PyTorch's", () => {
  for (const dynamic of [false, true]) {
    it.each(CASES.map((each) => [JSON.stringify(each.options), each] as const))(
      `%s, ${dynamic ? "symbolic" : "static"} batch`,
      async (_, { options, scores, target, loss: expected, gradient }) => {
        const shape = scores.dims.map((dim, axis) => (dynamic && axis === 0 ? "batch" : dim));
        const forward = passing(shape);
        const { loss, inputs } = addLoss(forward, options);
        const [x] = forward.graph.inputs;
        if (x === undefined) throw new Error("no input");
        const made = addGradients(forward, loss, [x]).get(x);
        if (made === undefined) throw new Error("no gradient");
        made.type = x.type;
        forward.graph.addOutput(made);
        const bytes = encodeModel(forward);
        checkModel(decodeModel(bytes));
        const session = await openSession(bytes);
        const isLabels = options.kind === "cross-entropy";
        expect(inputs.map(({ name }) => name)).toEqual([isLabels ? "labels" : "target"]);
        const results = await session.run({
          x: new Tensor("float32", Float32Array.from(scores.data), [...scores.dims]),
          [isLabels ? "labels" : "target"]: isLabels
            ? new Tensor("int64", BigInt64Array.from(target.data, BigInt), [...target.dims])
            : new Tensor("float32", Float32Array.from(target.data), [...target.dims]),
        });
        await session.release();
        expect(Math.abs(Number(results["loss"]?.data[0]) / expected - 1)).toBeLessThan(2e-6);
        expect(results["loss"]?.dims).toEqual([]);
        const largest = Math.max(...gradient.data.map(Math.abs));
        for (const [index, value] of valuesOf(results["x_grad"]).entries()) {
          expect(Math.abs(value - (gradient.data[index] ?? 0)) / largest).toBeLessThan(5e-6);
        }
      },
    );
  }
});

it("golden text", async () => {
  const forward = passing(["batch", 3]);
  const before = printModel(forward);
  addLoss(forward, { kind: "cross-entropy", labelSmoothing: 0.1 });
  await expect(`${before}@@@\n${printModel(forward)}`).toMatchFileSnapshot(
    "../../fixtures/passes/add-loss/cross-entropy.txt",
  );
});

describe("a loss is refused", () => {
  it.each<[string, LossOptions, string]>([
    ["of an output that is not there", { kind: "mse", output: "nothing" }, "E_OUTPUT"],
    ["of one number, where there are more", { kind: "output" }, "E_LOSS"],
    ["with an axis outside the output", { kind: "cross-entropy", classAxis: 3 }, "E_OPTION"],
    ["with too few class weights", { kind: "cross-entropy", classWeights: [1, 2] }, "E_OPTION"],
    ["with smoothing out of range", { kind: "cross-entropy", labelSmoothing: 1 }, "E_OPTION"],
    ["with a reduction, where the model computes it", { kind: "output", reduction: "sum" }, "E_OPTION"],
    ["with an option of another", { kind: "mse", threshold: 2 }, "E_OPTION"],
    ["with an option of another that has no default", { kind: "mse", ignoreIndex: 0 }, "E_OPTION"],
    ["that there is not", { kind: "hinge" as "mse" }, "E_OPTION"],
  ])("%s", (_, options, code) => {
    const forward = passing(["batch", 3]);
    const bytes = encodeModel(forward);
    expect(errorOf(() => addLoss(forward, options)).code).toBe(code);
    expect(encodeModel(forward)).toEqual(bytes);
  });
});
