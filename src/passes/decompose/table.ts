import { ATTENTION } from "./attention.ts";
import type { Compound } from "./compound.ts";
import { FUSED } from "./fused.ts";
import { RECURRENT } from "./recurrent.ts";
import { ROTARY } from "./rotary.ts";
import { SAMPLING } from "./sampling.ts";
import { SIGNALS } from "./signals.ts";

/** Operators that are made of others, each written in those before the gradient is taken. */
export const COMPOUNDS: readonly Compound[] = [
  ...ATTENTION,
  ...ROTARY,
  ...FUSED,
  ...RECURRENT,
  ...SAMPLING,
  ...SIGNALS,
];
