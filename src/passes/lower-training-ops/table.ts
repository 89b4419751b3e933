import { MICROSOFT } from "../../onnxruntime/domain.ts";
import { uniqueRows } from "../../ops/unique-rows.ts";
import { isMicrosoft, loweringOfCompound } from "../decompose/compound.ts";
import { COMPOUNDS } from "../decompose/table.ts";
import { ACCUMULATION } from "./accumulation.ts";
import { ACTIVATIONS } from "./activations.ts";
import { ARITHMETIC } from "./arithmetic.ts";
import { CONVOLUTION } from "./convolution.ts";
import { DROPOUT } from "./dropout.ts";
import { INDEXING } from "./indexing.ts";
import { LOSSES } from "./losses.ts";
import type { Lowering } from "./lowering.ts";
import { NORMALIZATION } from "./normalization.ts";
import { OPTIMIZERS } from "./optimizers.ts";
import { POOLING } from "./pooling.ts";
import { QUANTIZATION } from "./quantization.ts";
import { RECURRENT } from "./recurrent.ts";
import { RESHAPING } from "./resize.ts";
import { SOFTMAX } from "./softmax.ts";

/** Every operator that has a lowering. */
export const LOWERINGS: readonly Lowering[] = [
  ...ACTIVATIONS,
  ...SOFTMAX,
  ...LOSSES,
  ...NORMALIZATION,
  ...CONVOLUTION,
  ...POOLING,
  ...INDEXING,
  ...ARITHMETIC,
  ...DROPOUT,
  ...RECURRENT,
  ...RESHAPING,
  ...QUANTIZATION,
  ...ACCUMULATION,
  ...OPTIMIZERS,
];

const key = (domain: string, op: string): string => `${domain}.${op}`;

/** Operators of inference that standard runtimes do not have either. */
const FUSED = COMPOUNDS.filter(isMicrosoft).map(loweringOfCompound);

const BY_NAME = uniqueRows(
  "lowerings",
  [...FUSED, ...LOWERINGS].map((each) => [key(each.domain ?? MICROSOFT, each.op), each] as const),
);

export function loweringOf(domain: string, op: string): Lowering | null {
  return BY_NAME.get(key(domain, op)) ?? null;
}
