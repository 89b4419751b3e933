import { uniqueRows } from "../unique-rows.ts";
import { ARRANGING_INFERENCE } from "./arranging.ts";
import { COMPOUND_INFERENCE } from "./compounds.ts";
import { ELEMENTWISE_INFERENCE } from "./elementwise.ts";
import type { InferenceRule } from "./inference.ts";
import { LOOP_INFERENCE } from "./loops.ts";
import { NETWORK_INFERENCE } from "./networks.ts";
import { SIGNAL_INFERENCE } from "./signals.ts";

/** By operator; those of other domains as `domain.operator`. */
export const INFERENCE_RULES: ReadonlyMap<string, InferenceRule> = uniqueRows(
  "inference",
  ELEMENTWISE_INFERENCE,
  ARRANGING_INFERENCE,
  NETWORK_INFERENCE,
  SIGNAL_INFERENCE,
  COMPOUND_INFERENCE,
  LOOP_INFERENCE,
);
