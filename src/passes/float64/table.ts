import type { Compound } from "../decompose/compound.ts";
import { RECURRENT } from "../decompose/recurrent.ts";
import { CONVOLUTIONS } from "./convolution.ts";
import { ELEMENTWISE } from "./elementwise.ts";
import { NORMALIZATIONS } from "./normalization.ts";
import { RESIZING } from "./resize.ts";

/** Operators without a float64 kernel in ONNX Runtime's CPU provider, in such that have one. */
export const IN_FLOAT64: readonly Compound[] = [
  ...CONVOLUTIONS,
  ...ELEMENTWISE,
  ...NORMALIZATIONS,
  ...RESIZING,
  ...RECURRENT.map(({ when: _, ...every }) => every),
];
