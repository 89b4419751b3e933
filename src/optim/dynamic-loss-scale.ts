import { DataType } from "../graph/data-type.ts";
import { Value } from "../graph/graph.ts";
import { tensorType } from "../graph/value-type.ts";
import { Formula } from "../ops/formula.ts";
import type { OptimizerTarget, Slot, WrittenOptimizer } from "./written.ts";

/** PyTorch's GradScaler: doubled after so many updates in a row, halved where a gradient is not finite. */
const GROWTH_INTERVAL = 2000;
const [GROWTH, BACKOFF] = [2, 0.5];
/** Twice this would be infinite. */
const LARGEST = 2 ** 127;

/** State of the scale, each a float32 scalar. */
export interface ScalerState {
  readonly scale: Slot;
  /** Updates in a row since the scale changed. */
  readonly streak: Slot;
  /** Updates that were left out, of all there were. */
  readonly skipped: Slot;
}

/**
 * Leaves an update out where a gradient is not finite, and renews the loss's scale. Whatever writes the optimizer is given the
 * number of updates that were not left out.
 * @param scale the input that holds it
 */
export function withDynamicScale(
  target: OptimizerTarget,
  scale: Value,
  write: (target: OptimizerTarget) => WrittenOptimizer,
): { readonly written: WrittenOptimizer; readonly scaler: ScalerState } {
  const { build, opset, names, trained } = target;
  const f = new Formula(build, opset);
  const input = (name: string): Value => new Value(names.fresh(`loss_scale/${name}`), tensorType(DataType.float, []));
  const [streak, skipped] = [input("streak"), input("skipped")];
  /** Zero times what is not finite is NaN, and a NaN stays in a sum. */
  const probes = trained.map(({ gradient }) => f.sum(f.mul(gradient, 0), null, false));
  const [first] = probes;
  const sum = probes.length === 1 && first !== undefined ? first : f.emit("Sum", probes);
  const areFinite = f.not(f.emit("IsNaN", [sum]));
  const done = f.sub(target.step, f.cast(skipped, DataType.int64));
  const { transform, updates } = write({ ...target, step: done });
  const parameters = new Map(trained.map(({ name, parameter }) => [name, parameter]));
  const kept = updates.map((update) => ({
    ...update,
    next: f.where(areFinite, update.next, parameters.get(update.name) ?? update.next),
    slots: update.slots.map((slot) => ({ ...slot, next: f.where(areFinite, slot.next, slot.input) })),
  }));
  const longer = f.add(streak, 1);
  const grows = f.not(f.emit("Less", [longer, GROWTH_INTERVAL]));
  const grown = f.where(grows, f.min(f.mul(scale, GROWTH), LARGEST), scale);
  const slot = (held: Value, next: Value): Slot => ({ name: held.name, input: held, next, isScalar: true });
  return {
    written: { transform, updates: kept },
    scaler: {
      scale: slot(scale, f.where(areFinite, grown, f.mul(scale, BACKOFF))),
      streak: slot(streak, f.where(areFinite, f.where(grows, 0, longer), 0)),
      skipped: slot(skipped, f.where(areFinite, skipped, f.add(skipped, 1))),
    },
  };
}
