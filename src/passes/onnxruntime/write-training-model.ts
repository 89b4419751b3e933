import { DataType } from "../../graph/data-type.ts";
import { Node, Value } from "../../graph/graph.ts";
import type { Model } from "../../graph/model.ts";
import { tensorType } from "../../graph/value-type.ts";
import { MICROSOFT } from "../../onnxruntime/domain.ts";
import { bufferName, doneName, gradientName, RESET_FLAG } from "../../onnxruntime/training-names.ts";
import type { TrainingGraph } from "../training-graph.ts";

const ACCUMULATOR = "InPlaceAccumulatorV2";

/**
 * Makes a training graph the training model that ONNX Runtime's training API takes: each gradient goes through an accumulator,
 * whose output says that it was done; the buffers and the flag that resets them come after the other inputs. Changes the model
 * of the graph it is given.
 */
export function toTrainingModel({ model, outputs, parameters }: TrainingGraph): Model {
  const { graph } = model;
  const reset = new Value(RESET_FLAG, tensorType(DataType.bool, [1]));
  const accumulated = parameters.map(({ parameter, gradient }) => {
    const { name, type } = parameter;
    const buffer = new Value(bufferName(name), type ?? tensorType(DataType.float));
    const done = new Value(doneName(name), tensorType(DataType.bool, [1]));
    const init = { name: `${gradientName(name)}/${ACCUMULATOR}`, domain: MICROSOFT };
    return { buffer, done, node: new Node(ACCUMULATOR, [buffer, gradient, reset], [done], init) };
  });
  graph.append(accumulated.map(({ node }) => node));
  graph.replaceOutputs([...outputs, ...accumulated.map(({ done }) => done)]);
  for (const { buffer } of accumulated) graph.inputs.push(buffer);
  graph.inputs.push(reset);
  model.opsets.set(MICROSOFT, model.opsets.get(MICROSOFT) ?? 1);
  return model;
}
