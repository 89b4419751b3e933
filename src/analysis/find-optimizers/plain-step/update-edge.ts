import { DataType } from "../../../graph/data-type.ts";
import { describeNode, type Graph, type Node, type Value } from "../../../graph/graph.ts";
import { valuesReadBy } from "../../../graph/model.ts";
import type { Update, UpdateTerm } from "../site.ts";
import type { StatePair } from "./pair-state.ts";

/** A parameter, and the masters that are renewed in its place. */
export interface Held {
  readonly graph: Graph;
  readonly pair: StatePair;
  readonly masters: readonly StatePair[];
  /** State of more than one element that is neither. */
  readonly others: readonly Value[];
  /** Inputs that are no state and lead to the loss. */
  readonly data: readonly Value[];
  readonly gradients: ReadonlySet<Value>;
}

/**
 * What an optimizer adds to a parameter: the renewal is a multiple of the parameter plus a multiple of the terms' sum. Weight
 * decay stays outside. One term is as high as it can be, before rates and corrections; several are what is added, the last first.
 */
export function findUpdate(held: Held): Update {
  return new UpdateSearch(held).run();
}

class UpdateSearch {
  readonly #held: Held;
  readonly #moving = new Set<Value>();
  readonly #own: ReadonlySet<Value>;

  constructor(held: Held) {
    this.#held = held;
    this.#own = new Set([held.pair, ...held.masters].map(({ input }) => input));
    for (const value of [...held.others, ...held.data, ...held.gradients]) this.#moving.add(value);
    for (const node of held.graph) {
      if (!valuesReadBy(node).some((value) => this.#moving.has(value) && !isTruth(value))) continue;
      for (const output of node.outputs) if (output !== null) this.#moving.add(output);
    }
  }

  run(): Update {
    const terms: UpdateTerm[] = [];
    let renewal = this.#held.pair.output;
    let value = renewal;
    while (this.#moving.has(value)) {
      const { producer } = value;
      if (producer === null) return { reason: `it is renewed from "${value.name}"` };
      if (producer.opType === "Cast") {
        const [wide] = producer.inputs;
        if (wide && terms.length === 0) renewal = wide;
      }
      const next = this.#below(producer);
      const isScaled = terms.length > 0 && (producer.opType === "Mul" || producer.opType === "Div");
      if (isScaled) return { reason: `${describeNode(producer)} stands between the parts of its update` };
      if (next === null) return { reason: `${describeNode(producer)} stands between its update and its renewal` };
      if (next.term !== undefined) terms.push(next.term);
      value = next.value;
    }
    if (!this.#isMultiple(value)) return { reason: `what it is added to, "${value.name}", is not the parameter alone` };
    const [only, ...more] = terms;
    if (only === undefined) return { reason: "nothing is added to it" };
    const highest = more.length === 0 ? [this.#highest(only)] : terms;
    for (const { value: term } of highest) {
      if (this.#held.gradients.has(term))
        return { reason: "its update is the gradient itself: there is nothing to mask", isGradient: true };
      if (this.#readsParameter(term))
        return { reason: `the parameter is in its update "${term.name}": weight decay, or a trust ratio` };
    }
    const other = [renewal, ...highest.map((term) => term.value)].find((each) => !isFloat(each));
    if (other !== undefined) return { reason: `"${other.name}" is not float32` };
    return { terms: highest, renewal };
  }

  /** One node down from a renewal towards the parameter; what is added there. */
  #below(node: Node): { readonly value: Value; readonly term?: UpdateTerm } | null {
    const [first, second, third] = node.inputs;
    if (node.domain !== "" || !first) return null;
    if (node.opType === "Identity" || node.opType === "Cast") return { value: first };
    if (node.opType === "Where" && second && third) {
      if (this.#isCopy(third)) return { value: second };
      return this.#isCopy(second) ? { value: third } : null;
    }
    if (!second) return null;
    if (node.opType === "Add" || node.opType === "Sub") {
      const carrier = this.#carrierOf(first, second);
      if (carrier === null || (node.opType === "Sub" && carrier === second)) return null;
      const index = carrier === first ? 1 : 0;
      const value = carrier === first ? second : first;
      if (!this.#moving.has(value)) return this.#isFree(value) || this.#isMultiple(value) ? { value: carrier } : null;
      return { value: carrier, term: { value, use: { user: node, index }, sign: node.opType === "Sub" ? -1 : 1 } };
    }
    if (node.opType === "Mul" || node.opType === "Div") {
      if (this.#moving.has(first) && this.#isFree(second)) return { value: first };
      return node.opType === "Mul" && this.#moving.has(second) && this.#isFree(first) ? { value: second } : null;
    }
    return null;
  }

  /** Which of two addends goes on to the parameter; null where both or neither do. */
  #carrierOf(first: Value, second: Value): Value | null {
    const still = [first, second].find((value) => !this.#moving.has(value));
    const [moving, ...others] = [first, second].filter((value) => this.#moving.has(value) && this.#carries(value));
    if (still !== undefined && this.#isCopy(still)) return still;
    if (moving !== undefined) return others.length === 0 ? moving : null;
    return still !== undefined && !this.#isFree(still) ? still : null;
  }

  /** Whether the parameter, or a multiple of it, is an addend of a value. */
  #carries(value: Value): boolean {
    if (!this.#moving.has(value)) return !this.#isFree(value);
    const { producer } = value;
    if (producer === null || producer.domain !== "" || this.#held.gradients.has(value)) return false;
    const [first, second, third] = producer.inputs;
    const own = { Identity: [first], Cast: [first], Sub: [first], Add: [first, second], Where: [second, third] }[
      producer.opType
    ];
    return own?.some((each) => each && this.#carries(each)) ?? false;
  }

  /** The highest tensor that a term is a multiple of, but for what does not move; its sign is in the multiple. */
  #highest(term: UpdateTerm): UpdateTerm {
    let { value, use } = term;
    for (;;) {
      const { producer } = value;
      if (producer === null || producer.domain !== "" || this.#held.gradients.has(value)) break;
      if (!["Identity", "Cast", "Neg", "Add", "Sub", "Mul", "Div"].includes(producer.opType)) break;
      const index = producer.inputs.findIndex((input) => input !== null && this.#moving.has(input));
      const [operand, ...others] = producer.inputs.filter((input) => input !== null && this.#moving.has(input));
      if (!operand || others.length > 0 || isOne(operand)) break;
      const rest = producer.inputs.filter((input) => input !== null && input !== operand);
      const isSum = producer.opType === "Add" || producer.opType === "Sub";
      if (!rest.every((each) => each !== null && (this.#isFree(each) || (isSum && this.#isMultiple(each))))) break;
      if (producer.opType === "Div" && index !== 0) break;
      [value, use] = [operand, { user: producer, index }];
    }
    return { value, use, sign: 1 };
  }

  /** Whether a value depends on neither the parameter nor what moves. */
  #isFree(value: Value): boolean {
    return !this.#moving.has(value) && !this.#reaches(value, () => false);
  }

  /** Whether a value is made of the parameter and of numbers. */
  #isMultiple(value: Value): boolean {
    return !this.#moving.has(value);
  }

  #isCopy(value: Value): boolean {
    let at = value;
    while (at.producer?.opType === "Identity" && at.producer.inputs[0]) at = at.producer.inputs[0];
    return this.#own.has(at);
  }

  /** Whether the parameter leads to a term but through gradients. */
  #readsParameter(term: Value): boolean {
    return this.#reaches(term, (value) => this.#held.gradients.has(value) || isTruth(value));
  }

  #reaches(from: Value, stops: (value: Value) => boolean): boolean {
    const pending = [from];
    const seen = new Set<Value>();
    for (let value = pending.pop(); value !== undefined; value = pending.pop()) {
      if (seen.has(value) || stops(value)) continue;
      seen.add(value);
      if (this.#own.has(value)) return true;
      if (value.producer !== null) for (const each of valuesReadBy(value.producer)) pending.push(each);
    }
    return false;
  }
}

const isTruth = ({ type }: Value): boolean => type?.kind === "tensor" && type.dtype === DataType.bool;
/** Behind functions of other domains types are not known: the proof feeds float32. */
const isFloat = ({ type }: Value): boolean =>
  type === null || (type.kind === "tensor" && type.dtype === DataType.float);
const isOne = ({ type }: Value): boolean =>
  type?.kind === "tensor" && type.shape !== null && type.shape.every((dim) => dim === 1);
