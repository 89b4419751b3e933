/**
 * How long models with very many parts take: what is linear doubles where the model does.
 *
 *     npm run bench -- scale
 */

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { makeOptimizer } from "../fixtures/optimizer.ts";
import { float, model, Sketch } from "../fixtures/sketch.ts";
import {
  diffModels,
  findOptimizers,
  GraphFunction,
  GraphTensor,
  Node,
  printModel,
  Value,
} from "../src/entries/graph.ts";
import { buildTrainingArtifacts, insertAgr, type Model, readModel, stripAgr, writeModel } from "../src/index.ts";
import { type Row, table } from "./table.ts";

/** `layers` times MatMul, Add, Relu on rows of two numbers. */
function deepNetwork(layers: number): Model {
  const sketch = new Sketch("deep");
  sketch.input("x", float(["batch", 2]));
  let last = "x";
  for (let layer = 0; layer < layers; layer++) {
    sketch.initializer(`w${layer}`, GraphTensor.floats([2, 2], [1, 0.5, 0.25, layer]));
    sketch.initializer(`b${layer}`, GraphTensor.floats([2], [0, layer]));
    sketch.node("MatMul", [last, `w${layer}`], [`m${layer}`]);
    sketch.node("Add", [`m${layer}`, `b${layer}`], [`a${layer}`]);
    sketch.node("Relu", [`a${layer}`], [`r${layer}`]);
    last = `r${layer}`;
  }
  sketch.output(last, float(["batch", 2]));
  return model(sketch.graph, 8, [["", 17]]);
}

/** One parameter, then a chain of `nodes` nodes. */
function chain(nodes: number): Model {
  const sketch = new Sketch("chain");
  sketch.input("x", float(["batch", 2]));
  sketch.initializer("w", GraphTensor.floats([2, 2], [1, 0, 0, 1]));
  sketch.node("MatMul", ["x", "w"], ["v0"]);
  for (let at = 1; at < nodes; at++) sketch.node("Tanh", [`v${at - 1}`], [`v${at}`]);
  sketch.output(`v${nodes - 1}`, float(["batch", 2]));
  return model(sketch.graph, 8, [["", 17]]);
}

/** An optimizer model with a chain of `nodes` nodes beside the optimizer. */
function longOptimizer(nodes: number): Model {
  const made = makeOptimizer();
  const beside = chain(nodes).graph;
  for (const input of beside.inputs) made.graph.inputs.push(input);
  for (const value of beside.initializers) made.graph.initializers.push(value);
  const { nodes: moved } = beside;
  beside.replaceOutputs([]);
  beside.remove(moved);
  made.graph.append(moved);
  return made;
}

/** One parameter that `readers` nodes read, whose results are added up. */
function wide(readers: number): Model {
  const sketch = new Sketch("wide");
  sketch.input("x", float(["batch", 2]));
  sketch.initializer("w", GraphTensor.floats([2, 2], [1, 0, 0, 1]));
  sketch.node("MatMul", ["x", "w"], ["h"]);
  for (let at = 0; at < readers; at++) sketch.node("Tanh", ["h"], [`v${at}`]);
  sketch.node(
    "Sum",
    Array.from({ length: readers }, (_, at) => `v${at}`),
    ["y"],
  );
  sketch.output("y", float(["batch", 2]));
  return model(sketch.graph, 8, [["", 17]]);
}

/** `calls` calls of one function, one after another. */
function calling(calls: number): Model {
  const sketch = new Sketch("calls");
  sketch.input("x", float(["batch", 2]));
  sketch.initializer("w", GraphTensor.floats([2, 2], [1, 0, 0, 1]));
  sketch.node("MatMul", ["x", "w"], ["v0"]);
  for (let at = 1; at <= calls; at++) sketch.node("Step", [`v${at - 1}`], [`v${at}`], [], "own");
  sketch.output(`v${calls}`, float(["batch", 2]));
  const made = model(sketch.graph, 8, [
    ["", 17],
    ["own", 1],
  ]);
  const step = new GraphFunction("Step", "own");
  const [x, y] = [new Value("x"), new Value("y")];
  step.body.inputs.push(x);
  step.body.append(new Node("Tanh", [x], [y]));
  step.body.addOutput(y);
  step.opsets.set("", 17);
  made.functions.push(step);
  return made;
}

const build = (from: Model): Promise<unknown> => buildTrainingArtifacts(from, { loss: { kind: "mse" } });

async function readInsertWrite(from: Model, folder: string): Promise<void> {
  const path = join(folder, "model.onnx");
  await writeModel(path, from);
  const read = await readModel(path);
  findOptimizers(read);
  insertAgr(read, { count: 2 });
  await writeModel(path, read);
  stripAgr(read);
  diffModels(from, read);
  printModel(read);
}

/** What is done, the seconds it may take, the work of one size. */
const TASKS: readonly (readonly [string, number, number, (size: number, folder: string) => Promise<unknown>])[] = [
  ["build, layers of two parameters", 1000, 5, (size) => build(deepNetwork(size))],
  ["build, a chain of nodes", 20_000, 15, (size) => build(chain(size))],
  ["build, readers of one value", 20_000, 15, (size) => build(wide(size))],
  ["build, calls of a function", 20_000, 15, (size) => build(calling(size))],
  [
    "read, insert, write, strip, diff, print: nodes",
    200_000,
    20,
    (size, at) => readInsertWrite(longOptimizer(size), at),
  ],
];

/** Of the processor, which other processes do not lengthen as they do a clock's. */
async function cpuSeconds(work: () => Promise<unknown>): Promise<number> {
  const began = process.cpuUsage();
  await work();
  const { user, system } = process.cpuUsage(began);
  return (user + system) / 1e6;
}

export async function benchScale(): Promise<unknown> {
  const folder = mkdtempSync(join(tmpdir(), "onnx-agr-bench-"));
  const rows: Row[] = [];
  try {
    for (const [what, size, limit, work] of TASKS) {
      const half = await cpuSeconds(() => work(size / 2, folder));
      const seconds = await cpuSeconds(() => work(size, folder));
      rows.push({ what, size, seconds, limit, "of half": half });
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  console.error(table(rows));
  return rows;
}
