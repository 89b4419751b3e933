import { attribute } from "../../graph/attribute.ts";
import { DataType } from "../../graph/data-type.ts";
import { Graph, Value } from "../../graph/graph.ts";
import { Model } from "../../graph/model.ts";
import { Names } from "../../graph/names.ts";
import { tensorType, type ValueType } from "../../graph/value-type.ts";
import { Builder } from "../../ops/builder.ts";
import { Formula } from "../../ops/formula.ts";
import type { StateTensor, StepModel } from "./step-model.ts";

/**
 * Runs a training step several times in one call: an ONNX `Loop` that carries the state, over inputs stacked along a new
 * first axis. The learning rates are [K, 1], `step` is the number of the first update; the outputs are stacked, too. So the
 * state crosses the border to the runtime's caller once for K steps. Changes the model it is given, which lies in the body
 * afterwards.
 */
export function repeatStep(step: StepModel): StepModel {
  const { model } = step;
  const outer = new Graph(`${model.graph.name}_repeated`);
  const body = model.graph;
  const names = new Names(model);
  const build = new Builder({ prefix: "repeat", names });
  const inner = new Builder({ prefix: "repeat/body", names });
  const f = new Formula(build, model.opset);
  const g = new Formula(inner, model.opset, DataType.int64);
  const inputs = new Map(body.inputs.map((value) => [value.name, value]));
  const take = (name: string): Value => {
    const value = inputs.get(name);
    if (value === undefined) throw new Error(`the step has no input "${name}"`);
    return value;
  };

  const iteration = new Value(names.fresh("repeat/iteration"), tensorType(DataType.int64, []));
  const going = new Value(names.fresh("repeat/going"), tensorType(DataType.bool, []));
  const perStep = [...step.inputs, ...(step.learningRate === null ? [] : [step.learningRate])];
  for (const name of perStep) {
    const value = take(name);
    const stacked = new Value(name, stackedType(value.type));
    outer.inputs.push(stacked);
    value.replaceAllUsesWith(g.gather(stacked, iteration, 0));
  }
  if (step.step !== null) {
    const value = take(step.step);
    const first = new Value(step.step, value.type);
    outer.inputs.push(first);
    value.replaceAllUsesWith(g.add(first, iteration));
  }
  const carried = step.state.filter(({ next }) => next !== null);
  const entering = carried.map(({ name }) => {
    const value = take(name);
    const first = new Value(name, value.type);
    outer.inputs.push(first);
    value.name = names.fresh(`repeat/${name}`);
    return first;
  });
  for (const { name, next } of step.state) if (next === null) outer.inputs.push(take(name));
  for (const each of body.initializers) outer.initializers.push(each);
  outer.clearValueInfo();

  const outputs = new Map(body.outputs.map((value) => [value.name, value]));
  const out = (name: string): Value => {
    const value = outputs.get(name);
    if (value === undefined) throw new Error(`the step has no output "${name}"`);
    return value;
  };
  const goes = inner.emit("Identity", [going]);
  goes.type = going.type;
  const renewed = carried.map(({ next }) => out(next ?? ""));
  const results = step.outputs.map(out);
  const whole = new Graph("body");
  whole.inputs.push(iteration, going);
  for (const { name } of carried) whole.inputs.push(take(name));
  const nodes = body.nodes;
  body.replaceOutputs([]);
  whole.append(inner.nodes, nodes);
  for (const value of [goes, ...renewed, ...results]) whole.addOutput(value);

  const count = f.reshape(f.dim(outerValue(outer, step.learningRate ?? step.inputs[0] ?? ""), 0), []);
  const made = build.emitAll("Loop", [count, null, ...entering], renewed.length + results.length, {
    attributes: [attribute.graph("body", whole)],
  });
  outer.append(build.nodes);
  const originals = [...renewed, ...results];
  for (const [index, value] of made.entries()) {
    const original = originals[index];
    if (original === undefined) continue;
    value.name = original.name;
    original.name = names.fresh(`repeat/${original.name}`);
    value.type = index < renewed.length ? original.type : stackedType(original.type);
    outer.addOutput(value);
  }
  const repeated = copyHeader(model, outer);
  return { ...step, model: repeated, state: step.state.map((each): StateTensor => ({ ...each })) };
}

function outerValue(graph: Graph, name: string): Value {
  const value = graph.inputs.find((each) => each.name === name);
  if (value === undefined) throw new Error(`the loop has no input "${name}"`);
  return value;
}

/** The same with one more axis in front, of unknown size. */
function stackedType(type: ValueType | null): ValueType | null {
  if (type?.kind !== "tensor") return type;
  return tensorType(type.dtype, type.shape === null ? null : [null, ...type.shape]);
}

function copyHeader(from: Model, graph: Graph): Model {
  const model = new Model(from.irVersion, graph);
  for (const [domain, version] of from.opsets) model.opsets.set(domain, version);
  for (const each of from.functions) model.functions.push(each);
  return model;
}
