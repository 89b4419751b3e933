import { LOSS_DEFAULTS, type LossKind, UsageError } from "../index.ts";
import type { BuildFlags, LossFlags } from "./build-options.ts";

/** Options that change nothing unless something else is asked for. */
interface Dependent<Flags> {
  /** As they are typed, and whether they were given another value than their default. */
  readonly options: Readonly<Record<string, (flags: Flags) => boolean>>;
  readonly isTaken: (flags: Flags) => boolean;
  /** How what takes them is asked for. */
  readonly by: string;
}

const ofLoss = (
  kinds: readonly LossKind[],
  options: Readonly<Record<string, (flags: LossFlags) => boolean>>,
): Dependent<LossFlags> => ({
  options,
  isTaken: ({ loss }) => kinds.includes(loss),
  by: `--loss ${kinds.join(" or ")}`,
});

const OF_LOSSES: readonly Dependent<LossFlags>[] = [
  ofLoss(["cross-entropy"], {
    "--class-axis": ({ classAxis }) => classAxis !== LOSS_DEFAULTS.classAxis,
    "--label-smoothing": ({ labelSmoothing }) => labelSmoothing !== LOSS_DEFAULTS.labelSmoothing,
    "--ignore-index": ({ ignoreIndex }) => ignoreIndex !== undefined,
    "--class-weights": ({ classWeights }) => classWeights !== undefined,
  }),
  ofLoss(["smooth-l1", "huber"], { "--threshold": ({ threshold }) => threshold !== LOSS_DEFAULTS.threshold }),
  ofLoss(["bce-with-logits"], {
    "--positive-weight": ({ positiveWeight }) => positiveWeight !== LOSS_DEFAULTS.positiveWeight,
  }),
];

type Built = Omit<BuildFlags, "set">;

const OF_BUILDS: readonly Dependent<Built>[] = [
  {
    options: {
      "--scope": ({ scope }) => scope !== undefined,
      "--strength": ({ strength }) => strength !== undefined,
      "--min-elements": ({ minElements }) => minElements !== undefined,
    },
    isTaken: ({ agr, transform }) => agr === true || transform?.includes("agr") === true,
    by: "--agr",
  },
  {
    options: {
      "--target": ({ target }) => target.length > 0,
      "--lora-alpha": ({ loraAlpha }) => loraAlpha !== undefined,
    },
    isTaken: ({ lora }) => lora !== undefined,
    by: "--lora <rank>",
  },
  {
    options: { "--init-seed": ({ initSeed }) => initSeed !== 0 },
    isTaken: ({ head, init }) => head !== undefined || init.length > 0,
    by: "--head or --init",
  },
];

/** @throws UsageError `E_OPTION` for an option of another loss */
export function refuseIdleLossOptions(flags: LossFlags): void {
  refuseIdle(OF_LOSSES, [flags]);
}

/**
 * @param sets the options of each training; one that takes an option is enough
 * @throws UsageError `E_OPTION` for an option that would change nothing in any
 */
export function refuseIdleOptions(sets: readonly Built[]): void {
  refuseIdle(OF_LOSSES, sets);
  refuseIdle(OF_BUILDS, sets);
}

function refuseIdle<Flags>(rows: readonly Dependent<Flags>[], sets: readonly Flags[]): void {
  for (const { options, isTaken, by } of rows) {
    if (sets.some(isTaken)) continue;
    const idle = Object.entries(options).find(([, isGiven]) => sets.some(isGiven))?.[0];
    if (idle === undefined) continue;
    const hint = `Give ${by}, or leave it out.`;
    throw new UsageError("E_OPTION", `${idle} changes nothing without ${by}`, { field: idle, hint });
  }
}
