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
import { computeBefore, computeBehind, findBehind } from "./around.ts";
import { raiseByMax } from "./raise-by-max.ts";
import { type Stacked, Stacker, stackedType } from "./stacker.ts";

/**
 * Runs a training step several times in one call: an ONNX `Scan` that carries the state, over inputs stacked along a new
 * first axis. The learning rates are [K, 1], `step` is the number of the first update; the outputs are stacked, too. So the
 * state crosses the border to the runtime's caller once for K steps, and what depends on inputs alone, or what nothing else depends on, is
 * computed once, for all of them. Changes the model it is given, which lies in the body afterwards.
 * @returns null where it gives something whose number of axes is not known, which ONNX Runtime's `Scan` does not take
 */
export function repeatStep(step: StepModel): StepModel | null {
  const { model } = step;
  inferTypes(model);
  if (model.graph.outputs.some((value) => rankOf(value) === null)) return null;
  const body = model.graph;
  raiseByMax(body);
  const names = new Names(model);
  const outer = new Graph(`${body.name}_repeated`);
  const build = new Builder({ prefix: "repeat", names });
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
    const count = f.reshape(f.dim(lastOf(stacked), 0), []);
    stacked.push({ each, all: f.reshape(f.add(all, f.range(count)), [-1, 1]) });
  }
  const carried = step.state.filter(({ next }) => next !== null);
  const entering = carried.map(({ name }) => enter(name, (type) => type));
  for (const { name, next } of step.state) if (next === null) outer.inputs.push(required(inputs, name));
  outer.replaceInitializers(body.initializers);
  body.replaceInitializers([]);

  const outputNames = body.outputs.map(({ name }) => name);
  const stacker = new Stacker(new Formula(build, model.opset));
  for (const each of stacked) stacker.add(each);
  computeBefore(body, stacker);
  const outputs = new Map(body.outputs.map((value, index) => [outputNames[index] ?? "", value]));
  const renewed = carried.map(({ next }) => required(outputs, next ?? ""));
  const results = step.outputs.map((name) => required(outputs, name));
  const behind = findBehind(body, results, stacker, { names: new Names(model), opset: model.opset });
  for (const value of new Set([...renewed, ...results])) value.name = names.fresh(`repeat/${value.name}`);

  body.replaceOutputs([]);
  body.remove(...behind.nodes);
  const read = stacker.stacked.filter(({ each }) => each.isUsed);
  /** A `Scan` needs something that says how many steps there are. */
  const scanned = read.length > 0 ? read : stacked.slice(0, 1);
  const whole = bodyOf(body, [...entering, ...scanned], [...renewed, ...behind.read], names);
  const given = build.emitAll(
    "Scan",
    [...entering, ...scanned].map(({ all }) => all),
    whole.outputs.length,
    {
      attributes: [attribute.graph("body", whole), attribute.int("num_scan_inputs", scanned.length)],
    },
  );
  for (const [index, value] of given.entries()) {
    const each = whole.outputs[index];
    value.type = (index < renewed.length ? each?.type : stackedType(each?.type ?? null)) ?? null;
  }
  for (const [index, each] of behind.read.entries()) {
    const all = given[renewed.length + index];
    if (all !== undefined) stacker.add({ each, all });
  }
  computeBehind(behind, stacker);
  const made = [...given.slice(0, renewed.length), ...results.map((value) => stacker.of(value))];
  declare(outer, made, [...carried.map(({ next }) => next ?? ""), ...step.outputs], stacker.f);
  outer.append(build.nodes);
  removeUnusedNodes(outer);
  const repeated = copyHeader(model, outer);
  return { ...step, model: repeated, state: step.state.map((each): StateTensor => ({ ...each })) };
}

function required(values: ReadonlyMap<string, Value>, name: string): Value {
  const value = values.get(name);
  if (value === undefined) throw new Error(`the step has no "${name}"`);
  return value;
}

function lastOf(stacked: readonly Stacked[]): Value {
  const last = stacked.at(-1);
  if (last === undefined) throw new Error("the step has no input that differs from step to step");
  return last.all;
}

/** A graph of its own of a step's nodes. What it gives, they make, each once: what they do not make is copied, and what it gives twice. */
function bodyOf(step: Graph, entering: readonly Stacked[], given: readonly Value[], names: Names): Graph {
  const build = new Builder({ prefix: "repeat/body", names });
  const made = given.map((value, index) => {
    if (value.producer?.graph === step && given.indexOf(value) === index) return value;
    const copy = build.emit("Identity", [value]);
    copy.type = value.type;
    return copy;
  });
  const body = new Graph("body");
  body.inputs.push(...entering.map(({ each }) => each));
  body.append(step.nodes, build.nodes);
  for (const value of made) body.addOutput(value);
  return body;
}

/** Makes values the outputs of a graph, under these names; copies of those that are its inputs, or an output already. */
function declare(graph: Graph, values: readonly Value[], names: readonly string[], f: Formula): void {
  const taken = new Set(graph.inputs);
  for (const [index, value] of values.entries()) {
    const output = taken.has(value) ? f.identity(value) : value;
    output.type = value.type;
    output.name = names[index] ?? "";
    taken.add(value);
    graph.addOutput(output);
  }
}

function copyHeader(from: Model, graph: Graph): Model {
  const model = new Model(from.irVersion, graph);
  for (const [domain, version] of from.opsets) model.opsets.set(domain, version);
  for (const each of from.functions) model.functions.push(each);
  return model;
}
