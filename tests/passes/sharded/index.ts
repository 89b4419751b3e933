import { ALIKE_CASES } from "./alike.ts";
import { ARRANGING_CASES } from "./arranging.ts";
import type { RuleCase } from "./case.ts";
import { CONTROL_CASES } from "./control.ts";
import { ELEMENTWISE_CASES } from "./elementwise.ts";
import { LOOP_CASES } from "./loops.ts";
import { NETWORK_CASES } from "./networks.ts";
import { PRODUCT_CASES } from "./products.ts";
import { RECURRENT_CASES } from "./recurrent.ts";
import { REDUCING_CASES } from "./reducing.ts";
import { SELECTING_CASES } from "./selecting.ts";

export const ALL_CASES: readonly RuleCase[] = [
  ...ALIKE_CASES,
  ...ARRANGING_CASES,
  ...CONTROL_CASES,
  ...ELEMENTWISE_CASES,
  ...LOOP_CASES,
  ...NETWORK_CASES,
  ...PRODUCT_CASES,
  ...RECURRENT_CASES,
  ...REDUCING_CASES,
  ...SELECTING_CASES,
];
