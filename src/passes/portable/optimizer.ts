import { GRADIENTS_METADATA } from "../../analysis/find-optimizers/portable.ts";
import { dropUnusedDomains } from "../../edits/unused-domains.ts";
import { DataType } from "../../graph/data-type.ts";
import { Graph, Node, Value } from "../../graph/graph.ts";
import { Model, ONNX_DOMAIN } from "../../graph/model.ts";
import { Names } from "../../graph/names.ts";
import { tensorType } from "../../graph/value-type.ts";
import { Builder } from "../../ops/builder.ts";
import { type ScalerState, withDynamicScale } from "../../optim/dynamic-loss-scale.ts";
import { makeOptimizer, type OptimizerOptions } from "../../optim/optimizers.ts";
import type { ParameterGroup } from "../../optim/parameter-groups.ts";
import type { Lookahead } from "../../optim/transform.ts";
import { writeOptimizer } from "../../optim/write-optimizer.ts";
import type { GradientPoint, OptimizerTarget, Trained, WrittenOptimizer } from "../../optim/written.ts";
import { giveCarried } from "../carried-state.ts";
import { lowerOwnModel } from "../lower-training-ops/index.ts";
import { recordState } from "../lower-training-ops/state.ts";
import { simplify } from "../simplify.ts";
import type { TrainingGraph } from "../training-graph.ts";
import { unrollOptimizer } from "../unroll-optimizer/index.ts";
import { constantState, namesOf } from "./gradients.ts";
import { moveForward } from "./lookahead.ts";
import type { StateTensor, StepModel } from "./step-model.ts";

/** The first IR version that has model-local functions, which AGR is. */
const FUNCTIONS_IR = 8;

/** What an optimizer is written from: a model of ONNX Runtime's that takes sequences, or a chain of transforms. */
export type OptimizerSource = Model | OptimizerOptions;

/** Where an optimizer wants gradients taken; null: at the parameters. */
export const lookaheadFor = (source: OptimizerSource): Lookahead | null =>
  source instanceof Model ? null : makeOptimizer(source).lookahead;

const withPoints = (trained: readonly Trained[], points: ReadonlyMap<Value, GradientPoint>): readonly Trained[] =>
  trained.map((each) => {
    const point = points.get(each.parameter);
    return point === undefined ? each : { ...each, point };
  });

function write(source: OptimizerSource, target: OptimizerTarget): WrittenOptimizer {
  return source instanceof Model ? unrollOptimizer(source, target) : writeOptimizer(makeOptimizer(source), target);
}

/** Functions and domains that the optimizer's nodes need beside ONNX's own. */
function takeOver(model: Model, source: OptimizerSource, domains: ReadonlySet<string>): void {
  if (!(source instanceof Model)) return;
  for (const each of source.functions) model.functions.push(each);
  const needed = new Set([...source.functions.map(({ domain }) => domain), ...domains]);
  for (const domain of needed) if (!model.opsets.has(domain)) model.opsets.set(domain, source.opsets.get(domain) ?? 1);
}

/** Writes an optimizer behind gradients that a graph has, and makes its state inputs and outputs. */
function addOptimizer(
  model: Model,
  optimizer: OptimizerSource,
  trained: readonly Trained[],
  groups: readonly ParameterGroup[],
  lossScale: TrainingGraph["lossScale"],
): Pick<StepModel, "state" | "learningRate" | "step" | "lossScale"> {
  const { graph } = model;
  const names = new Names(model);
  const learningRate = new Value(names.fresh("learning_rate"), tensorType(DataType.float, [1]));
  const step = new Value(names.fresh("step"), tensorType(DataType.int64, [1]));
  const build = new Builder({ prefix: "optimizer", names });
  const target = { build, names, opset: model.opset, learningRate, step, trained, groups };
  const { written: unrolling, scaler } =
    lossScale === null
      ? { written: write(optimizer, target), scaler: null }
      : withDynamicScale(target, lossScale.input, (own) => write(optimizer, own));
  takeOver(model, optimizer, new Set(build.nodes.map((node) => node.domain)));
  model.irVersion = Math.max(model.irVersion, FUNCTIONS_IR);
  graph.append(build.nodes);
  const ofScale = scaler === null ? [] : [scaler.scale, scaler.streak, scaler.skipped];
  const slots = [...unrolling.updates.flatMap((update) => update.slots), ...ofScale];
  graph.inputs.push(learningRate, step);
  const there = new Set(graph.inputs);
  graph.inputs.push(...slots.flatMap(({ input }) => (there.has(input) ? [] : [input])));
  const own = new Set<Node | null>(build.nodes);
  const given = new Set<Value>(unrolling.updates.map(({ gradient }) => gradient));
  /** Makes a value an output under the name of what it renews: a copy of it where it must keep its name. */
  const give = (name: string, value: Value, type: Value["type"]): string => {
    const keepsName = !own.has(value.producer) || given.has(value);
    const output = keepsName ? new Value("") : value;
    output.name = names.fresh(`${name}/next`);
    output.type = type;
    if (keepsName)
      graph.append(new Node("Identity", [value], [output], { name: names.fresh(`optimizer/${output.name}`) }));
    given.add(output);
    graph.addOutput(output);
    return output.name;
  };
  const typeOf = new Map(trained.map(({ name, parameter }) => [name, parameter.type]));
  const parameters = unrolling.updates.map(
    ({ name, next }): StateTensor => ({ name, next: give(name, next, typeOf.get(name) ?? null), kind: "parameter" }),
  );
  const moments = slots.map(
    ({ name, input, next, isScalar }): StateTensor => ({
      ...{ name: input.name, next: give(name, next, input.type), kind: "slot" },
      ...(isScalar === true ? { shape: [] } : {}),
      ...initialOf(input, scaler, lossScale?.initial ?? 0),
    }),
  );
  const state = [...parameters, ...moments];
  recordState(
    model,
    state.flatMap(({ name, next }) => (next === null ? [] : [[name, next] as const])),
  );
  model.metadata.set(
    GRADIENTS_METADATA,
    JSON.stringify(Object.fromEntries(unrolling.updates.map(({ gradient, name }) => [gradient.name, name]))),
  );
  return {
    ...{ state, learningRate: learningRate.name, step: step.name },
    ...(scaler === null ? {} : { lossScale: [scaler.scale.name, scaler.skipped.name] as const }),
  };
}

/** Where the state of the loss's scale begins, and its counts. */
function initialOf(input: Value, scaler: ScalerState | null, initial: number): Pick<StateTensor, "initial"> {
  if (input === scaler?.scale.input) return { initial };
  return input === scaler?.streak.input || input === scaler?.skipped.input ? { initial: 0 } : {};
}

/**
 * The second half of a step as a model of its own: gradients in, the next parameters and slots out.
 * @param training only its parameters are read
 * @throws as `unrollOptimizer` and `lowerOwnModel`
 */
export function makeApply(
  training: TrainingGraph,
  optimizer: OptimizerSource,
  groups: readonly ParameterGroup[] = [],
): StepModel {
  const graph = new Graph("apply");
  const model = new Model(training.model.irVersion, graph);
  model.opsets.set(ONNX_DOMAIN, training.model.opset);
  const trained = training.parameters.map(({ parameter: { name, type } }) => ({
    name,
    parameter: new Value(name, type),
    gradient: new Value(`${name}/gradient`, type),
  }));
  for (const { parameter, gradient } of trained) graph.inputs.push(parameter, gradient);
  const points = moveForward(
    model,
    trained.map(({ parameter }) => parameter),
    lookaheadFor(optimizer),
  );
  const lossScale =
    training.lossScale === null
      ? null
      : { ...training.lossScale, input: new Value(training.lossScale.input.name, training.lossScale.input.type) };
  const written = addOptimizer(model, optimizer, withPoints(trained, points), groups, lossScale);
  lowerOwnModel(model);
  simplify(model);
  dropUnusedDomains(model);
  const gradients = trained.map(({ name, gradient }) => [name, gradient.name] as const);
  return { model, inputs: [], outputs: [], ...written, reset: null, gradients };
}

/**
 * Makes a training graph a whole step: forward, backward and the optimizer's update. Changes the model of the graph it is given.
 * @throws as `unrollOptimizer` and `lowerOwnModel`
 */
export function toTrainStep(
  { model, inputs, outputs, parameters, constants, lossScale, carried }: TrainingGraph,
  optimizer: OptimizerSource,
  groups: readonly ParameterGroup[] = [],
): StepModel {
  const { graph } = model;
  const [fed, given] = [namesOf(inputs), namesOf(outputs)];
  const points = moveForward(
    model,
    parameters.map(({ parameter }) => parameter),
    lookaheadFor(optimizer),
  );
  const names = new Names(model);
  const trained = parameters.map(({ parameter, gradient }) => {
    const { name, type } = parameter;
    const edge = new Value(names.fresh(`${name}/gradient`), type);
    graph.append(new Node("Identity", [gradient], [edge], { name: names.fresh(`${name}/gradient/Identity`) }));
    return { name, parameter, gradient: edge };
  });
  graph.replaceOutputs(outputs);
  const written = addOptimizer(model, optimizer, withPoints(trained, points), groups, lossScale);
  const takenOver = giveCarried(model, names, carried);
  const { state: renewed } = lowerOwnModel(model);
  simplify(model);
  dropUnusedDomains(model);
  return {
    model,
    inputs: fed,
    outputs: given,
    ...written,
    state: [...written.state, ...constantState(constants, renewed), ...takenOver],
    reset: null,
    gradients: [],
  };
}
