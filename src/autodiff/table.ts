import type { GradientTable } from "./rule.ts";
import { ARRANGING_RULES } from "./rules/arranging.ts";
import { CONTROL_RULES } from "./rules/control.ts";
import { CONVOLUTION_RULES } from "./rules/convolution.ts";
import { ELEMENTWISE_RULES, ZERO_RULES } from "./rules/elementwise.ts";
import { MATRIX_RULES } from "./rules/matrix.ts";
import { NORMALIZATION_RULES } from "./rules/normalization.ts";
import { RECURRENT_RULES } from "./rules/recurrent.ts";
import { REDUCTION_RULES } from "./rules/reductions.ts";
import { SAMPLING_RULES } from "./rules/sampling.ts";
import { CLASSIFICATION_RULES } from "./rules/softmax.ts";

/** Every gradient rule, by operator; those of other domains as `domain.operator`. */
export const GRADIENT_RULES: GradientTable = {
  ...ELEMENTWISE_RULES,
  ...MATRIX_RULES,
  ...REDUCTION_RULES,
  ...ARRANGING_RULES,
  ...CONVOLUTION_RULES,
  ...NORMALIZATION_RULES,
  ...CLASSIFICATION_RULES,
  ...RECURRENT_RULES,
  ...SAMPLING_RULES,
  ...CONTROL_RULES,
  ...ZERO_RULES,
};
