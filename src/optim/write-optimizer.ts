import { DataType } from "../graph/data-type.ts";
import { Value } from "../graph/graph.ts";
import { tensorType } from "../graph/value-type.ts";
import { Formula } from "../ops/formula.ts";
import { groupSettings } from "./parameter-groups.ts";
import { asUpdate, type GradientTransform, type Optimizer, plain, type Step, type Update } from "./transform.ts";
import type { OptimizerTarget, Slot, WrittenOptimizer } from "./written.ts";

/** The update of one parameter while the chain is written, with the slots of the links so far. */
interface ParameterUpdate {
  readonly name: string;
  readonly parameter: Value;
  readonly value: Value;
  readonly offset: Value | null;
  readonly update: Update;
  readonly gradient: Value;
  readonly slots: readonly Slot[];
}

/** w' from w and an update, with lr the parameter's own learning rate. */
const APPLICATIONS: Readonly<
  Record<Optimizer["application"], (f: Formula, value: Value, change: Value, decay: Value | null) => Value>
> = {
  decoupled: (f, value, change, decay) => f.sub(decay === null ? value : f.mul(value, f.sub(1, decay)), change),
  after: (f, value, change, decay) => {
    const moved = f.sub(value, change);
    return decay === null ? moved : f.mul(moved, f.sub(1, decay));
  },
  proximal: (f, value, change, decay) => {
    const moved = f.sub(value, change);
    return decay === null ? moved : f.div(moved, f.add(decay, 1));
  },
  whole: (f, value, change) => f.sub(value, change),
};

/**
 * Writes an optimizer, parameter by parameter, behind gradients that a graph has.
 * @returns the next parameters and slots, and the gradients as AGR is to find them
 */
export function writeOptimizer(optimizer: Optimizer, target: OptimizerTarget): WrittenOptimizer {
  const { build, opset, learningRate, step: counter, trained, groups, names } = target;
  const { application, lookahead } = optimizer;
  const f = new Formula(build, opset);
  const step: Step = { f, count: f.cast(f.reshape(counter, []), DataType.float) };
  const rate = f.reshape(learningRate, []);
  const settingsOf = groupSettings(
    groups,
    trained.map(({ name }) => name),
  );
  const rates = new Map<number, Value>();
  const rateOf = (name: string): Value => {
    const { learningRateScale } = settingsOf(name);
    const own = rates.get(learningRateScale) ?? (learningRateScale === 1 ? rate : f.mul(rate, learningRateScale));
    rates.set(learningRateScale, own);
    return own;
  };
  const slotsOf = (link: GradientTransform, { name, parameter, offset }: ParameterUpdate): readonly Value[] =>
    link.slots.map((slot) => {
      if (offset !== null && link.name === lookahead?.transform && slot === lookahead.slot) return offset;
      const type = link.scalars?.includes(slot) ? tensorType(DataType.float, []) : parameter.type;
      return new Value(names.fresh(`${name}/${link.name}/${slot}`), type);
    });
  const through = (updates: readonly ParameterUpdate[], link: GradientTransform): readonly ParameterUpdate[] => {
    const held = updates.map((each) => slotsOf(link, each));
    const parameters = updates.map(({ name, value, update, gradient }, index) => ({
      ...{ name, value, update, gradient, slots: held[index] ?? [] },
      weightDecay: settingsOf(name).weightDecay,
      rate: () => rateOf(name),
    }));
    const results = link.transform(step, parameters);
    return updates.map((each, index) => {
      const { update, slots } = results[index] ?? { update: each.update, slots: [] };
      const own = link.slots.flatMap((slot, at): readonly Slot[] => {
        const [input, next] = [held[index]?.[at], slots[at]];
        return input === undefined || next === undefined
          ? []
          : [{ name: input.name, input, next, isScalar: link.scalars?.includes(slot) === true }];
      });
      return { ...each, update, slots: [...each.slots, ...own] };
    });
  };
  const start = trained.map(({ name, parameter, gradient, point }) => ({
    ...{ name, parameter, value: point?.value ?? parameter, offset: point?.offset ?? null },
    ...{ update: asUpdate(gradient), gradient, slots: [] },
  }));
  const before = optimizer.before.reduce(through, start).map((each) => ({ ...each, gradient: each.update.tensor }));
  const gradients = before.map(({ update }) => update.tensor);
  const finished = optimizer.links.reduce(through, before);
  const updates = finished.map(({ name, parameter, update, slots }, index) => {
    const own = rateOf(name);
    const change =
      application === "whole"
        ? plain(step, update)
        : f.mul(update.tensor, update.factor === null ? own : f.mul(own, update.factor));
    const decay = update.decay === null ? null : f.mul(own, update.decay);
    return {
      name,
      gradient: gradients[index] ?? update.tensor,
      next: APPLICATIONS[application](f, parameter, change, decay),
      slots,
    };
  });
  return { transform: optimizer.name, updates };
}
