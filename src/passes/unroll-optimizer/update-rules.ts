import { DataType } from "../../graph/data-type.ts";
import type { Value } from "../../graph/graph.ts";
import { ADAMW_OPTIMIZER, type SequenceOptimizer, SGD_OPTIMIZER } from "../../onnxruntime/sequence-optimizers.ts";
import type { Formula } from "../../ops/formula.ts";
import type { Call } from "../lower-training-ops/lowering.ts";

/** What all parameters of one optimizer share. */
export interface Schedule {
  /** float32 scalar. */
  readonly learningRate: Value;
  /** The number of this update counted from 1, int64 scalar. */
  readonly step: Value;
  /** Weight decay in the place of the node's own; null: the node's own. */
  readonly weightDecay: number | null;
}

/** One parameter with its gradient and slots, all of its shape. */
export interface Slotted {
  readonly parameter: Value;
  readonly gradient: Value;
  readonly slots: readonly Value[];
}

/** An optimizer of ONNX Runtime that takes sequences, and the update of one of its parameters. */
export interface UpdateRule {
  readonly operator: SequenceOptimizer;
  /** Names the slots: `<parameter>/<transform>/<slot>`. */
  readonly transform: string;
  readonly slots: readonly string[];
  readonly source: string;
  /** Emits what the parameters share, and gives the update of one. */
  readonly prepare: (
    f: Formula,
    call: Call,
    schedule: Schedule,
  ) => (slotted: Slotted) => {
    readonly parameter: Value;
    readonly slots: readonly Value[];
  };
}

/**
 * m' = alpha m + (1 - alpha) g;  v' = beta v + (1 - beta) g^2;  ac = 1 - alpha^t;  bc = 1 - beta^t
 *
 *     mode 0 (PyTorch's AdamW):        w' = w (1 - lr wd) - lr / ac * m' / (sqrt(v' / bc) + eps)
 *     mode 1 (transformers' AdamW):    w' = (w - lr sqrt(bc) / ac * m' / (sqrt(v') + eps)) (1 - lr wd)
 *
 * Mode 0 is written with sqrt(v') + eps sqrt(bc) in the denominator, which is the same and a pass over memory less.
 */
const adamW: UpdateRule = {
  operator: ADAMW_OPTIMIZER,
  transform: "adamw",
  slots: ["momentum0", "momentum1"],
  source: "orttraining/orttraining/training_ops/cpu/optimizer/adamw/adamw.cc; ORT-TRAINING 3.1",
  prepare: (f, call, { learningRate, step, weightDecay }) => {
    const [alpha, beta] = [call.float("alpha"), call.float("beta")];
    const [epsilon, decay] = [call.float("epsilon"), weightDecay ?? call.float("weight_decay")];
    const mode = call.int("adam_mode");
    if (mode !== 0 && mode !== 1) throw call.refuse(`adam_mode is ${mode}`);
    const corrects = call.int("correct_bias") !== 0;
    const t = f.cast(step, DataType.float);
    const correction = (base: number): Value => f.sub(1, f.pow(base, t));
    const root = corrects ? f.sqrt(correction(beta)) : null;
    const rate = root === null ? learningRate : f.mul(learningRate, f.div(root, correction(alpha)));
    const floor = mode === 0 && root !== null ? f.mul(root, epsilon) : f.number(epsilon);
    const kept = decay === 0 ? null : f.sub(1, f.mul(learningRate, decay));
    return ({ parameter, gradient, slots: [m, v] }) => {
      if (m === undefined || v === undefined) throw call.refuse("it has no moments");
      const first = f.add(f.mul(m, alpha), f.mul(gradient, 1 - alpha));
      const second = f.add(f.mul(v, beta), f.mul(f.square(gradient), 1 - beta));
      const change = f.mul(f.div(first, f.add(f.sqrt(second), floor)), rate);
      const decayed = kept !== null && mode === 0 ? f.mul(parameter, kept) : parameter;
      const moved = f.sub(decayed, change);
      return { parameter: kept !== null && mode === 1 ? f.mul(moved, kept) : moved, slots: [first, second] };
    };
  },
};

/** w' = w - lr g */
const sgd: UpdateRule = {
  operator: SGD_OPTIMIZER,
  transform: "sgd",
  slots: [],
  source: "orttraining/orttraining/training_ops/cpu/optimizer/sgd/sgd.cc; ORT-TRAINING 3.2",
  prepare: (f, call, { learningRate, weightDecay }) => {
    if (weightDecay !== null) throw call.refuse("it has no weight decay that a group of parameters could change");
    return ({ parameter, gradient }) => ({ parameter: f.sub(parameter, f.mul(gradient, learningRate)), slots: [] });
  },
};

export const UPDATE_RULES: readonly UpdateRule[] = [adamW, sgd];
