import { type Anatomy, dependsOn, madeCopies } from "../../analysis/find-optimizers/plain-step/anatomy.ts";
import { knownShape } from "../../analysis/find-optimizers/plain-step/known-shape.ts";
import type { StatePair } from "../../analysis/find-optimizers/plain-step/pair-state.ts";
import type { Value } from "../../graph/graph.ts";
import { valuesReadBy } from "../../graph/model.ts";
import type { Alignment } from "./alignment.ts";
import type { UnprovenParameter } from "./index.ts";

/** How the tensors of one parameter lie to the derivative of one loss, where none is the derivative. */
export interface Miss {
  readonly pair: StatePair;
  readonly loss: string;
  readonly best: { readonly tensor: string; readonly cosine: number } | null;
  /** Why the parameter is unproven; null where it is no parameter, for `role`. */
  readonly reason: string | null;
  readonly role: string;
  /** Whether it is told apart from a parameter by what its renewal lacks alone. */
  readonly isStatistic?: true;
  /** Whether the derivative is zero in every draw: nothing can be compared with it. */
  readonly isZero?: true;
}

export function missOf(
  anatomy: Anatomy,
  loss: Value,
  pair: StatePair,
  slots: readonly StatePair[],
  isAverage: boolean,
  alignments: ReadonlyMap<string, Alignment>,
  ruled: () => Value | undefined,
): Miss {
  const renewals = new Set(madeCopies(pair.output).map(({ name }) => name));
  const known = [...alignments].filter(([name, { cosine }]) => !Number.isNaN(cosine) && !renewals.has(name));
  const [nearest] = known.toSorted(([, a], [, b]) => Math.abs(b.cosine) - Math.abs(a.cosine));
  const best = nearest === undefined ? null : { tensor: nearest[0], cosine: nearest[1].cosine };
  const miss = { pair, loss: loss.name, best };
  if (isAverage)
    return { ...miss, reason: null, role: "renewed from other state alone: an average, a copy or a constant" };
  const lacking = lackingOf(anatomy, loss, pair, slots);
  if (lacking.length > 0 && !isDescent(anatomy, pair, ruled())) {
    const names = lacking.map(({ name }) => `"${name}"`).join(", ");
    const role = `renewed without ${names}, which the derivative of "${loss.name}" is made of: a statistic or memory`;
    return { ...miss, reason: null, role, isStatistic: true };
  }
  const numbers =
    best === null
      ? "no tensor on the way to its renewal has its shape and holds all that the data contribute"
      : `the nearest tensor, "${best.tensor}", has the cosine ${best.cosine.toFixed(3)} with it`;
  return {
    ...miss,
    role: "",
    reason: `its gradient is not the derivative of "${loss.name}": ${numbers}`,
  };
}

/** What is told of a parameter that stays unproven. @param flag the tensor that may be named as its gradient */
export function unprovenOf({ pair, reason, best }: Miss, flag: string | null): readonly UnprovenParameter[] {
  if (reason === null) return [];
  const { name } = pair.input;
  return [{ parameter: name, shape: knownShape(pair.input), reason, gradient: flag, cosine: best?.cosine ?? null }];
}

/**
 * Whether some state is renewed as itself and what is made of a tensor that parameters take part in: an optimizer does that, whose
 * loss stops gradients, and no statistic, which fades or looks at the data alone.
 */
function isDescent({ parameters }: Anatomy, { input, output }: StatePair, gradient: Value | undefined): boolean {
  if (gradient === undefined) return false;
  const inputs = parameters.map((each) => each.input);
  if (!dependsOn(gradient, inputs)) return false;
  const isWhole = (value: Value): boolean => {
    if (value === input) return true;
    if (value === gradient || !isMadeOf(value, input, gradient)) return false;
    const [first, second, third] = value.producer?.inputs ?? [];
    const type = value.producer?.opType;
    const addends = type === "Where" ? [second, third] : type === "Add" ? [first, second] : [first];
    if (!["Identity", "Cast", "Where", "Add", "Sub"].includes(type ?? "")) return false;
    return addends.some((each) => each && isWhole(each));
  };
  return isWhole(output);
}

/** Whether a value is made of an input, but for what comes through a tensor. */
function isMadeOf(value: Value, input: Value, but: Value): boolean {
  return ancestorsOf([value], new Set([but])).has(input);
}

/**
 * What the derivative of a loss with respect to some state can depend on and the state's renewal does not. What a derivative is
 * made of: whatever is read by the nodes between the state and the loss.
 */
function lackingOf(anatomy: Anatomy, loss: Value, pair: StatePair, slots: readonly StatePair[]): readonly Value[] {
  const { graph, data, parameters } = anatomy;
  const ends = new Set(parameters.filter((each) => each !== pair).map(({ output }) => output));
  const towardsLoss = ancestorsOf([loss], new Set());
  const depends = new Set<Value>([pair.input]);
  const read: Value[] = [];
  for (const node of graph) {
    const inputs = valuesReadBy(node);
    if (!inputs.some((value) => depends.has(value))) continue;
    if (!node.outputs.some((output) => output !== null && towardsLoss.has(output))) continue;
    for (const output of node.outputs) if (output !== null) depends.add(output);
    for (const each of inputs) read.push(each);
  }
  const needed = ancestorsOf(read, new Set());
  const there = ancestorsOf(
    [pair, ...slots].map(({ output }) => output),
    ends,
  );
  const inputs = [...data, ...parameters.map(({ input }) => input)];
  return inputs.filter((input) => input !== pair.input && needed.has(input) && !there.has(input));
}

/** The values that some values are made of, and themselves; not further up than `ends`. */
function ancestorsOf(values: readonly Value[], ends: ReadonlySet<Value>): ReadonlySet<Value> {
  const seen = new Set<Value>();
  const pending = [...values];
  for (let value = pending.pop(); value !== undefined; value = pending.pop()) {
    if (seen.has(value) || ends.has(value)) continue;
    seen.add(value);
    if (value.producer !== null) for (const each of valuesReadBy(value.producer)) pending.push(each);
  }
  return seen;
}
