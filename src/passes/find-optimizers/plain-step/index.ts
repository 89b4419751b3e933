import { UsageError } from "../../../errors.ts";
import { dataTypeName, isGradientType } from "../../../graph/data-type.ts";
import { describeNode, Graph, type Node, type Use, type Value } from "../../../graph/graph.ts";
import { type Model, valuesReadBy } from "../../../graph/model.ts";
import { ELEMENTWISE, LINEAR, REDUCTIONS } from "../../../ops/families.ts";
import { AGR_DOMAIN } from "../../agr-domain.ts";
import { AGR_RECORD, originalOf } from "../../record.ts";
import type { Dialect, FindOptions, Found, GradientEdge, Refusal } from "../site.ts";
import { Flow, Leads } from "./flow.ts";
import { pairState, type StatePair } from "./pair-state.ts";

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
    const { graph } = model;
    const pairs = pairState(model, graph, options.state ?? []);
    const refuse = (at: string, reason: string): Refusal => ({ dialect: NAME, node: null, at, reason });
    if (pairs.length === 0)
      return { sites: [], refusals: [refuse("the graph", "no input has an output that renews it by name and type")] };
    if (lossesOf(graph, pairs).length === 0) {
      return {
        sites: [],
        refusals: [
          refuse("the graph", "every output renews state; the loss must be an output, for it tells what is data"),
        ],
      };
    }
    const step = new Step(model, graph, pairs, options);
    const refusals: Refusal[] = [];
    const edges: GradientEdge[] = [];
    for (const pair of pairs) {
      const found = step.gradientOf(pair);
      if (found === null) continue;
      if ("reason" in found) refusals.push(refuse(`parameter "${pair.input.name}"`, found.reason));
      else edges.push(found);
    }
    if (edges.length === 0) return { sites: [], refusals };
    const site = { dialect: NAME, graph, name: graph.name, optimizer: "plain operators", edges, learningRate: null };
    return { sites: [site], refusals };
  },
};

interface NoGradient {
  readonly reason: string;
}

class Step {
  readonly #model: Model;
  readonly #graph: Graph;
  readonly #pairs: readonly StatePair[];
  readonly #options: FindOptions;
  readonly #flow: Flow;
  readonly #leads: Leads;
  readonly #lossBit: bigint;
  readonly #told: ReadonlyMap<string, Value>;

  constructor(model: Model, graph: Graph, pairs: readonly StatePair[], options: FindOptions) {
    this.#model = model;
    this.#graph = graph;
    this.#pairs = pairs;
    this.#options = options;
    const losses = lossesOf(graph, pairs);
    this.#leads = new Leads(graph, [...pairs.map(({ output }) => output), ...losses]);
    this.#lossBit = losses.reduce((bits, _, index) => bits | (1n << BigInt(pairs.length + index)), 0n);
    const states = new Set(pairs.map(({ input }) => input));
    const data = graph.inputs.filter(
      (value) => !states.has(value) && value.tensor === null && (this.#leads.of(value) & this.#lossBit) !== 0n,
    );
    this.#flow = new Flow(graph, data);
    this.#told = toldGradients(graph, options.gradient ?? []);
  }

  /** The gradient's edge; why there is none; or null for state that is no parameter. */
  gradientOf(pair: StatePair): GradientEdge | NoGradient | null {
    const bits = this.#groupBits(pair);
    if (bits === null) return null;
    const told = this.#told.get(pair.input.name);
    if (told !== undefined) return this.#edge(pair, told, bits);
    const outputs = this.#outputsOf(bits).filter((value) => this.#flow.reaches(value));
    if (outputs.length === 0)
      return { reason: "nothing that depends on the data reaches its update: it has no gradient" };
    const [first = null, ...others] = outputs;
    const lowest = others.reduce<Value | null>((common, value) => this.#flow.common(common, value), first);
    for (let at = lowest; at !== null; at = this.#flow.above(at)) {
      const gradient = this.#undoScaling(at, bits);
      const { stranger, readsParameter } = this.#updateFrom(gradient, outputs, pair);
      if (stranger !== null) {
        const what = `"${gradient.name}", the lowest tensor its update depends on, and the update stands ${describeNode(stranger)}`;
        return { reason: `between ${what}; name the gradient with --gradient <name>=${pair.input.name}` };
      }
      if (readsParameter) return this.#edge(pair, gradient, bits);
    }
    return { reason: "its update reads the data in several places, through no one tensor" };
  }

  #edge(pair: StatePair, read: Value, bits: bigint): GradientEdge | NoGradient {
    const type = pair.input.type?.kind === "tensor" ? pair.input.type : null;
    const value = originalOf(this.#model, AGR_RECORD, read);
    const declared = value.type?.kind === "tensor" ? value.type : null;
    const dtype = declared?.dtype ?? type?.dtype ?? 0;
    if (!isGradientType(dtype))
      return { reason: `its gradient "${value.name}" is ${dataTypeName(dtype)}, not floating point` };
    const shape = type?.shape?.every((dim) => typeof dim === "number") ? type.shape : null;
    if (declared?.shape && shape !== null && declared.shape.join() !== shape.join()) {
      return {
        reason: `the lowest tensor its update depends on, "${value.name}", has shape [${declared.shape.join(",")}] and not the parameter's [${shape.join(",")}]`,
      };
    }
    const outputBit = (index: number): bigint => this.#outputBit(index);
    const reported = this.#options.reported === "regularized";
    const isUpdate = (use: Use): boolean =>
      (this.#leads.ofUse(use, outputBit) & bits) !== 0n || (reported && use.user instanceof Graph);
    return {
      value,
      uses: read.uses.filter(isUpdate),
      form: "tensor",
      dtype,
      parameter: { name: pair.input.name, shape },
    };
  }

  /** The outputs that renew a parameter and its slots, as bits; null where the pair is a slot or carries no parameter. */
  #groupBits(pair: StatePair): bigint | null {
    const own = this.#bitOf(pair);
    if (!this.#isParameter(pair)) return null;
    const slots = this.#pairs.filter(
      (other) => !this.#isParameter(other) && (this.#leads.of(other.input) & own) !== 0n && this.#ownersOf(other) === 1,
    );
    return slots.reduce((bits, slot) => bits | this.#bitOf(slot), own);
  }

  /** Parameters take part in the loss; slots, counters and rates do not. */
  #isParameter({ input }: StatePair): boolean {
    return (this.#leads.of(input) & this.#lossBit) !== 0n;
  }

  #ownersOf(slot: StatePair): number {
    const leads = this.#leads.of(slot.input);
    return this.#pairs.filter((pair) => this.#isParameter(pair) && (leads & this.#bitOf(pair)) !== 0n).length;
  }

  #bitOf(pair: StatePair): bigint {
    return 1n << BigInt(this.#pairs.indexOf(pair));
  }

  #outputBit(index: number): bigint {
    const output = this.#graph.outputs[index];
    const pair = this.#pairs.findIndex((each) => each.output === output);
    return pair < 0 ? 0n : 1n << BigInt(pair);
  }

  #outputsOf(bits: bigint): readonly Value[] {
    return this.#pairs.filter((_, index) => (bits & (1n << BigInt(index))) !== 0n).map(({ output }) => output);
  }

  /** Up through sums and products whose other operands do not depend on the data. */
  #undoScaling(from: Value, bits: bigint): Value {
    const otherParameters = this.#otherParameters(bits);
    let value = from;
    for (;;) {
      const { producer } = value;
      if (producer === null || producer.domain !== "" || !LINEAR.has(producer.opType)) return value;
      const operands = producer.inputs.filter((input) => input !== null && this.#flow.reaches(input));
      const [operand] = operands;
      if (operands.length !== 1 || !operand) return value;
      const others = valuesReadBy(producer).filter((input) => input !== operand);
      if (others.some((other) => dependsOn(other, otherParameters))) return value;
      if (producer.opType === "Div" && producer.inputs[0] !== operand) return value;
      value = operand;
    }
  }

  #otherParameters(bits: bigint): readonly Value[] {
    const own = new Set(this.#outputsOf(bits));
    return this.#pairs.filter((pair) => this.#isParameter(pair) && !own.has(pair.output)).map(({ input }) => input);
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
      const { domain, opType } = producer;
      const known = domain === AGR_DOMAIN || (domain === "" && (ELEMENTWISE.has(opType) || REDUCTIONS.has(opType)));
      if (!known) return { stranger: producer, readsParameter };
      for (const operand of valuesReadBy(producer)) {
        if (this.#flow.reaches(operand)) pending.push(operand);
        else readsParameter ||= dependsOn(operand, [pair.input]);
      }
    }
    return { stranger: null, readsParameter };
  }
}

function dependsOn(value: Value, inputs: readonly Value[]): boolean {
  const pending = [value];
  const seen = new Set<Value>();
  for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
    if (seen.has(next)) continue;
    seen.add(next);
    if (inputs.includes(next)) return true;
    for (const read of next.producer === null ? [] : valuesReadBy(next.producer)) pending.push(read);
  }
  return false;
}

/** Outputs that renew nothing: the one called loss where there is one, else the scalars, else all. */
function lossesOf(graph: Graph, pairs: readonly StatePair[]): readonly Value[] {
  const renewals = new Set(pairs.map(({ output }) => output));
  const others = graph.outputs.filter((value) => !renewals.has(value));
  const named = others.filter(({ name }) => /(^|[^a-z])loss([^a-z]|$)/i.test(name));
  if (named.length > 0) return named;
  const scalars = others.filter(({ type }) => type?.kind === "tensor" && type.shape?.length === 0);
  return scalars.length > 0 ? scalars : others;
}

/** @throws UsageError `E_GRADIENT` */
function toldGradients(graph: Graph, told: readonly string[]): ReadonlyMap<string, Value> {
  const values = new Map(
    [...graph.inputs, ...graph.nodes.flatMap(({ outputs }) => outputs)].flatMap((value) =>
      value === null ? [] : [[value.name, value] as const],
    ),
  );
  return new Map(
    told.map((each) => {
      const at = each.indexOf("=");
      const value = values.get(each.slice(0, at));
      if (at < 0 || value === undefined || !graph.inputs.some(({ name }) => name === each.slice(at + 1))) {
        throw new UsageError("E_GRADIENT", `"${each}" does not name a tensor of the graph and a parameter`, {
          field: each,
          hint: "Write --gradient <tensor>=<parameter input>.",
        });
      }
      return [each.slice(at + 1), value];
    }),
  );
}
