import type { RuleCase } from "./case.ts";
import { SILENT } from "./silent.ts";

export const ALL_CASES: readonly RuleCase[] = [...SILENT];
