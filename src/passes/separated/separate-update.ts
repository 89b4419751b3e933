import { GRADIENTS_METADATA } from "../../analysis/find-optimizers/portable.ts";
import { AGR_DOMAIN } from "../../edits/agr-domain.ts";
import { removeDeadNodes } from "../../edits/dead-nodes.ts";
import { namesMetadata } from "../../edits/json-metadata.ts";
import { DataType } from "../../graph/data-type.ts";
import { type Graph, Node, Value } from "../../graph/graph.ts";
import { Names } from "../../graph/names.ts";
import { inferTypes } from "../../ops/inference/infer-types.ts";
import { inlineFunctions } from "../inline-functions.ts";
import type { StateTensor, StepModel } from "../portable/step-model.ts";
import { findRegion, type Region } from "./region.ts";
import { sumMagnitudes } from "./sum-magnitudes.ts";
import { writeUpdate } from "./write-update.ts";

/** A step in two: what comes before its update, and the update. */
export interface SeparatedUpdate {
  /** The step without the update: it gives what the update is made from in the place of what it renewed. */
  readonly step: StepModel;
  /**
   * The update: elementwise operators alone, on tensors of one size and single numbers. What is neither state nor a constant it takes
   * from outputs of the step, by their names. Its user's input is the step's loss, which it does not read: it is to be done where the
   * loss is finite.
   */
  readonly update: StepModel;
  /** How many numbers of state it renews. */
  readonly size: number;
}

/**
 * Takes out of a step the elementwise end of its update, which can be computed in one pass over memory, where the state lies. What goes
 * over all elements of a tensor stays, such as the sum of magnitudes that AGR divides by. Changes the model it is given.
 * @param operators of ONNX's domain that may be in an update
 * @returns null, and the model with its functions inlined, where nothing can be taken out
 */
export function separateUpdate(step: StepModel, operators: ReadonlySet<string>): SeparatedUpdate | null {
  const { model } = step;
  inlineFunctions(model, AGR_DOMAIN);
  inferTypes(model);
  const begins = new Set(namesMetadata(model, GRADIENTS_METADATA)?.keys());
  const region = findRegion(step, { operators, begins });
  const losses = model.graph.outputs.filter(({ name }) => name === step.outputs[0]);
  if (region === null || !losses.every(isNumber)) return null;
  const isTaken = (value: Value): boolean =>
    value.producer === null || (model.graph.outputs.includes(value) && !losses.includes(value));
  const outputs = new Map(region.given.map((value) => [value, isTaken(value) ? copied(value) : value]));
  const update = writeUpdate(model, region, outputs, losses);
  cut(model.graph, region, [...outputs.values()]);
  sumMagnitudes(model.graph);
  const renewed = new Set(region.renewed.map(({ state }) => state));
  const read = new Set(region.read.map(({ name }) => name));
  const inputs = new Set(model.graph.inputs.map(({ name }) => name));
  const readOnly = (state: StateTensor): StateTensor => ({ ...state, next: null });
  const none = { outputs: [], learningRate: null, step: null, reset: null, gradients: [] } as const;
  return {
    step: {
      ...step,
      state: step.state.flatMap((each) =>
        renewed.has(each) ? (inputs.has(each.name) ? [readOnly(each)] : []) : [each],
      ),
    },
    update: {
      ...{ ...none, model: update, inputs: losses.map(({ name }) => name) },
      state: step.state.flatMap((each) => (renewed.has(each) ? [each] : read.has(each.name) ? [readOnly(each)] : [])),
    },
    size: region.size,
  };

  /** What is given is an output of its own. */
  function copied(value: Value): Value {
    const copy = new Value(new Names(model).fresh(`${value.name}/given`), value.type);
    model.graph.append(new Node("Identity", [value], [copy], { name: copy.name }));
    return copy;
  }
}

/** Whether a value is known to be one number of float32. */
function isNumber({ type }: Value): boolean {
  return type?.kind === "tensor" && type.dtype === DataType.float && type.shape?.every((dim) => dim === 1) === true;
}

/** Ends a step where its update begins. */
function cut(graph: Graph, { renewed }: Region, given: readonly Value[]): void {
  const gone = new Set(renewed.map(({ next }) => next));
  graph.replaceOutputs(graph.outputs.filter((value) => !gone.has(value)));
  for (const value of given) if (!graph.outputs.includes(value)) graph.addOutput(value);
  removeDeadNodes(graph);
  const inputs = new Set(renewed.map(({ input }) => input));
  graph.replaceInputs(graph.inputs.filter((value) => value.isUsed || !inputs.has(value)));
}
