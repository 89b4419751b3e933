import { AGR_DOMAIN } from "../../../edits/agr-domain.ts";
import { AGR_RECORD, originalOf } from "../../../edits/record.ts";
import { UsageError } from "../../../errors.ts";
import { dataTypeName, isGradientType } from "../../../graph/data-type.ts";
import { describeNode, Graph, type Node, type Value } from "../../../graph/graph.ts";
import { type Model, valuesReadBy } from "../../../graph/model.ts";
import type { Dimension } from "../../../graph/value-type.ts";
import { isOfFamily } from "../../../ops/operators/index.ts";
import type { Dialect, FindOptions, Found, GradientEdge, OptimizerSite, Refusal, Update, UpdateTerm } from "../site.ts";
import { Anatomy, dependsOn, madeCopies, narrows } from "./anatomy.ts";
import { type FlatStep, flatStep, valuesByName } from "./flat-step.ts";
import type { DominatorTree } from "./flow.ts";
import { knownShape } from "./known-shape.ts";
import { vectorLayers } from "./layers.ts";
import { lossesOf, pairState, type StatePair } from "./pair-state.ts";
import { findUpdate } from "./update-edge.ts";

const NAME = "plain-step";

/**
 * Whole training steps in plain operators, as PyTorch and JAX export them: parameters and optimizer state go in and come
 * out renewed, and no operator says "optimizer".
 *
 * The gradient of a parameter is the lowest tensor through which everything that the data contribute to the parameter's
 * renewal, and to its slots', must run; from there up through sums and scalings with what does not depend on the data
 * (which undoes weight decay and the factors of moments).
 */
export const plainStep: Dialect = {
  name: NAME,
  looksFor: "a whole train step in plain operators, state inputs renewed by outputs of like name",
  find(model: Model, options: FindOptions): Found {
    const refuse = (at: string, reason: string): Refusal => ({ dialect: NAME, node: null, at, reason });
    const flat = flatStep(model);
    const { pairs, open } = pairState(model, flat.graph, options.state ?? []);
    if (open.length > 0) {
      const flags = open.map((each) => `--state ${each}`).join(" ");
      return {
        sites: [],
        refusals: [refuse("the graph", `which output renews which input is not unique; say ${flags}`)],
      };
    }
    if (pairs.length === 0)
      return {
        sites: [],
        refusals: [refuse("the graph", "no input has an output that renews it by name and type, or by data flow")],
      };
    const losses = lossesOf(flat.graph, pairs);
    if (losses.length === 0) {
      return {
        sites: [],
        refusals: [
          refuse("the graph", "every output renews state; the loss must be an output, for it tells what is data"),
        ],
      };
    }
    const step = new Step(model, flat, pairs, losses, options);
    const refusals: Refusal[] = [];
    const edges: GradientEdge[] = [];
    for (const pair of step.parameters) {
      const found = step.gradientOf(pair);
      if (!("reason" in found)) edges.push(found);
      else if (found.isFrozen === true) refusals.push(refuse(`parameter "${pair.input.name}"`, found.reason));
      else {
        const parameter = { name: pair.input.name, shape: knownShape(pair.input) };
        refusals.push({ ...refuse(`parameter "${pair.input.name}"`, found.reason), parameter });
      }
    }
    return { sites: sitesOf(model.graph, edges), refusals };
  },
};

/** One site for each graph that gradients lie in: the main one, or a branch that holds the optimizer. */
function sitesOf(main: Graph, edges: readonly GradientEdge[]): readonly OptimizerSite[] {
  const graphOf = ({ value }: GradientEdge): Graph => value.producer?.graph ?? main;
  return [...new Set(edges.map(graphOf))].map((graph) => ({
    dialect: NAME,
    graph,
    name: graph.name,
    optimizer: "plain operators",
    edges: edges.filter((edge) => graphOf(edge) === graph),
    learningRate: null,
  }));
}

interface NoGradient {
  readonly reason: string;
  /** Nothing trains it: that is how the step was meant. */
  readonly isFrozen?: true;
}

class Step {
  readonly #model: Model;
  readonly #flat: FlatStep;
  readonly #anatomy: Anatomy;
  readonly #options: FindOptions;
  readonly #dominators: DominatorTree;
  readonly #told: ReadonlyMap<string, Value>;

  constructor(
    model: Model,
    flat: FlatStep,
    pairs: readonly StatePair[],
    losses: readonly Value[],
    options: FindOptions,
  ) {
    this.#model = model;
    this.#flat = flat;
    this.#options = options;
    this.#told = toldGradients(flat.graph, pairs, options.gradient ?? []);
    const { trainable } = options;
    const parameters = trainable === undefined ? {} : { parameters: new Set([...trainable, ...this.#told.keys()]) };
    this.#anatomy = new Anatomy(flat.graph, pairs, losses, parameters);
    this.#dominators = this.#anatomy.dominators();
  }

  /** State that takes part in the loss, or was said to be trained; slots, counters and rates are not among them. */
  get parameters(): readonly StatePair[] {
    const told = this.#anatomy.pairs.filter(({ input }) => this.#told.has(input.name));
    return [...new Set([...this.#anatomy.parameters, ...told])];
  }

  /** The gradient's edge, or why there is none. */
  gradientOf(pair: StatePair): GradientEdge | NoGradient {
    const group = [pair, ...this.#anatomy.slotsOf(pair)];
    const readers = this.#anatomy.memoryOf(pair);
    const told = this.#told.get(pair.input.name);
    const cut = told === undefined ? vectorLayers(pair.input) : null;
    if (cut !== null && "reason" in cut) return { reason: uncut(cut.reason) };
    if (told !== undefined) return this.#toldEdge(pair, told, readers);
    const outputs = group.map(({ output }) => output).filter((value) => this.#dominators.reaches(value));
    if (outputs.length === 0)
      return { reason: "nothing that depends on the data reaches its update: it has no gradient", isFrozen: true };
    for (const at of narrows(this.#dominators, group)) {
      const gradient = this.#undoScaling(at, pair);
      const { stranger, readsParameter } = this.#updateFrom(gradient, outputs, pair);
      if (stranger !== null) {
        const what = `"${gradient.name}", the lowest tensor its update depends on, and the update stands ${describeNode(stranger)}`;
        return {
          reason: `between ${what}; if that is the gradient, say --gradient ${gradient.name}=${pair.input.name}`,
        };
      }
      if (readsParameter) return this.#edge(pair, gradient, readers);
    }
    return { reason: "its update reads the data in several places, through no one tensor" };
  }

  /**
   * State that the gradient itself is made of (an accumulator) keeps what it was: AGR comes after the sum.
   * @throws UsageError `E_GRADIENT`
   */
  #toldEdge(pair: StatePair, told: Value, group: readonly StatePair[]): GradientEdge {
    const after = group.filter((each) => each === pair || !dependsOn(told, [each.input]));
    const edge = madeCopies(pair.output).includes(told)
      ? { reason: "it is what the update makes of the parameter" }
      : this.#edge(pair, told, after);
    const reason = "reason" in edge ? edge.reason : "nothing between it and the renewal of the parameter reads it";
    if (!("reason" in edge) && edge.uses.length > 0) return edge;
    throw new UsageError("E_GRADIENT", `"${told.name}" cannot be the gradient of "${pair.input.name}": ${reason}`, {
      field: `${told.name}=${pair.input.name}`,
      hint: "Write --gradient <tensor>=<parameter input> with a tensor of the parameter's type that its update reads.",
    });
  }

  #edge(pair: StatePair, read: Value, group: readonly StatePair[]): GradientEdge | NoGradient {
    const type = pair.input.type?.kind === "tensor" ? pair.input.type : null;
    const declared = read.type?.kind === "tensor" ? read.type : null;
    const dtype = declared?.dtype ?? type?.dtype ?? 0;
    if (!isGradientType(dtype))
      return { reason: `its gradient "${read.name}" is ${dataTypeName(dtype)}, not floating point` };
    const shape = knownShape(pair.input);
    if (declared?.shape && shape !== null && significant(declared.shape) !== significant(shape)) {
      return {
        reason: `the lowest tensor its update depends on, "${read.name}", has shape [${declared.shape.join(",")}] and not the parameter's [${shape.join(",")}]`,
      };
    }
    const origin = this.#flat.originOf(read);
    if (origin === null) return { reason: `"${read.name}" lies in both branches of an If` };
    const reported = this.#options.reported === "regularized";
    const uses = read.uses
      .filter((use) => this.#anatomy.useLeadsTo(use, group) || (reported && use.user instanceof Graph))
      .map((use) => this.#flat.originOfUse(use))
      .filter((use) => use !== null);
    const value = originalOf(this.#model, AGR_RECORD, origin);
    const cut = vectorLayers(pair.input);
    const layers = cut !== null && "layers" in cut ? { layers: cut.layers } : {};
    const update = (): Update => this.#updateOf(pair, read);
    return { value, uses, kind: "tensor", dtype, parameter: { name: pair.input.name, shape }, ...layers, update };
  }

  #updateOf(pair: StatePair, gradient: Value): Update {
    const { graph, pairs, data } = this.#anatomy;
    const copies = new Set(
      madeCopies(pair.output).flatMap(({ producer }) => (producer?.opType === "Cast" ? producer.inputs : [])),
    );
    const masters = pairs.filter(({ output }) => [output, ...madeCopies(output)].some((value) => copies.has(value)));
    const others = pairs.filter((each) => each !== pair && !masters.includes(each)).map(({ input }) => input);
    const found = findUpdate({
      graph,
      pair,
      masters,
      others: others.filter(({ type }) => type?.kind !== "tensor" || type.shape?.every((dim) => dim === 1) !== true),
      data,
      gradients: new Set([...this.#told.values(), gradient]),
    });
    if ("reason" in found) return found;
    const renewal = this.#flat.originOf(found.renewal);
    const terms = found.terms.flatMap((term): UpdateTerm[] => {
      const [value, use] = [this.#flat.originOf(term.value), this.#flat.originOfUse(term.use)];
      return value === null || use === null || use.user instanceof Graph ? [] : [{ ...term, value, use }];
    });
    return renewal === null || terms.length < found.terms.length
      ? { reason: "its update lies in both branches of an If" }
      : { terms, renewal };
  }

  /** Up through sums and products whose other operands do not depend on the data. */
  #undoScaling(from: Value, pair: StatePair): Value {
    const others = this.#anatomy.parameters.filter((each) => each !== pair).map(({ input }) => input);
    let value = from;
    for (;;) {
      const { producer } = value;
      if (producer === null || !isOfFamily("linear", producer)) return value;
      const operands = producer.inputs.filter((input) => input !== null && this.#dominators.reaches(input));
      const [operand] = operands;
      if (operands.length !== 1 || !operand) return value;
      if (valuesReadBy(producer).some((input) => input !== operand && dependsOn(input, others))) return value;
      if (producer.opType === "Div" && producer.inputs[0] !== operand) return value;
      value = operand;
    }
  }

  /**
   * What stands between a tensor and the outputs: a node that optimizers do not have (then the tensor is no gradient), and
   * whether the parameter itself is read there (if not, the tensor has the parameter in it already).
   */
  #updateFrom(
    gradient: Value,
    outputs: readonly Value[],
    pair: StatePair,
  ): { readonly stranger: Node | null; readonly readsParameter: boolean } {
    const pending = [...outputs];
    const seen = new Set<Value>([gradient]);
    let readsParameter = false;
    for (let value = pending.pop(); value !== undefined; value = pending.pop()) {
      if (seen.has(value) || value.producer === null) continue;
      seen.add(value);
      const { producer } = value;
      const isArithmetic = isOfFamily("elementwise", producer) || isOfFamily("reduction", producer);
      const known = producer.domain === AGR_DOMAIN || isArithmetic;
      if (!known) return { stranger: producer, readsParameter };
      for (const operand of valuesReadBy(producer)) {
        if (this.#dominators.reaches(operand)) pending.push(operand);
        else readsParameter ||= dependsOn(operand, [pair.input]);
      }
    }
    return { stranger: null, readsParameter };
  }
}

/** Why a vector of layers has no AGR. */
export const uncut = (reason: string): string =>
  `it is one vector that the network cuts into layers, and which they are is not told: ${reason}; with its gradient named, AGR takes one sum over all of it`;

/** A shape without leading ones: broadcasting adds them. */
function significant(shape: readonly Dimension[]): string {
  const first = shape.findIndex((dim) => dim !== 1);
  return shape.slice(first < 0 ? shape.length : first).join();
}

/** @throws UsageError `E_GRADIENT` */
function toldGradients(graph: Graph, pairs: readonly StatePair[], told: readonly string[]): ReadonlyMap<string, Value> {
  const values = valuesByName(graph);
  return new Map(
    told.map((each) => {
      const at = each.indexOf("=");
      const [tensor, parameter] = [each.slice(0, at), each.slice(at + 1)];
      const value = values.get(tensor);
      const isState = pairs.some(({ input }) => input.name === parameter);
      if (at > 0 && value !== undefined && isState) return [parameter, value];
      const problem =
        at <= 0
          ? "is not of the form <tensor>=<parameter input>"
          : value === undefined
            ? `names a tensor "${tensor}" that the graph does not have`
            : `names a parameter "${parameter}" that is no input with a renewal`;
      throw new UsageError("E_GRADIENT", `"${each}" ${problem}`, {
        field: each,
        hint: `Write --gradient <tensor>=<parameter input>; state is ${pairs.map(({ input }) => input.name).join(", ")}.`,
      });
    }),
  );
}
