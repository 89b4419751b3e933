import type { Model } from "../graph/model.ts";
import type { TypeInference } from "../ops/inference/inference.ts";
import { readLastStates } from "./last-state.ts";
import { splitWhatSlicesPart } from "./parting-slices.ts";

/**
 * Writes what a model picks out of tensors so that the way back is short. It computes the same, bit for bit.
 * @param types has seen the graph; sees every node that is made
 */
export function simplifyGradients(model: Model, types: TypeInference): void {
  readLastStates(model, types);
  splitWhatSlicesPart(model, types);
}
