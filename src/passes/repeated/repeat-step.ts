import { attribute } from "../../graph/attribute.ts";
import { DataType } from "../../graph/data-type.ts";
import { Graph, Value } from "../../graph/graph.ts";
import { Model } from "../../graph/model.ts";
import { Names } from "../../graph/names.ts";
import { removeUnusedNodes } from "../../graph/unused-nodes.ts";
import { Builder } from "../../ops/builder.ts";
import { Formula } from "../../ops/formula.ts";
import { inferTypes } from "../../ops/inference/infer-types.ts";
import { rankOf } from "../../ops/value-types.ts";
import type { StateTensor, StepModel } from "../portable/step-model.ts";
import { type Stacked, stackedType, stackNodes } from "./stack-nodes.ts";

/**
 * Runs a training step several times in one call: an ONNX `Scan` that carries the state, over inputs stacked along a new
 * first axis. The learning rates are [K, 1], `step` is the number of the first update; the outputs are stacked, too. So the
 * state crosses the border to the runtime's caller once for K steps, and what depends on inputs alone is computed once, for all of them.
 * Changes the model it is given, which lies in the body afterwards.
 * @returns null where it gives something whose number of axes is not known, which ONNX Runtime's `Scan` does not take
 */
export function repeatStep(step: StepModel): StepModel | null {
  const { model } = step;
  inferTypes(model);
  if (model.graph.outputs.some((value) => rankOf(value) === null)) return null;
  const body = model.graph;
  const names = new Names(model);
  const outer = new Graph(`${body.name}_repeated`);
  const build = new Builder({ prefix: "repeat", names });
  const inner = new Builder({ prefix: "repeat/body", names });
  const inputs = new Map(body.inputs.map((value) => [value.name, value]));
  /** An input of the step, which has another name from now on, and the input of the loop in its place. */
  const enter = (name: string, typeOf: (type: Value["type"]) => Value["type"]): Stacked => {
    const each = required(inputs, name);
    const first = new Value(name, typeOf(each.type));
    outer.inputs.push(first);
    each.name = names.fresh(`repeat/${name}`);
    return { each, all: first };
  };

  const perStep = [...step.inputs, ...(step.learningRate === null ? [] : [step.learningRate])];
  const stacked = perStep.map((name) => enter(name, stackedType));
  if (step.step !== null) {
    const { each, all } = enter(step.step, (type) => type);
    const f = new Formula(build, model.opset, DataType.int64);
    const count = f.reshape(f.dim(firstOf(stacked), 0), []);
    stacked.push({ each, all: f.reshape(f.add(all, f.range(count)), [-1, 1]) });
  }
  const carried = step.state.filter(({ next }) => next !== null);
  const entering = carried.map(({ name }) => enter(name, (type) => type));
  for (const { name, next } of step.state) if (next === null) outer.inputs.push(required(inputs, name));
  outer.replaceInitializers(body.initializers);
  body.replaceInitializers([]);
  const outputNames = body.outputs.map(({ name }) => name);
  const scanned = stackNodes(body, stacked, new Formula(build, model.opset));
  const outputs = new Map(body.outputs.map((value, index) => [outputNames[index] ?? "", value]));
  const renewed = carried.map(({ next }) => required(outputs, next ?? ""));
  const results = step.outputs.map((name) => required(outputs, name));
  /** What a body gives, its own nodes make. */
  const made = [...renewed, ...results].map((value) => {
    if (value.producer?.graph === body) return value;
    const copy = inner.emit("Identity", [value]);
    copy.type = value.type;
    return copy;
  });
  const whole = new Graph("body");
  whole.inputs.push(...[...entering, ...scanned].map(({ each }) => each));
  const nodes = body.nodes;
  body.replaceOutputs([]);
  whole.append(nodes, inner.nodes);
  for (const value of made) whole.addOutput(value);

  const given = build.emitAll(
    "Scan",
    [...entering, ...scanned].map(({ all }) => all),
    made.length,
    {
      attributes: [attribute.graph("body", whole), attribute.int("num_scan_inputs", scanned.length)],
    },
  );
  outer.append(build.nodes);
  const givenNames = [...carried.map(({ next }) => next ?? ""), ...step.outputs];
  for (const [index, value] of given.entries()) {
    const [last, name = ""] = [made[index], givenNames[index]];
    if (last === undefined) continue;
    if (last.name === name) last.name = names.fresh(`repeat/${name}`);
    value.name = name;
    value.type = index < renewed.length ? last.type : stackedType(last.type);
    outer.addOutput(value);
  }
  removeUnusedNodes(outer);
  const repeated = copyHeader(model, outer);
  return { ...step, model: repeated, state: step.state.map((each): StateTensor => ({ ...each })) };
}

function required(values: ReadonlyMap<string, Value>, name: string): Value {
  const value = values.get(name);
  if (value === undefined) throw new Error(`the step has no "${name}"`);
  return value;
}

function firstOf(stacked: readonly Stacked[]): Value {
  const [first] = stacked.toReversed();
  if (first === undefined) throw new Error("the step has no input that differs from step to step");
  return first.all;
}

function copyHeader(from: Model, graph: Graph): Model {
  const model = new Model(from.irVersion, graph);
  for (const [domain, version] of from.opsets) model.opsets.set(domain, version);
  for (const each of from.functions) model.functions.push(each);
  return model;
}
