import { DataType } from "../graph/data-type.ts";
import { Value } from "../graph/graph.ts";
import { tensorType, type ValueType } from "../graph/value-type.ts";
import { Formula } from "../ops/formula.ts";
import { groupSettings } from "./parameter-groups.ts";
import { asUpdate, type GradientTransform, type Optimizer, plain, type Step, type Update } from "./transform.ts";
import type { OptimizerTarget, Slot, WrittenOptimizer } from "./written.ts";

/** The update of one parameter while the chain is written, with the slots of the links so far. */
interface ParameterUpdate {
  readonly name: string;
  readonly type: Value["type"];
  readonly view: View;
  readonly parameter: Value;
  readonly value: Value;
  readonly offset: Value | null;
  readonly update: Update;
  readonly gradient: Value;
  readonly slots: readonly Slot[];
}

/** How tensors of a parameter's shape are looked at while its update is computed, and the way back. */
interface View {
  readonly of: (tensor: Value) => Value;
  readonly back: (tensor: Value) => Value;
}

const AS_THEY_ARE: View = { of: (tensor) => tensor, back: (tensor) => tensor };

/**
 * Axes of size 1 behind the second and all others are left out: where they are last, ONNX Runtime's CPU provider takes a scalar and a tensor
 * element by element, which takes sixty times as long.
 */
function viewOf(f: Formula, { type }: Value): View {
  const dims = type?.kind === "tensor" ? (type.shape ?? []) : [];
  const length = Math.max(2, dims.findLastIndex((dim) => dim !== 1) + 1);
  const numbers = dims.filter((dim) => typeof dim === "number");
  if (type?.kind !== "tensor" || dims.length <= length || numbers.length < dims.length) return AS_THEY_ARE;
  const short = tensorType(type.dtype, numbers.slice(0, length));
  const shaped = (tensor: Value, to: ValueType, shape: readonly number[]): Value => {
    const made = f.reshape(tensor, shape);
    made.type = to;
    return made;
  };
  return {
    of: (tensor) => shaped(tensor, short, numbers.slice(0, length)),
    back: (tensor) => shaped(tensor, type, numbers),
  };
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
  const isScalar = (link: GradientTransform, slot: string | undefined): boolean =>
    slot !== undefined && link.scalars?.includes(slot) === true;
  const slotsOf = (link: GradientTransform, { name, type, offset }: ParameterUpdate): readonly Value[] =>
    link.slots.map((slot) => {
      if (offset !== null && link.name === lookahead?.transform && slot === lookahead.slot) return offset;
      const own = isScalar(link, slot) ? tensorType(DataType.float, []) : type;
      return new Value(names.fresh(`${name}/${link.name}/${slot}`), own);
    });
  const through = (updates: readonly ParameterUpdate[], link: GradientTransform): readonly ParameterUpdate[] => {
    const held = updates.map((each) => slotsOf(link, each));
    const parameters = updates.map(({ name, value, update, gradient, view }, index) => ({
      ...{ name, value, update, gradient },
      slots: (held[index] ?? []).map((slot, at) => (isScalar(link, link.slots[at]) ? slot : view.of(slot))),
      weightDecay: settingsOf(name).weightDecay,
      rate: () => rateOf(name),
    }));
    const results = link.transform(step, parameters);
    return updates.map((each, index) => {
      const { update, slots } = results[index] ?? { update: each.update, slots: [] };
      const own = link.slots.flatMap((slot, at): readonly Slot[] => {
        const [input, next] = [held[index]?.[at], slots[at]];
        if (input === undefined || next === undefined) return [];
        const single = isScalar(link, slot);
        return [{ name: input.name, input, next: single ? next : each.view.back(next), isScalar: single }];
      });
      return { ...each, update, slots: [...each.slots, ...own] };
    });
  };
  const start = trained.map(({ name, parameter, gradient, point }) => {
    const view = viewOf(f, parameter);
    const own = view.of(parameter);
    /** An Identity marks the gradient for AGR, which is put behind it. */
    const g = view === AS_THEY_ARE ? gradient : f.identity(view.of(gradient));
    return {
      ...{ name, type: parameter.type, view, parameter: own },
      ...{ value: point === undefined ? own : view.of(point.value), offset: point?.offset ?? null },
      ...{ update: asUpdate(g), gradient: g, slots: [] },
    };
  });
  const before = optimizer.before.reduce(through, start).map((each) => ({ ...each, gradient: each.update.tensor }));
  const gradients = before.map(({ update }) => update.tensor);
  const finished = optimizer.links.reduce(through, before);
  const updates = finished.map(({ name, view, parameter, update, slots }, index) => {
    const own = rateOf(name);
    const change =
      application === "whole"
        ? plain(step, update)
        : f.mul(update.tensor, update.factor === null ? own : f.mul(own, update.factor));
    const decay = update.decay === null ? null : f.mul(own, update.decay);
    return {
      name,
      gradient: gradients[index] ?? update.tensor,
      next: view.back(APPLICATIONS[application](f, parameter, change, decay)),
      slots,
    };
  });
  return { transform: optimizer.name, updates };
}
