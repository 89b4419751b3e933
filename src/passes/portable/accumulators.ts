import { PassError } from "../../errors.ts";
import type { Graph, Node, Value } from "../../graph/graph.ts";
import { MICROSOFT } from "../lower-training-ops/lowering.ts";

const BUFFER_SUFFIX = "_grad.accumulation.buffer";

/** Where a training model of ONNX Runtime keeps the gradient of one parameter. */
export interface Accumulator {
  /** The parameter. */
  readonly name: string;
  readonly parameter: Value;
  readonly gradient: Value;
  readonly buffer: Value;
  /** Graph input that says whether the buffer is overwritten; null where it never is. */
  readonly reset: Value | null;
  readonly node: Node;
}

/**
 * The accumulators of a training model, in the order of its parameters among the graph's inputs.
 * @throws PassError `E_NO_GRADIENTS` where there are none, or one whose parameter is not an input
 */
export function accumulatorsOf(graph: Graph): readonly Accumulator[] {
  const inputs = new Map(graph.inputs.map((value, index) => [value.name, { value, index }]));
  const fail = (reason: string): PassError =>
    new PassError("E_NO_GRADIENTS", `the training model ${reason}`, {
      hint: "Give training_model.onnx as generate_artifacts of onnxruntime-training writes it.",
    });
  const found = graph.nodes.flatMap((node) => {
    if (node.domain !== MICROSOFT || node.opType !== "InPlaceAccumulatorV2") return [];
    const [buffer, gradient, reset = null] = node.inputs;
    if (!buffer || !gradient || !buffer.name.endsWith(BUFFER_SUFFIX)) {
      throw fail(`accumulates gradients in "${buffer?.name ?? "?"}", which is no gradient buffer by its name`);
    }
    const name = buffer.name.slice(0, -BUFFER_SUFFIX.length);
    const parameter = inputs.get(name);
    if (parameter === undefined) throw fail(`accumulates the gradient of "${name}", which is not an input`);
    return [{ name, parameter: parameter.value, at: parameter.index, gradient, buffer, reset, node }];
  });
  if (found.length === 0) throw fail("accumulates no gradients: it trains nothing");
  return found.toSorted((a, b) => a.at - b.at);
}

/** The outputs for the user: all but those that say that a gradient was accumulated. */
export function userOutputs(graph: Graph): readonly Value[] {
  return graph.outputs.filter(({ name }) => !/_grad(\.accumulation\.(buffer|out))?$/.test(name));
}
