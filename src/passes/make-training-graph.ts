import { notesOfAdapters } from "../analysis/parameters/adapters.ts";
import { chooseParameters, type ParameterChoice } from "../analysis/parameters/choose.ts";
import { layersBehind } from "../analysis/parameters/depths.ts";
import { notesOfTies } from "../analysis/parameters/ties.ts";
import { removeDeadNodes } from "../edits/dead-nodes.ts";
import { GraphError, type OnnxAgrError, PassError } from "../errors.ts";
import type { NamedTensor } from "../graph/attribute.ts";
import { dataTypeName } from "../graph/data-type.ts";
import { type Graph, type Node, Value } from "../graph/graph.ts";
import type { Model } from "../graph/model.ts";
import { Names } from "../graph/names.ts";
import { tensorType } from "../graph/value-type.ts";
import { inferTypes } from "../ops/inference/infer-types.ts";
import { globOf } from "../ops/name-globs.ts";
import { setPaddingRow } from "../ops/padding-row.ts";
import { addGradients } from "./add-gradients.ts";
import { addLoss, type LossOptions } from "./add-loss.ts";
import { type CarriedState, carriedIn, notesOfCarried, zerosFor } from "./carried-state.ts";
import { notesOfProducts, writeConvolutionProducts } from "./convolution-products.ts";
import { decompose } from "./decompose/index.ts";
import { COMPOUNDS } from "./decompose/table.ts";
import { type InitializeOptions, initialize } from "./initialize.ts";
import { writeOnReals } from "./integer-operators.ts";
import { HALVES } from "./lift-precision.ts";
import { addLora, type LoraOptions } from "./lora.ts";
import { chosenOutput, lossOutputOf, whereGradientsEnd } from "./loss-output.ts";
import { type LowPrecision, roundProducts } from "./mixed-precision.ts";
import type { Skipped } from "./pass.ts";
import { type ForwardOptions, prepareForward } from "./prepare-forward.ts";
import { prepareEvaluation, prepareTraining } from "./prepare-training.ts";
import { hasQuantizedWeights, restoreRealWeights, withoutRounding } from "./quantized-weights.ts";
import { type HeadOptions, replaceHead } from "./replace-head.ts";
import { type LossScale, scaleLoss } from "./scale-loss.ts";
import { simplifyGradients } from "./simpler-gradients.ts";
import type { TrainingGraph } from "./training-graph.ts";
import { declaredOtherwise, mergedByChance, warningsOf, withoutUse } from "./warnings.ts";
import { withoutParameters } from "./without-parameters.ts";

export interface TrainingGraphOptions extends ParameterChoice, ForwardOptions {
  readonly loss: LossOptions;
  /** Adds low-rank adapters and trains them alone. Default: none. */
  readonly lora?: LoraOptions;
  /** Puts a fresh last layer in the place of the model's, for other classes. Default: not. */
  readonly head?: HeadOptions;
  /** Parameters that begin anew. Default: none. */
  readonly initialize?: readonly InitializeOptions[];
  /**
   * Trains through quantization by straight-through estimation, and weights that are held as integers. `unrounded`: the pairs limit
   * their input and do not round, so that differences can be taken. Default false: what lies before a quantization is refused.
   */
  readonly quantizationAware?: boolean | "unrounded";
  /**
   * Inputs that take over an output of the batch before, by name: `{ h0: "hn" }`. No gradient goes back to that batch. They begin an
   * epoch with zeros. Default: none.
   */
  readonly carry?: Readonly<Record<string, string>>;
  /** Seed of the head and of `initialize`. Default 0. */
  readonly initSeed?: number;
  /** What products take and give, with parameters in float32, and what the loss is multiplied by. Default: all is float32. */
  readonly mixed?: { readonly precision: LowPrecision; readonly lossScale: LossScale | null };
  /** Whether wide 3x3 convolutions are trained as Winograd's products where these cost less; they round to 2e-6 of the largest result. Default true. */
  readonly winograd?: boolean;
}

/** The graph that trains a forward model, and the model that evaluates it, with the tensors that both take as inputs. */
export interface TrainingGraphs {
  readonly training: TrainingGraph;
  /** The loss is the first output. */
  readonly evaluation: Model;
  readonly trainable: readonly NamedTensor[];
  /** Parameters without a gradient, and running statistics. */
  readonly frozen: readonly NamedTensor[];
  readonly skipped: readonly Skipped[];
  readonly notes: readonly string[];
  /** How many layers lie between a trained parameter and the loss, by name. */
  readonly depths: ReadonlyMap<string, number>;
}

/**
 * Makes a forward model one whose parameters are inputs and that computes their gradients, and one for evaluation. Both models
 * it is given are changed.
 * @param forward the model, and a second copy of it
 * @param rows `all`: padding rows of embeddings too get the loss's gradient, as finite differences have it
 * @throws PassError `E_OPSET`, `E_NO_UPGRADE`, `E_NO_PARAMETERS`, `E_LOSS`, `E_PRECISION`; GradientError; UsageError `E_OUTPUT`, `E_OPTION`
 */
export function makeTrainingGraphs(
  [training, evaluation]: readonly [Model, Model],
  options: TrainingGraphOptions,
  rows: "as trained" | "all" = "as trained",
): TrainingGraphs {
  const declared = new Map(training.graph.outputs.map(({ name, type }) => [name, type]));
  const [{ notes, roles }] = [prepareForward(training, options), prepareForward(evaluation, options)];
  if (rows === "all") for (const node of training.graph) setPaddingRow(node, null);
  const [onReals = null] = [training, evaluation].map(writeOnReals);
  const idle = withoutUse(training, options);
  const { quantizationAware = false, lora, mixed } = options;
  const isQuantized = !quantizationAware && hasQuantizedWeights(training);
  const [weights = null] = [training, evaluation].map((model) =>
    quantizationAware ? restoreRealWeights(model) : null,
  );
  if (quantizationAware === "unrounded") {
    for (const model of [training, evaluation]) {
      inferTypes(model);
      withoutRounding(model);
    }
  }
  const [changes = []] = [training, evaluation].map((model) => beginAnew(model, options));
  const [adapters] = lora === undefined ? [] : [training, evaluation].map((model) => addLora(model, lora));
  const refusals = new Map<Node, OnnxAgrError>();
  decompose(training, COMPOUNDS, (node, error) => refusals.set(node, error));
  const { statistics, notes: modes } = prepareTraining(training, options.batchNorm);
  prepareEvaluation(evaluation);
  const types = inferTypes(training);
  const scores = lossOutputOf(training, options.loss.output);
  const warnings = [
    ...chosenOutput(training, scores, options.loss.output),
    ...declaredOtherwise(scores, declared.get(scores.name) ?? null),
    ...warningsOf(training.graph, scores, options.loss.kind),
  ];
  const end = whereGradientsEnd([scores, ...training.graph.outputs]);
  const { loss } = addLoss(training, options.loss, (node) => types.node(node));
  types.graph(training.graph);
  const choice = chooseParameters(
    training,
    statistics,
    roles,
    adapters === undefined ? options : { ...options, parameters: adapters.map(globOf) },
  );
  const { candidates, frozen, skipped } = choice;
  requireSingle(candidates);
  const depths = layersBehind(training.graph, candidates);
  /** What an exported program shares, it says. */
  const untold = candidates.filter(({ name }) => !roles.has(name));
  const isChosen = options.parameters !== undefined || (options.freeze ?? []).length > 0 || adapters !== undefined;
  const chosen = isChosen ? [] : notesOfAdapters(candidates.map(({ name }) => name));
  const shared = [...modes, ...mergedByChance(candidates), ...notesOfTies(untold), ...chosen, ...choice.notes];
  const rounded = mixed === undefined ? [] : roundProducts(training, mixed.precision, types);
  simplifyGradients(training, types);
  const products = writeConvolutionProducts(training, types, options.winograd ?? true);
  const scaled = scaleLoss(training, loss, mixed?.lossScale ?? null, types);
  const gradients = scaled.unscale(
    addGradients(training, scaled.loss, candidates, types, { straightThrough: quantizationAware !== false, refusals }),
  );
  const reached = candidates.filter((value) => gradients.has(value));
  if (reached.length === 0) {
    throw new PassError("E_NO_PARAMETERS", "the loss depends on no parameter that could be trained", {
      field: loss.name,
      hint: isQuantized ? QUANTIZED_HINT : withoutParameters({ candidates, frozen, constants: skipped, end }),
    });
  }
  const unreached = candidates.filter((value) => !gradients.has(value));
  const carried = carriedIn(training.graph, options.carry ?? {}, options.mixed !== undefined);
  const placeOf = keepAlive(training.graph, loss, gradients, carried);
  removeDeadNodes(training.graph);
  const held = [...reached, ...frozen.filter((value) => value.uses.length > 0), ...statistics];
  const order = training.graph.initializers.filter(among(held));
  const isCarried = among(carried.map(({ input }) => input));
  const inputs = training.graph.inputs.filter((value) => !isCarried(value));
  const takenOver = training.graph.inputs.filter(isCarried);
  training.graph.replaceInputs(inputs);
  moveToInputs(training, order);
  training.graph.inputs.push(...takenOver);
  if (scaled.scale !== null) training.graph.inputs.push(scaled.scale.input);
  finishEvaluation(evaluation, { ...options.loss, output: scores.name }, order);
  const isReached = among(reached);
  const isConstant = (value: Value): boolean => !isReached(value);
  const named = (values: readonly Value[]): NamedTensor[] =>
    values.flatMap(({ name, tensor }) => (tensor === null ? [] : [{ name, tensor }]));
  const result: TrainingGraphs = {
    training: {
      model: training,
      inputs,
      outputs: training.graph.outputs.slice(0, 1),
      parameters: order.filter(isReached).map((parameter) => ({ parameter, gradient: placeOf(parameter) })),
      constants: order.filter(isConstant),
      lossScale: scaled.scale,
      carried: carried.map(({ input, next }) => ({ input, next: placeOf(next) })),
    },
    evaluation,
    trainable: named(order.filter(isReached)),
    frozen: [...named(order.filter(isConstant)), ...zerosFor(carried)],
    skipped: [
      ...skipped,
      ...(weights?.left ?? []),
      ...unreached.map(({ name }) => ({ at: name, reason: "the loss does not depend on it" })),
    ],
    notes: [
      ...notes,
      ...shared,
      ...(onReals === null ? [] : [onReals]),
      ...rounded,
      ...notesOfProducts(products),
      ...(weights === null || weights.restored.length === 0
        ? []
        : [`held as integers, and trained as real numbers: ${weights.restored.join(", ")}`]),
      ...(isQuantized ? [`weights that are held as integers are not trained. ${QUANTIZED_HINT}`] : []),
      ...changes,
      ...idle,
      ...warnings,
      ...notesOfCarried(carried),
    ],
    depths: new Map(reached.map((value) => [value.name, depths.get(value) ?? 0])),
  };
  for (const value of order) value.tensor = null;
  return result;
}

/**
 * Makes the loss, the gradients and what is carried the graph's outputs.
 * @returns the gradient of a parameter, and what is carried, also where another value has taken its place since
 */
function keepAlive(
  graph: Graph,
  loss: Value,
  gradients: ReadonlyMap<Value, Value>,
  carried: readonly CarriedState[],
): (parameter: Value) => Value {
  const kept = carried.map(({ next }) => next);
  const distinct = [...new Set([loss, ...gradients.values(), ...kept])];
  graph.replaceOutputs(distinct);
  const pairs = [...gradients, ...kept.map((next) => [next, next] as const)];
  const places = new Map(pairs.map(([parameter, gradient]) => [parameter, distinct.indexOf(gradient)]));
  return (parameter) => {
    const gradient = graph.outputs[places.get(parameter) ?? -1];
    if (gradient === undefined) throw new GraphError("E_GRAPH", `"${parameter.name}" has no gradient`);
    return gradient;
  };
}

function among(values: readonly Value[]): (value: Value) => boolean {
  const set = new Set(values);
  return (value) => set.has(value);
}

/** Cuts the model at the tensor that the loss is computed from, and gives it a fresh head and other values, as is asked for. */
function beginAnew(
  model: Model,
  { loss, head, initialize: anew = [], initSeed = 0 }: TrainingGraphOptions,
): readonly string[] {
  const end = cutAt(model.graph, loss.output);
  const renewed = head === undefined ? null : replaceHead(model, head, loss.output, initSeed);
  const begun = initialize(model.graph, anew, initSeed);
  return [
    ...(end === null ? [] : [`the model ends at "${end}", which was no output of it`]),
    ...(renewed === null ? [] : [renewed]),
    ...(begun.length === 0 ? [] : [`begins anew: ${begun.map(([name, kind]) => `${name} (${kind})`).join(", ")}`]),
  ];
}

/** Makes a tensor inside the graph its only output. @returns its name; null where it is an output, or there is none */
function cutAt(graph: Graph, name: string | undefined): string | null {
  if (name === undefined || graph.outputs.some((output) => output.name === name)) return null;
  const inner = graph.nodes.flatMap(({ outputs }) => outputs).find((output) => output?.name === name);
  if (!inner) return null;
  graph.replaceOutputs([inner]);
  removeDeadNodes(graph);
  return name;
}

/** @throws PassError `E_PRECISION` for parameters of half precision: updates smaller than their rounding would be lost */
function requireSingle(candidates: readonly Value[]): void {
  const half = candidates.filter(({ tensor }) => tensor !== null && HALVES.has(tensor.dtype));
  const [first] = half;
  if (first?.tensor === undefined || first.tensor === null) return;
  const others = half.length === 1 ? "" : ` and ${half.length - 1} more`;
  throw new PassError(
    "E_PRECISION",
    `the parameter "${first.name}"${others} ${half.length === 1 ? "is" : "are"} of type ${dataTypeName(first.tensor.dtype)}, in which nothing is trained`,
    {
      field: first.name,
      hint: "Train the model in float32 with --precision float32, in mixed precision with --precision float16 or bfloat16, or its other parameters alone: --freeze takes globs.",
    },
  );
}

const QUANTIZED_HINT = "Train them with --qat (straight-through estimation).";

/** Parameters become inputs, after the user's. */
function moveToInputs({ graph }: Model, values: readonly Value[]): void {
  const moved = new Set(values);
  for (const value of values) graph.inputs.push(value);
  graph.replaceInitializers(graph.initializers.filter((value) => !moved.has(value)));
}

/** The loss is the first output; the parameters are inputs in the training model's order. */
function finishEvaluation(model: Model, loss: LossOptions, order: readonly Value[]): void {
  const { graph } = model;
  inferTypes(model);
  addLoss(model, loss);
  const own = new Map(graph.initializers.map((value) => [value.name, value]));
  const names = new Names(model);
  const values = order.map(({ name, type }) => own.get(name) ?? new Value(names.fresh(name), type));
  moveToInputs(model, values);
  for (const value of values) {
    const { tensor } = value;
    value.type ??= tensor === null ? null : tensorType(tensor.dtype, tensor.dims);
    value.tensor = null;
  }
  removeDeadNodes(graph);
}
