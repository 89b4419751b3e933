import { attributeText } from "../../edits/attribute-text.ts";
import type { Node, Value } from "../../graph/graph.ts";
import { constantOf } from "../../ops/constants.ts";
import { elementTypeOf } from "../../ops/element-type.ts";
import { NodeView } from "../../ops/node-view.ts";
import { rankOf } from "../../ops/value-types.ts";
import { DEEPEST, kindOf, type Member, original, type Renewed } from "./members.ts";
import { isElementwise, isReciprocal, isReduction } from "./operators.ts";

/** One value per member, in the members' order. */
export type Tuple = readonly Value[];

/** What becomes of a tuple. */
export type Joined = Shared | JoinedPart;
export type JoinedPart = Held | Given | Made | Reduced;

/** The same number for all members. */
interface Shared {
  readonly kind: "shared";
  readonly value: Value;
}

/** `flat`: the members' tensors one behind the other; `number`: a vector of one number per member. */
export type Form = "flat" | "number";

interface Part {
  readonly form: Form;
  readonly tuple: Tuple;
  readonly dtype: number;
  /** Whether it is made of state and shared numbers alone. */
  readonly isOfState: boolean;
}

/** State, which is carried joined. */
export interface Held extends Part {
  readonly kind: "held";
  readonly states: readonly Renewed[];
}

/** Values that are made member by member. */
export interface Given extends Part {
  readonly kind: "given";
}

/** What one node makes in the place of one per member. */
export interface Made extends Part {
  readonly kind: "made";
  readonly node: Node;
  readonly inputs: readonly (Joined | null)[];
}

/** A number per member, taken from its own tensor. */
export interface Reduced extends Part {
  readonly kind: "reduced";
  readonly node: Node;
  readonly of: JoinedPart;
}

/** A tuple of state, and what renews it. */
export interface Root {
  readonly held: Held;
  readonly next: JoinedPart;
}

export interface JoinPlan {
  readonly members: readonly Member[];
  readonly roots: readonly Root[];
  /** Everything that is joined, what is read before what reads it. */
  readonly parts: readonly JoinedPart[];
}

/** Finds out how the updates of some members are written as one; null where they cannot be. */
export function planJoin(members: readonly Member[], renewed: ReadonlyMap<Value, Renewed>): JoinPlan | null {
  const planner = new Planner(members, renewed);
  const roots: Root[] = [];
  planner.join(members.map(({ input }) => input));
  for (const held of planner.held) {
    const next = planner.join(held.states.map((state) => state.next));
    if (next === null || next.kind === "shared" || next.form !== held.form || next.dtype !== held.dtype) return null;
    roots.push({ held, next });
  }
  const reached = new Set<Joined>();
  const open: (Joined | null)[] = roots.flatMap(({ held, next }) => [held, next]);
  for (let part = open.pop(); part !== undefined; part = open.pop()) {
    if (part === null || part.kind === "shared" || reached.has(part)) continue;
    reached.add(part);
    open.push(...(part.kind === "made" ? part.inputs : part.kind === "reduced" ? [part.of] : []));
  }
  return { members, roots, parts: planner.parts.filter((part) => reached.has(part)) };
}

class Planner {
  /** Grows while it is gone through. */
  readonly held: Held[] = [];
  readonly parts: JoinedPart[] = [];
  readonly #members: readonly Member[];
  readonly #renewed: ReadonlyMap<Value, Renewed>;
  readonly #known = new Map<string, Joined | null>();
  readonly #numbers = new Map<Value, number>();

  constructor(members: readonly Member[], renewed: ReadonlyMap<Value, Renewed>) {
    this.#members = members;
    this.#renewed = renewed;
  }

  /** Null where the values are of no one form. */
  join(values: Tuple, depth = 0): Joined | null {
    const tuple = values.map((value, index) => original(value, this.#members[index] as Member));
    const key = tuple.map((value) => this.#numberOf(value)).join();
    const found = this.#known.get(key);
    if (found !== undefined) return found;
    const joined = this.#shared(tuple) ?? this.#part(tuple, depth);
    this.#known.set(key, joined);
    if (joined !== null && joined.kind !== "shared") this.parts.push(joined);
    return joined;
  }

  #numberOf(value: Value): number {
    const number = this.#numbers.get(value) ?? this.#numbers.size;
    this.#numbers.set(value, number);
    return number;
  }

  #shared(tuple: Tuple): Shared | null {
    const [value] = tuple;
    if (value === undefined || !tuple.every((each, index) => kindOf(each, this.#members[index] as Member) === "number"))
      return null;
    const isOne = tuple.every((each) => each === value) || haveSameConstant(tuple);
    return isOne ? { kind: "shared", value } : null;
  }

  #part(tuple: Tuple, depth: number): JoinedPart | Shared | null {
    const [first] = tuple;
    const form = first === undefined ? null : kindOf(first, this.#members[0] as Member);
    if (first === undefined || form === null) return null;
    const dtype = elementTypeOf(first);
    const isAlike = tuple.every(
      (each, index) => kindOf(each, this.#members[index] as Member) === form && elementTypeOf(each) === dtype,
    );
    if (!isAlike) return null;
    const part = { form, tuple, dtype };
    return (
      this.#held(part) ??
      this.#made(part, depth) ??
      this.#reduced(part, depth) ?? { ...part, kind: "given", isOfState: false }
    );
  }

  #held(part: Omit<Part, "isOfState">): Held | null {
    const states = part.tuple.flatMap((value) => this.#renewed.get(value) ?? []);
    const kinds = new Set(states.map(({ state }) => state.kind));
    const isHeld = this.held.some((held) => held.states.some((each) => states.includes(each)));
    const isOwn = new Set(states).size === part.tuple.length && kinds.size === 1;
    if (!isOwn || isHeld || !(kinds.has("parameter") || kinds.has("slot"))) return null;
    if (kinds.has("parameter") && states.some((each, index) => each.input !== this.#members[index]?.input)) return null;
    const held: Held = { ...part, kind: "held", states, isOfState: true };
    this.held.push(held);
    return held;
  }

  #made(part: Omit<Part, "isOfState">, depth: number): Made | Shared | null {
    const node = depth < DEEPEST ? sameNode(part.tuple) : null;
    if (node === null || !isElementwise(node)) return null;
    const inputs: (Joined | null)[] = [];
    for (const [index, input] of node.inputs.entries()) {
      const joined = input === null ? null : this.join(inputsAt(part.tuple, index), depth + 1);
      if (input !== null && joined === null) return null;
      inputs.push(joined);
    }
    const read = inputs.flatMap((each) => (each === null || each.kind === "shared" ? [] : [each]));
    if (read.length === 0) return part.form === "number" ? { kind: "shared", value: part.tuple[0] as Value } : null;
    const form = read.some((each) => each.form === "flat") ? "flat" : "number";
    const isFused = read.some((each) => each.form !== form && each.kind === "made" && isReciprocal(each.node));
    if (form !== part.form || (isFused && node.opType === "Mul")) return null;
    return { ...part, kind: "made", node, inputs, isOfState: read.every((each) => each.isOfState) };
  }

  #reduced(part: Omit<Part, "isOfState">, depth: number): Reduced | null {
    const node = depth < DEEPEST ? sameNode(part.tuple) : null;
    if (node === null || part.form !== "number" || !isReduction(node)) return null;
    const tuple = inputsAt(part.tuple, 0);
    if (!part.tuple.every(({ producer }) => producer !== null && reducesAll(producer))) return null;
    const of = this.join(tuple, depth + 1);
    if (of === null || of.kind === "shared" || of.form !== "flat") return null;
    return { ...part, kind: "reduced", node, of, isOfState: of.isOfState };
  }
}

const inputsAt = (tuple: Tuple, index: number): Tuple => tuple.flatMap(({ producer }) => producer?.inputs[index] ?? []);

/** The first one's node, where all are made by nodes of one operator with the same attributes. */
function sameNode(tuple: Tuple): Node | null {
  const nodes = tuple.flatMap(({ producer }) => producer ?? []);
  const [first] = nodes;
  if (first === undefined || nodes.length < tuple.length || first.outputs.length !== 1) return null;
  const text = textOf(first);
  return text !== null && nodes.every((node) => textOf(node) === text) ? first : null;
}

function textOf({ domain, opType, inputs, attributes }: Node): string | null {
  const texts = [...attributes.values()].map(attributeText);
  if (texts.includes(null)) return null;
  return JSON.stringify([domain, opType, inputs.map((input) => input !== null), texts.toSorted()]);
}

function haveSameConstant(tuple: Tuple): boolean {
  const texts = new Set(
    tuple.map((value) => {
      const tensor = constantOf(value)?.repacked();
      return tensor?.data.kind === "raw" ? `${tensor.dtype} ${tensor.data.bytes.join()}` : null;
    }),
  );
  return texts.size === 1 && !texts.has(null);
}

/** Whether a reduction is over all axes. */
function reducesAll(node: Node): boolean {
  const view = new NodeView(node);
  const rank = rankOf(view.input(0));
  const axes = view.ints("axes") ?? view.constant(1)?.values() ?? (view.optional(1) === null ? [] : null);
  if (rank === null || axes === null) return false;
  if (axes.length === 0) return view.intOrNull("noop_with_empty_axes") !== 1;
  return new Set([...axes].map((axis) => (Number(axis) + rank) % rank)).size === rank;
}
