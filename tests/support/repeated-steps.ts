import { Tensor } from "onnxruntime-node";
import { float, model, Sketch, tensor } from "../../fixtures/sketch.ts";
import { checkModel, DataType, encodeModel, type Graph, GraphTensor } from "../../src/entries/graph.ts";
import type { Model } from "../../src/index.ts";
import type { StepModel } from "../../src/passes/portable/step-model.ts";
import { repeatStep } from "../../src/passes/repeated/repeat-step.ts";
import { wave } from "./optimizer-cases.ts";
import { openSession } from "./ort.ts";
import { valuesOf } from "./tensor-values.ts";

const STEPS = 5;

/** A step of x [2, 1, 3], the batch, r [1], the learning rate, t [1], its number, and a state of [3] that grows. */
export function sketched(write: (sketch: Sketch) => void, results: readonly string[]): StepModel {
  const sketch = new Sketch("step");
  sketch.input("x", float([2, 1, 3]));
  sketch.input("i", tensor(DataType.int64, [2]));
  sketch.input("r", float([1]));
  sketch.input("t", tensor(DataType.int64, [1]));
  sketch.input("s", float([3]));
  sketch.initializer("c", GraphTensor.from(DataType.float, [3], wave(3, 4)));
  sketch.node("Add", ["s", "c"], ["s/next"]);
  write(sketch);
  for (const name of ["s/next", ...results]) sketch.output(name, float([]));
  for (const value of sketch.graph.outputs) value.type = null;
  return {
    model: model(sketch.graph, 8, [["", 17]]),
    ...{ inputs: ["x", "i"], outputs: results, state: [{ name: "s", next: "s/next", kind: "parameter" }] },
    ...{ learningRate: "r", step: "t", reset: null, gradients: [] },
  };
}

export function loop(step: StepModel): StepModel {
  const repeated = repeatStep(step);
  if (repeated === null) throw new Error("the step stays by itself");
  return repeated;
}

export const bodyOf = ({ model: { graph } }: StepModel): Graph => {
  const body = graph.nodes.find(({ opType }) => opType === "Scan")?.attributes.get("body");
  if (body?.kind !== "graph") throw new Error("there is no Scan");
  return body.value;
};

export const typesIn = (graph: Graph): readonly string[] =>
  graph.nodes.map(({ opType }) => opType).filter((type) => type !== "Constant");

export async function run(net: Model, feeds: Record<string, Tensor>): Promise<ReadonlyMap<string, readonly number[]>> {
  const session = await openSession(encodeModel(net));
  try {
    const given = await session.run(feeds);
    return new Map(Object.entries(given).map(([name, result]) => [name, [...valuesOf(result)]]));
  } finally {
    await session.release();
  }
}

export const floats = (values: Float32Array, dims: readonly number[]): Tensor => new Tensor("float32", values, dims);
export const ints = (values: readonly number[], dims: readonly number[]): Tensor =>
  new Tensor("int64", BigInt64Array.from(values, BigInt), dims);

/** @returns the outputs of so many steps in one call, and one by one */
export async function bothWays(step: StepModel, first = 1, steps = STEPS) {
  const x = wave(6 * steps, 7);
  const rates = wave(steps, 9).map(Math.abs);
  const at = (index: number): readonly number[] => [index % 3, (index + 1) % 3];
  const results = step.outputs;
  const single = step.model.clone();
  let state = wave(3, 2);
  const apart: number[][] = results.map(() => []);
  for (let index = 0; index < steps; index++) {
    const given = await run(single, {
      x: floats(x.slice(6 * index, 6 * index + 6), [2, 1, 3]),
      i: ints(at(index), [2]),
      r: floats(rates.slice(index, index + 1), [1]),
      t: ints([first + index], [1]),
      s: floats(state, [3]),
    });
    state = Float32Array.from(given.get("s/next") ?? []);
    for (const [place, name] of results.entries()) apart[place]?.push(...(given.get(name) ?? []));
  }
  const repeated = loop(step);
  checkModel(repeated.model);
  const together = await run(repeated.model, {
    x: floats(x, [steps, 2, 1, 3]),
    i: ints(Array.from({ length: steps }, (_, index) => at(index)).flat(), [steps, 2]),
    r: floats(rates, [steps, 1]),
    t: ints([first], [1]),
    s: floats(wave(3, 2), [3]),
  });
  return {
    repeated,
    apart: new Map([["s/next", [...state]], ...results.map((name, place) => [name, apart[place] ?? []] as const)]),
    together,
  };
}
