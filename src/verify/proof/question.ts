import type { Tensor } from "onnxruntime-common";
import { valuesByName } from "../../analysis/find-optimizers/plain-step/flat-step.ts";
import { removeDeadNodes } from "../../edits/dead-nodes.ts";
import { GradientError } from "../../errors.ts";
import { Value } from "../../graph/graph.ts";
import type { Model } from "../../graph/model.ts";
import { encodeModel } from "../../graph/serde/encode.ts";
import { inferTypes } from "../../ops/inference/infer-types.ts";
import { toDouble } from "../../passes/change-precision.ts";
import { inlineFunctions } from "../../passes/inline-functions.ts";
import type { OrtModule, OrtSession } from "../../runtime/ort-node/load.ts";
import { numbersOf as elementsOf } from "../../runtime/ort-tensor.ts";
import type { NamedTensors } from "../../runtime/session.ts";
import { plainly } from "../try-run.ts";

/** What is asked: how tensors of a step lie to the derivative of a loss. Everything is named as in the flat step. */
export interface Question {
  readonly step: Model;
  readonly loss: string;
  /** The tensors that could be a parameter's gradient. */
  readonly candidates: ReadonlyMap<string, readonly string[]>;
  /** Values that the loss reads as constants. */
  readonly constants: readonly string[];
  readonly state: ReadonlySet<string>;
  /** State inputs that are fed with zeros. */
  readonly zeros: ReadonlySet<string>;
  readonly seed: number;
}

export type Precision = "float64" | "float32";

/** Step of central differences along a direction of elements of size 1. */
export const STEPS = { float64: 1e-5, float32: 1e-2 } as const;
/** What a constant is called where it is fed. */
const CONSTANT = " (constant)";

/** A copy of the step to be changed, without functions of its own. */
export function prepare({ step, loss: name, constants }: Question): {
  readonly model: Model;
  readonly values: ReadonlyMap<string, Value>;
  readonly loss: Value;
  readonly constants: readonly Value[];
} {
  const model = step.clone();
  inlineFunctions(model);
  inferTypes(model);
  const values = valuesByName(model.graph);
  const loss = values.get(name);
  if (loss === undefined) throw new GradientError("E_NO_GRADIENT", `the loss "${name}" is not in the graph`);
  return { model, values, loss, constants: constants.flatMap((each) => values.get(each) ?? []) };
}

/** A copy of the step in which what the loss reads as constants is fed. */
export function prepareLoss(question: Question): ReturnType<typeof prepare> {
  const prepared = prepare(question);
  for (const value of prepared.constants) {
    const fed = new Value(`${value.name}${CONSTANT}`, value.type);
    value.replaceAllUsesWith(fed);
    prepared.model.graph.inputs.push(fed);
  }
  return prepared;
}

export const fedConstants = (results: NamedTensors, constants: readonly Value[]): NamedTensors =>
  Object.fromEntries(
    constants.flatMap(({ name }) => (results[name] === undefined ? [] : [[`${name}${CONSTANT}`, results[name]]])),
  );

export const only = (feeds: NamedTensors, names: readonly string[]): NamedTensors =>
  Object.fromEntries(names.flatMap((name) => (feeds[name] === undefined ? [] : [[name, feeds[name]]])));

export async function open(ort: OrtModule, model: Model, precision: Precision): Promise<OrtSession> {
  const { graph } = model;
  removeDeadNodes(graph);
  graph.replaceInputs(graph.inputs.filter(({ isUsed }) => isUsed));
  if (precision === "float64") toDouble(model);
  return ort.InferenceSession.create(encodeModel(model), { ...plainly(), graphOptimizationLevel: "disabled" });
}

export const numbersOf = (tensor: Tensor | undefined): number[] => (tensor === undefined ? [] : elementsOf(tensor));
