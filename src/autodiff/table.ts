import { uniqueRows } from "../ops/unique-rows.ts";
import type { GradientEntry, GradientTable } from "./rule.ts";
import { ARRANGING_RULES } from "./rules/arranging.ts";
import { CONTROL_RULES } from "./rules/control.ts";
import { CONVOLUTION_RULES } from "./rules/convolution.ts";
import { ELEMENTWISE_RULES, ZERO_RULES } from "./rules/elementwise.ts";
import { INDEXING_RULES } from "./rules/indexing.ts";
import { LOOP_RULES } from "./rules/loops.ts";
import { MATRIX_RULES } from "./rules/matrix.ts";
import { NORMALIZATION_RULES } from "./rules/normalization.ts";
import { QUANTIZATION_RULES } from "./rules/quantization.ts";
import { RECURRENT_RULES } from "./rules/recurrent.ts";
import { REDUCTION_RULES } from "./rules/reductions.ts";
import { REGION_RULES } from "./rules/regions.ts";
import { RESIZING_RULES } from "./rules/resizing.ts";
import { SAMPLING_RULES } from "./rules/sampling.ts";
import { SIGNAL_RULES } from "./rules/signals.ts";
import { CLASSIFICATION_RULES } from "./rules/softmax.ts";

const rowsOf = (table: GradientTable): readonly (readonly [string, GradientEntry])[] => Object.entries(table);

/** Every gradient rule, by operator; those of other domains as `domain.operator`. */
export const GRADIENT_RULES: ReadonlyMap<string, GradientEntry> = uniqueRows(
  "gradient rules",
  rowsOf(ELEMENTWISE_RULES),
  rowsOf(MATRIX_RULES),
  rowsOf(REDUCTION_RULES),
  rowsOf(ARRANGING_RULES),
  rowsOf(INDEXING_RULES),
  rowsOf(RESIZING_RULES),
  rowsOf(CONVOLUTION_RULES),
  rowsOf(NORMALIZATION_RULES),
  rowsOf(CLASSIFICATION_RULES),
  rowsOf(RECURRENT_RULES),
  rowsOf(SAMPLING_RULES),
  rowsOf(REGION_RULES),
  rowsOf(SIGNAL_RULES),
  rowsOf(QUANTIZATION_RULES),
  rowsOf(CONTROL_RULES),
  rowsOf(LOOP_RULES),
  rowsOf(ZERO_RULES),
);
