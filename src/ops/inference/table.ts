import { ARRANGING_INFERENCE } from "./arranging.ts";
import { COMPOUND_INFERENCE } from "./compounds.ts";
import { ELEMENTWISE_INFERENCE } from "./elementwise.ts";
import type { InferenceRule } from "./inference.ts";
import { NETWORK_INFERENCE } from "./networks.ts";

/** By operator; those of other domains as `domain.operator`. A later row of one operator takes the place of an earlier. */
export const INFERENCE_RULES: ReadonlyMap<string, InferenceRule> = new Map([
  ...ELEMENTWISE_INFERENCE,
  ...ARRANGING_INFERENCE,
  ...NETWORK_INFERENCE,
  ...COMPOUND_INFERENCE,
]);
