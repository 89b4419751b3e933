import { uniqueRows } from "../unique-rows.ts";
import { ARRANGING_INFERENCE } from "./arranging.ts";
import { COMPOUND_INFERENCE } from "./compounds.ts";
import { CONTROL_INFERENCE } from "./control.ts";
import { ELEMENTWISE_INFERENCE } from "./elementwise.ts";
import type { InferenceRule } from "./inference.ts";
import { MAKING_INFERENCE } from "./making.ts";
import { NETWORK_INFERENCE } from "./networks.ts";
import { SELECTING_INFERENCE } from "./selecting.ts";
import { SIGNAL_INFERENCE } from "./signals.ts";

/** By operator; those of other domains as `domain.operator`. */
export const INFERENCE_RULES: ReadonlyMap<string, InferenceRule> = uniqueRows(
  "inference",
  ELEMENTWISE_INFERENCE,
  CONTROL_INFERENCE,
  MAKING_INFERENCE,
  ARRANGING_INFERENCE,
  SELECTING_INFERENCE,
  NETWORK_INFERENCE,
  SIGNAL_INFERENCE,
  COMPOUND_INFERENCE,
);
