import { LOSS_DEFAULTS, LOSSES_OF_OPTIONS, UsageError } from "../index.ts";
import type { BuildFlags, LossFlags } from "./build-options.ts";
import type { RuntimeOptions } from "./session-options.ts";
import { KEPT, type TrainCommandOptions } from "./train-options.ts";

/** Options that change nothing unless something else is asked for. */
interface Dependent<Flags> {
  /** As they are typed, and whether they were given another value than their default. */
  readonly options: Readonly<Record<string, (flags: Flags) => boolean>>;
  readonly isTaken: (flags: Flags) => boolean;
  /** How what takes them is asked for. */
  readonly by: string;
}

const optionOf = (options: object, name: string): unknown =>
  new Map<string, unknown>(Object.entries(options)).get(name);
const typed = (name: string): string => `--${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;

const OF_LOSSES: readonly Dependent<LossFlags>[] = Object.entries(LOSSES_OF_OPTIONS).map(([option, kinds]) => ({
  options: { [typed(option)]: (flags) => optionOf(flags, option) !== optionOf(LOSS_DEFAULTS, option) },
  isTaken: ({ loss }) => kinds.includes(loss),
  by: `--loss ${kinds.join(" or ")}`,
}));

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

const OF_TRAININGS: readonly Dependent<TrainCommandOptions>[] = [
  {
    options: { "--save-every": ({ saveEvery }) => saveEvery !== undefined },
    isTaken: ({ checkpoints }) => checkpoints !== undefined,
    by: "--checkpoints <folder>",
  },
  {
    options: { "--keep": ({ keep }) => keep !== KEPT },
    isTaken: ({ checkpoints, output }) => checkpoints !== undefined || output === undefined,
    by: "--checkpoints <folder>",
  },
  {
    options: { "--allow-mismatch": ({ allowMismatch }) => allowMismatch.length > 0 },
    isTaken: ({ resume }) => resume !== undefined,
    by: "--resume <folder>",
  },
  {
    options: { "--no-average-moments": ({ averageMoments }) => !averageMoments },
    isTaken: ({ localSteps }) => localSteps !== undefined,
    by: "--local-steps <n>",
  },
  {
    options: { "--steps-per-call": ({ stepsPerCall }) => stepsPerCall !== undefined },
    isTaken: ({ runtime }) => runtime !== "ort-training",
    by: "--runtime ort-node",
  },
];

const OF_RUNTIMES: readonly Dependent<RuntimeOptions>[] = [
  {
    options: {
      "--isolate": ({ isolate }) => isolate === true,
      "--ep": ({ ep = [] }) => ep.some((name) => name !== "cpu"),
    },
    isTaken: ({ runtime }) => runtime !== "ort-training",
    by: "--runtime ort-node",
  },
];

/** @throws UsageError `E_OPTION` for an option that ort-training does not have */
export function refuseIdleRuntimeOptions(options: RuntimeOptions): void {
  refuseIdle(OF_RUNTIMES, [options]);
}

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

/** @throws UsageError `E_OPTION` for an option that would change nothing */
export function refuseIdleTrainOptions(options: TrainCommandOptions): void {
  refuseIdle(OF_TRAININGS, [options]);
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
