import { Copier } from "../graph/clone.ts";
import type { Value } from "../graph/graph.ts";
import type { Model } from "../graph/model.ts";
import type { CarriedState } from "./carried-state.ts";

/** A parameter that is trained. */
export interface TrainedParameter {
  /** An input of the graph. */
  readonly parameter: Value;
  /** The loss's derivative with respect to it, of its shape: a value of the graph. */
  readonly gradient: Value;
}

/**
 * Forward and backward pass as one graph, in the operators of the forward model and ONNX's own. What is done with the gradients
 * is not in it: a portable step or ONNX Runtime's training model is made of it.
 *
 * The graph's inputs are `inputs`, then the parameters and `constants` in the order of the state, then what is carried and the loss's scale. Its
 * outputs are `outputs`, then the gradients and what is carried, each once.
 */
export interface TrainingGraph {
  readonly model: Model;
  /** What the user feeds. */
  readonly inputs: readonly Value[];
  /** What the user gets, the loss first. */
  readonly outputs: readonly Value[];
  /** In the order of the graph's inputs. */
  readonly parameters: readonly TrainedParameter[];
  /** Inputs with a tensor of the state that has no gradient: frozen parameters, and running statistics, which nodes renew in place. */
  readonly constants: readonly Value[];
  /** Inputs behind the constants that hold state of the batch before, with values of the graph. */
  readonly carried: readonly CarriedState[];
  /** The last input: takes what the loss is multiplied by where the training finds it, a float32 scalar, and begins at `initial`. */
  readonly lossScale: { readonly input: Value; readonly initial: number } | null;
}

/** A training graph of its own, of a model that encodes to the same bytes. */
export function copyTrainingGraph(training: TrainingGraph): TrainingGraph {
  const copier = new Copier();
  const model = training.model.clone(copier);
  const copies = (values: readonly Value[]): readonly Value[] => values.map((value) => copier.copyOf(value));
  return {
    model,
    inputs: copies(training.inputs),
    outputs: copies(training.outputs),
    parameters: training.parameters.map(({ parameter, gradient }) => ({
      parameter: copier.copyOf(parameter),
      gradient: copier.copyOf(gradient),
    })),
    constants: copies(training.constants),
    lossScale:
      training.lossScale === null ? null : { ...training.lossScale, input: copier.copyOf(training.lossScale.input) },
    carried: training.carried.map(({ input, next }) => ({ input: copier.copyOf(input), next: copier.copyOf(next) })),
  };
}

/** What a training graph's outputs are. */
export function graphOutputs(outputs: readonly Value[], parameters: readonly TrainedParameter[]): readonly Value[] {
  return [...new Set([...outputs, ...parameters.map(({ gradient }) => gradient)])];
}
