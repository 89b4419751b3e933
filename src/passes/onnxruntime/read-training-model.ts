import { PassError } from "../../errors.ts";
import type { Graph, Node, Value } from "../../graph/graph.ts";
import type { Model } from "../../graph/model.ts";
import { MICROSOFT } from "../../onnxruntime/domain.ts";
import { isGradientName, parameterOfBuffer } from "../../onnxruntime/training-names.ts";
import { graphOutputs, type TrainingGraph } from "../training-graph.ts";

/** Where a training model keeps the gradient of one parameter. */
interface Accumulator {
  readonly node: Node;
  readonly parameter: Value;
  readonly gradient: Value;
  readonly buffer: Value;
  /** Graph input that says whether the buffer is overwritten; null where it never is. */
  readonly reset: Value | null;
}

/**
 * Reads a training model of ONNX Runtime: its gradients, without what accumulates them. Changes the model it is given.
 * @param constants names of inputs that are parameters without a gradient, or running statistics
 * @throws PassError `E_NO_GRADIENTS` where there are no accumulators, or one whose parameter is not an input
 */
export function readTrainingModel(model: Model, constants: ReadonlySet<string>): TrainingGraph {
  const { graph } = model;
  const accumulators = accumulatorsOf(graph);
  const parameters = accumulators.map(({ parameter, gradient }) => ({ parameter, gradient }));
  const outputs = graph.outputs.filter(({ name }) => !isGradientName(name));
  graph.replaceOutputs(graphOutputs(outputs, parameters));
  graph.remove(accumulators.map(({ node }) => node));
  const own = new Set<Value | null>(accumulators.flatMap(({ buffer, reset }) => [buffer, reset]));
  graph.replaceInputs(graph.inputs.filter((value) => !own.has(value)));
  const trained = new Set(parameters.map(({ parameter }) => parameter));
  const isUsers = (value: Value): boolean => !trained.has(value) && !constants.has(value.name);
  return {
    model,
    inputs: graph.inputs.filter(isUsers),
    outputs,
    parameters,
    constants: graph.inputs.filter(({ name }) => constants.has(name)),
    lossScale: null,
    carried: [],
  };
}

/** The accumulators of a graph, in the order of the parameters among its inputs. */
function accumulatorsOf(graph: Graph): readonly Accumulator[] {
  const inputs = new Map(graph.inputs.map((value, index) => [value.name, { value, index }]));
  const fail = (reason: string): PassError =>
    new PassError("E_NO_GRADIENTS", `the training model ${reason}`, {
      hint: "Give training_model.onnx as generate_artifacts of onnxruntime-training writes it.",
    });
  const found = graph.nodes.flatMap((node) => {
    if (node.domain !== MICROSOFT || node.opType !== "InPlaceAccumulatorV2") return [];
    const [buffer, gradient, reset = null] = node.inputs;
    const name = buffer ? parameterOfBuffer(buffer.name) : null;
    if (!buffer || !gradient || name === null) {
      throw fail(`accumulates gradients in "${buffer?.name ?? "?"}", which is no gradient buffer by its name`);
    }
    const parameter = inputs.get(name);
    if (parameter === undefined) throw fail(`accumulates the gradient of "${name}", which is not an input`);
    return [{ parameter: parameter.value, at: parameter.index, gradient, buffer, reset, node }];
  });
  if (found.length === 0) throw fail("accumulates no gradients: it trains nothing");
  return found.toSorted((a, b) => a.at - b.at);
}
