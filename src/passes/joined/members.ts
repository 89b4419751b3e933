import { GRADIENTS_METADATA } from "../../analysis/find-optimizers/portable.ts";
import { attributeText } from "../../edits/attribute-text.ts";
import { namesMetadata } from "../../edits/json-metadata.ts";
import type { Node, Value } from "../../graph/graph.ts";
import { elementTypeOf } from "../../ops/element-type.ts";
import { dimsOf, known } from "../../ops/value-types.ts";
import type { StateTensor, StepModel } from "../portable/step-model.ts";
import { isAlias, isElementwise } from "./operators.ts";

/** A state of a step with its place in the graph. */
export interface Renewed {
  readonly state: StateTensor;
  readonly input: Value;
  readonly next: Value;
}

/** A parameter whose update may be joined with others. */
export interface Member extends Renewed {
  /** How many numbers it has. */
  readonly size: number;
}

/** Parameters of more numbers gain nothing: their nodes take longer than it takes to begin one. */
const MOST_NUMBERS = 16_384;

/** As many numbers together stay in a processor's cache. */
const MOST_TOGETHER = 2 ** 17;

/** A chain of more nodes is no update. */
export const DEEPEST = 200;

/** What a value is beside a member: a tensor of as many numbers, or one number. */
export function kindOf(value: Value, { size }: Member): "flat" | "number" | null {
  const dims = value.tensor?.dims ?? known(dimsOf(value));
  if (dims === null) return null;
  const count = dims.reduce((product, dim) => product * dim, 1);
  if (count === size && (size > 1 || dims.length > 0)) return "flat";
  return count === 1 ? "number" : null;
}

/**
 * What a value is a copy of, in this shape or another.
 * @param ends names of values that are taken for none
 */
export function original(value: Value, member: Member, ends: ReadonlySet<string> = new Set()): Value {
  const kind = kindOf(value, member);
  let at = value;
  for (;;) {
    const from = ends.has(at.name) ? null : sourceOf(at);
    if (from === null || kindOf(from, member) !== kind) return at;
    at = from;
  }
}

const sourceOf = ({ producer }: Value): Value | null =>
  producer !== null && isAlias(producer) ? (producer.inputs[0] ?? null) : null;

/** The renewed state of a step by its input. */
export function renewedState({ model, state }: StepModel): ReadonlyMap<Value, Renewed> {
  const inputs = new Map(model.graph.inputs.map((value) => [value.name, value]));
  const outputs = new Map(model.graph.outputs.map((value) => [value.name, value]));
  return new Map(
    state.flatMap((each) => {
      const [input, next] = [inputs.get(each.name), outputs.get(each.next ?? "")];
      return input === undefined || next === undefined ? [] : [[input, { state: each, input, next }] as const];
    }),
  );
}

/**
 * Small parameters whose next values, and those of their slots, are made alike from the gradient on.
 * @param renewed of the step; types are inferred
 */
export function findMembers(step: StepModel, renewed: ReadonlyMap<Value, Renewed>): readonly (readonly Member[])[] {
  const gradients = new Set(namesMetadata(step.model, GRADIENTS_METADATA)?.keys());
  const groups = new Map<string, { members: Member[]; total: number }>();
  const found: (readonly Member[])[] = [];
  for (const each of renewed.values()) {
    const dims = known(dimsOf(each.input));
    const size = dims?.reduce((product, dim) => product * dim, 1) ?? 0;
    if (each.state.kind !== "parameter" || dims?.length === 0 || size < 1 || size > MOST_NUMBERS) continue;
    const member: Member = { ...each, size };
    const text = updateText(member, renewed, gradients);
    let group = groups.get(text);
    if (group === undefined || group.total + size > MOST_TOGETHER) {
      group = { members: [], total: 0 };
      groups.set(text, group);
      found.push(group.members);
    }
    group.members.push(member);
    group.total += size;
  }
  return found.filter((members) => members.length > 1);
}

/** How a parameter and its slots are renewed, as a text that is the same for those that are renewed alike. */
function updateText(member: Member, renewed: ReadonlyMap<Value, Renewed>, gradients: ReadonlySet<string>): string {
  const texts: string[] = [];
  const numbers = new Map<Value, number>();
  const roots = [member.next];
  const textOf = (value: Value | null, depth: number): string => {
    if (value === null) return "none";
    const at = original(value, member, gradients);
    const kind = kindOf(at, member);
    if (kind !== "flat") return kind ?? "other";
    const number = numbers.get(at);
    if (number !== undefined) return `#${number}`;
    const text = describe(at, depth);
    numbers.set(at, numbers.size);
    texts.push(text);
    return `#${numbers.size - 1}`;
  };
  const describe = (value: Value, depth: number): string => {
    const held = renewed.get(value);
    if (held !== undefined) {
      roots.push(held.next);
      return `${held.state.kind} ${elementTypeOf(value)}`;
    }
    const { producer } = value;
    if (producer === null || depth === DEEPEST || gradients.has(value.name) || !joins(producer, member)) return "given";
    const attributes = [...producer.attributes.values()].map(attributeText).toSorted();
    const inputs = producer.inputs.map((input) => textOf(input, depth + 1));
    return JSON.stringify([producer.opType, ...inputs, ...attributes]);
  };
  const results: string[] = [];
  for (const root of roots) results.push(textOf(root, 0));
  return JSON.stringify([texts, results]);
}

/** Whether a node takes its elements from tensors of the member's size and single numbers. */
const joins = (node: Node, member: Member): boolean =>
  isElementwise(node) && node.inputs.every((input) => input === null || kindOf(input, member) !== null);
