/** Inputs of an optimizer model, by the names under which the training API fills them. */
export type OptimizerInput = "learning_rate" | "step" | "params" | "gradients" | SlotInput;

/** Sequences of optimizer state, in the order of the operators' slots. */
export const SLOT_INPUTS = ["first_order_moments", "second_order_moments"] as const;
export type SlotInput = (typeof SLOT_INPUTS)[number];

/** An optimizer operator over sequences of all parameters (ORT-TRAINING 3.1, 3.2). */
export interface SequenceOptimizer {
  readonly op: string;
  /** Inputs of the optimizer model, in the order that the training API asks for (ORT-TRAINING 1.3). */
  readonly modelInputs: readonly OptimizerInput[];
  /** Inputs of the node in their order, by what the model's inputs are called; what follows them is the update signal. */
  readonly inputs: readonly OptimizerInput[];
  /** Shape of the output that says that it updated: ONNX Runtime's own inference of the operators disagrees. */
  readonly flag: readonly number[];
}

export const ADAMW_OPTIMIZER: SequenceOptimizer = {
  op: "AdamWOptimizer",
  modelInputs: ["learning_rate", "step", "params", "gradients", "first_order_moments", "second_order_moments"],
  inputs: ["learning_rate", "step", "params", "gradients", "first_order_moments", "second_order_moments"],
  flag: [1],
};

export const SGD_OPTIMIZER: SequenceOptimizer = {
  op: "SGDOptimizerV2",
  modelInputs: ["learning_rate", "step", "params", "gradients", "first_order_moments"],
  inputs: ["learning_rate", "params", "gradients"],
  flag: [],
};

export const SEQUENCE_OPTIMIZERS: readonly SequenceOptimizer[] = [ADAMW_OPTIMIZER, SGD_OPTIMIZER];

/** The operator of a node by its type, in ONNX Runtime's domain. */
export const sequenceOptimizer = (opType: string): SequenceOptimizer | null =>
  SEQUENCE_OPTIMIZERS.find(({ op }) => op === opType) ?? null;
