import { type Kind, NUMBER, OPTIONS, requireArgument } from "../arguments.ts";
import { requireOption } from "../errors.ts";
import { DataType } from "../graph/data-type.ts";
import type { Value } from "../graph/graph.ts";
import { Tensor } from "../graph/tensor.ts";
import type { Builder } from "../ops/builder.ts";

/**
 * A learning rate as a function of the step. With s updates done before this one, as in Hugging Face transformers'
 * `get_linear_schedule_with_warmup` and `get_cosine_schedule_with_warmup`:
 *
 *     warm(s)  = min(s / warmupSteps, 1)                                   1 where there is no warmup
 *     p(s)     = clip((s - warmupSteps) / (totalSteps - warmupSteps), 0, 1)
 *     decay(s) = 1 | 1 - p | (1 + cos(pi p)) / 2                           constant | linear | cosine
 *     rate(s)  = warm(s) * (finalRate + (rate - finalRate) * decay(s))
 */
export interface LearningRateSchedule {
  /** The rate after warmup, before decay. */
  readonly rate: number;
  /** Default `constant`. */
  readonly decay?: "constant" | "linear" | "cosine";
  /** Updates over which the rate rises from zero. Default 0. */
  readonly warmupSteps?: number;
  /** Updates after which decay is complete; needed for `linear` and `cosine`. */
  readonly totalSteps?: number;
  /** What the rate decays to. Default 0. */
  readonly finalRate?: number;
}

const SCHEDULE: Kind = { ...OPTIONS, what: "a schedule: { rate, decay?, warmupSteps?, totalSteps?, finalRate? }" };

type Complete = Required<LearningRateSchedule>;

/** Checks a schedule and fills in its defaults. @throws UsageError `E_OPTION` */
export function completeSchedule(schedule: LearningRateSchedule): Complete {
  requireArgument("schedule", schedule, SCHEDULE);
  const { rate, decay = "constant", warmupSteps = 0, finalRate = 0 } = schedule;
  const { totalSteps = warmupSteps + 1 } = schedule;
  requireOption(Number.isFinite(rate) && rate >= 0, "learningRate", "a finite number from 0 on");
  requireOption(["constant", "linear", "cosine"].includes(decay), "decay", "constant, linear or cosine");
  requireOption(Number.isSafeInteger(warmupSteps) && warmupSteps >= 0, "warmupSteps", "a whole number from 0 on");
  requireOption(Number.isFinite(finalRate) && finalRate >= 0, "finalRate", "a finite number from 0 on");
  requireOption(
    decay === "constant" || schedule.totalSteps !== undefined,
    "totalSteps",
    `given for the ${decay} schedule`,
  );
  requireOption(
    Number.isSafeInteger(totalSteps) && totalSteps > warmupSteps,
    "totalSteps",
    "a whole number above warmupSteps",
  );
  return { rate, decay, warmupSteps, totalSteps, finalRate };
}

/** The rate of update `step`, counted from 1. */
export function learningRateAt(schedule: LearningRateSchedule, step: number): number {
  requireArgument("step", step, NUMBER);
  const { rate, decay, warmupSteps, totalSteps, finalRate } = completeSchedule(schedule);
  const done = step - 1;
  const warm = warmupSteps === 0 ? 1 : Math.min(done / warmupSteps, 1);
  const progress = Math.min(Math.max((done - warmupSteps) / (totalSteps - warmupSteps), 0), 1);
  const factor = { constant: 1, linear: 1 - progress, cosine: (1 + Math.cos(Math.PI * progress)) / 2 }[decay];
  return warm * (finalRate + (rate - finalRate) * factor);
}

/** Emits a constant, float32[1]. */
type Scalar = (value: number, hint: string) => Value;

type Decay = (build: Builder, progress: Value, number: Scalar) => Value;

const DECAYS: Record<"linear" | "cosine", Decay> = {
  linear: (build, progress, number) => build.emit("Sub", [number(1, "one"), progress], { hint: "decay" }),
  cosine: (build, progress, number) => {
    const wave = build.emit("Cos", [build.emit("Mul", [progress, number(Math.PI, "pi")], { hint: "angle" })]);
    const raised = build.emit("Add", [wave, number(1, "one")], { hint: "raised" });
    return build.emit("Mul", [raised, number(0.5, "half")], { hint: "decay" });
  },
};

/**
 * Emits the schedule.
 * @param step int64 of any shape with one element, counted from 1
 * @returns float32 of the same shape
 */
export function emitSchedule(build: Builder, schedule: LearningRateSchedule, step: Value): Value {
  const complete = completeSchedule(schedule);
  const { rate, decay, warmupSteps } = complete;
  const number: Scalar = (value, hint) => build.constant(Tensor.floats([1], [value]), hint);
  if (decay === "constant" && warmupSteps === 0) return number(rate, "rate");
  const done = build.emit("Sub", [build.cast(step, DataType.float), number(1, "one")], { hint: "done" });
  const result = decay === "constant" ? number(rate, "rate") : decayed(build, complete, done, DECAYS[decay], number);
  if (warmupSteps === 0) return result;
  const warming = build.emit("Div", [done, number(warmupSteps, "warmup")], { hint: "warming" });
  const warm = build.emit("Min", [warming, number(1, "one")], { hint: "warm" });
  return build.emit("Mul", [warm, result], { hint: "rate" });
}

function decayed(build: Builder, schedule: Complete, done: Value, decay: Decay, number: Scalar): Value {
  const { rate, warmupSteps, totalSteps, finalRate } = schedule;
  const decaying = build.emit("Sub", [done, number(warmupSteps, "warmup")], { hint: "decaying" });
  const share = build.emit("Div", [decaying, number(totalSteps - warmupSteps, "length")], { hint: "share" });
  const raised = build.emit("Max", [share, number(0, "zero")], { hint: "from_zero" });
  const progress = build.emit("Min", [raised, number(1, "one")], { hint: "progress" });
  const above = build.emit("Mul", [number(rate - finalRate, "span"), decay(build, progress, number)], {
    hint: "above_final",
  });
  return build.emit("Add", [number(finalRate, "final"), above], { hint: "decayed" });
}
