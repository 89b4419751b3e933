import type { FindOptions } from "../../analysis/find-optimizers/site.ts";
import { requireOption } from "../../errors.ts";
import { nameMatcher } from "../../ops/name-globs.ts";
import type { AgrScope } from "../../optim/agr.ts";

export type Form = "function" | "inline";

/** A trainable parameter, as the training model or the checkpoint knows it. */
export interface Parameter {
  readonly name: string;
  readonly shape: readonly number[];
}

/** The update of a parameter that is to be masked. */
export interface CautiousUpdate {
  readonly parameter: string;
  /** Whether a positive multiple of the update is added to the parameter; false: it is taken from it. */
  readonly ascends: boolean;
}

export interface InsertAgrOptions extends FindOptions {
  /** Over which elements |g| is summed. Default `tensor`. */
  readonly scope?: AgrScope;
  /** 1 is the paper's formula, 0 changes nothing. Default 1. */
  readonly strength?: number;
  /**
   * Sums over fewer elements than this leave the gradient alone: a sum over one element would make it zero for ever.
   * Default 2; 1 is the literal paper.
   */
  readonly minElements?: number;
  /** Parameters of lower rank are left alone; 2 leaves out biases and norm scales. Default 0. */
  readonly minRank?: number;
  /** Globs on parameter names; only these are regularized. Default: all. Needs `parameters`. */
  readonly include?: readonly string[];
  /** Globs on parameter names that are left alone. Default: none. Needs `parameters`. */
  readonly exclude?: readonly string[];
  /** One `AGR` function node per gradient, or primitive operators. Default `function` from IR 8 on, else `inline`. */
  readonly form?: Form;
  /** The trainable parameters, where they are known; then one AGR is written per parameter. */
  readonly parameters?: readonly Parameter[];
  /** The number of gradients, where only that is known. */
  readonly count?: number;
  /**
   * What is done to the gradients at the same place, in this order: `clip-norm:1` (over all that AGR reaches), `clip-value:0.5`,
   * `centralize`, `agc:0.01`, `normalize`, and `agr`, which comes last where the list does not have it. Default: AGR alone.
   */
  readonly transforms?: readonly string[];
  /**
   * Plain steps: cautious masking (arXiv 2411.16085) of these parameters' updates, behind the moments: what points against the gradient
   * is left out, the rest scaled by the share that is left. `insertProven` finds out the list. Default: none.
   */
  readonly cautious?: readonly CautiousUpdate[];
  /** Names of the optimizer nodes to take, where there are several that share gradients or take sequences. */
  readonly select?: string | readonly string[];
}

export const INSERT_AGR_DEFAULTS = {
  scope: "tensor",
  strength: 1,
  minElements: 2,
  minRank: 0,
  include: [],
  exclude: [],
} as const satisfies InsertAgrOptions;

export type Settings = Required<
  Pick<InsertAgrOptions, "scope" | "strength" | "minElements" | "minRank" | "include" | "exclude">
>;

/** @throws UsageError `E_OPTION` for a value outside its range. */
export function settingsOf(options: InsertAgrOptions): Settings {
  const { scope, strength, minElements, minRank, include, exclude } = { ...INSERT_AGR_DEFAULTS, ...options };
  requireOption(["tensor", "channel", "global"].includes(scope), "scope", "tensor, channel or global");
  requireOption(Number.isFinite(strength) && strength >= 0, "strength", "a number from 0 on");
  requireOption(Number.isSafeInteger(minElements) && minElements >= 1, "minElements", "a whole number from 1 on");
  requireOption(Number.isSafeInteger(minRank) && minRank >= 0, "minRank", "a whole number from 0 on");
  for (const [option, globs] of Object.entries({ include, exclude })) {
    requireOption(Array.isArray(globs) && globs.every((glob) => typeof glob === "string"), option, "a list of globs");
    nameMatcher(globs, option);
  }
  const { count, form, cautious = [] } = options;
  requireOption(
    Array.isArray(cautious) &&
      cautious.every((each) => typeof each?.parameter === "string" && typeof each.ascends === "boolean"),
    "cautious",
    "a list of parameters and how they are renewed",
  );
  requireOption(form === undefined || form === "function" || form === "inline", "form", "function or inline");
  requireOption(
    count === undefined || (Number.isSafeInteger(count) && count >= 1),
    "count",
    "a whole number from 1 on",
  );
  return { scope, strength, minElements, minRank, include, exclude };
}
