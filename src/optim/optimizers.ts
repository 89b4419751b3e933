import { UsageError } from "../errors.ts";
import { gradientSteps } from "./gradient-steps.ts";
import { scaleByMuon } from "./muon.ts";
import { lookaheadOf, scheduleFree } from "./schedule-free.ts";
import type { GradientTransform, Optimizer } from "./transform.ts";
import {
  addCoupledDecay,
  addDecayedWeights,
  addProximalTerm,
  centralize,
  clipByGlobalNorm,
  clipByValue,
  maskCautiously,
  nonNegative,
  scaleByAdagrad,
  scaleByAdam,
  scaleByAdan,
  scaleByLion,
  scaleByRms,
  scaleByTrustRatio,
  trace,
} from "./transforms.ts";

/** What is done to the gradients before AGR and the optimizer. */
export interface GradientOptions {
  /** Strength of FedProx's proximal term, which holds the parameters near where the training began. Default: none. */
  readonly proximal?: number;
  /** Scales all gradients down together where their global norm is larger. Default: no clipping. */
  readonly clipNorm?: number;
  /** Limits every element of the gradients. Default: none. */
  readonly clipValue?: number;
  /** Gradient centralization (arXiv 2004.01461). Default false. */
  readonly centralize?: boolean;
  /**
   * What is done to the gradients, in this order, in the place of the three above: `clip-norm:1`, `clip-value:0.5`, `centralize`,
   * `agc:0.01` (adaptive clipping, arXiv 2102.06171), `normalize`, and `agr`, which says where AGR stands. Default: none.
   */
  readonly transforms?: readonly string[];
}

/** Hyperparameters; each optimizer takes some of them, and has its own defaults. */
export interface Hyperparameters {
  readonly momentum?: number;
  readonly nesterov?: boolean;
  readonly beta1?: number;
  readonly beta2?: number;
  readonly beta3?: number;
  readonly epsilon?: number;
  readonly weightDecay?: number;
  /** AdamW: `pytorch` decays first, `transformers` adds epsilon before the bias correction and decays last (ONNX Runtime's adam_mode). */
  readonly mode?: "pytorch" | "transformers";
  /** RMSprop: smoothing of the squares. */
  readonly alpha?: number;
  /** Adagrad: how the rate falls. */
  readonly rateDecay?: number;
  /** AdamW, Adan, Lion: leave out of every update what points against the gradient (arXiv 2411.16085). */
  readonly cautious?: boolean;
}

export type OptimizerName =
  | "sgd"
  | "adam"
  | "adamw"
  | "adan"
  | "adagrad"
  | "rmsprop"
  | "lamb"
  | "lion"
  | "muon"
  | "schedule-free-adamw";

export interface OptimizerOptions extends GradientOptions, Hyperparameters {
  readonly name: OptimizerName;
}

interface Entry {
  /** Every hyperparameter the optimizer takes. */
  readonly defaults: Hyperparameters;
  readonly source: string;
  readonly links: (values: Required<Hyperparameters>) => readonly GradientTransform[];
  readonly application?: (values: Required<Hyperparameters>) => Optimizer["application"];
  readonly lookahead?: (values: Required<Hyperparameters>) => Optimizer["lookahead"];
}

const ADAM = { beta1: 0.9, beta2: 0.999, epsilon: 1e-8 } as const;

/** Every optimizer with its defaults, which are PyTorch's or those of the authors' code. */
export const OPTIMIZERS: Readonly<Record<OptimizerName, Entry>> = {
  sgd: {
    defaults: { momentum: 0, nesterov: false, weightDecay: 0 },
    source: "torch.optim.SGD, dampening 0",
    links: ({ momentum, nesterov, weightDecay }) => [
      addCoupledDecay(nonNegative(weightDecay, "weightDecay")),
      ...(momentum === 0 ? [] : [trace(momentum, nesterov)]),
    ],
  },
  adam: {
    defaults: { ...ADAM, weightDecay: 0 },
    source: "torch.optim.Adam; arXiv 1412.6980",
    links: ({ weightDecay, ...adam }) => [
      addCoupledDecay(nonNegative(weightDecay, "weightDecay")),
      scaleByAdam("adam", { ...adam, epsilonFirst: false }),
    ],
  },
  adamw: {
    defaults: { ...ADAM, weightDecay: 0.01, mode: "pytorch", cautious: false },
    source: "torch.optim.AdamW; com.microsoft.AdamWOptimizer adam_mode 0 and 1; arXiv 1711.05101",
    links: ({ weightDecay, mode, cautious, ...adam }) => [
      scaleByAdam("adamw", { ...adam, epsilonFirst: mode === "transformers" }),
      ...(cautious ? [maskCautiously()] : []),
      addDecayedWeights(weightDecay),
    ],
    application: ({ mode }) => (mode === "transformers" ? "after" : "decoupled"),
  },
  adan: {
    defaults: { beta1: 0.98, beta2: 0.92, beta3: 0.99, epsilon: 1e-8, weightDecay: 0.02, cautious: false },
    source: "the authors' code, proximal weight decay; arXiv 2208.06677",
    links: ({ beta1, beta2, beta3, epsilon, weightDecay, cautious }) => [
      scaleByAdan([beta1, beta2, beta3], epsilon),
      ...(cautious ? [maskCautiously()] : []),
      addDecayedWeights(weightDecay),
    ],
    application: () => "proximal",
  },
  adagrad: {
    defaults: { epsilon: 1e-10, rateDecay: 0, weightDecay: 0 },
    source: "torch.optim.Adagrad",
    links: ({ epsilon, rateDecay, weightDecay }) => [
      addCoupledDecay(nonNegative(weightDecay, "weightDecay")),
      scaleByAdagrad(epsilon, nonNegative(rateDecay, "rateDecay")),
    ],
  },
  rmsprop: {
    defaults: { alpha: 0.99, epsilon: 1e-8, momentum: 0, weightDecay: 0 },
    source: "torch.optim.RMSprop, not centered",
    links: ({ alpha, epsilon, momentum, weightDecay }) => [
      addCoupledDecay(nonNegative(weightDecay, "weightDecay")),
      scaleByRms(alpha, epsilon),
      ...(momentum === 0 ? [] : [trace(momentum, false)]),
    ],
  },
  lamb: {
    defaults: { ...ADAM, epsilon: 1e-6, weightDecay: 0.01 },
    source: "arXiv 1904.00962, algorithm 2, with bias correction",
    links: ({ weightDecay, ...adam }) => [
      scaleByAdam("lamb", { ...adam, epsilonFirst: false }),
      scaleByTrustRatio(nonNegative(weightDecay, "weightDecay")),
    ],
  },
  lion: {
    defaults: { beta1: 0.9, beta2: 0.99, weightDecay: 0, cautious: false },
    source: "arXiv 2302.06675, algorithm 2",
    links: ({ beta1, beta2, weightDecay, cautious }) => [
      scaleByLion(beta1, beta2),
      ...(cautious ? [maskCautiously()] : []),
      addDecayedWeights(weightDecay),
    ],
  },
  muon: {
    defaults: { momentum: 0.95, nesterov: true, beta1: 0.9, beta2: 0.95, epsilon: 1e-10, weightDecay: 0.1 },
    source: "torch.optim.Muon; Adam for vectors",
    links: ({ weightDecay, ...muon }) => [scaleByMuon(muon), addDecayedWeights(weightDecay)],
  },
  "schedule-free-adamw": {
    defaults: { ...ADAM, weightDecay: 0 },
    source: "arXiv 2405.15682, algorithm 1",
    links: (values) => [scheduleFree(values)],
    application: () => "whole",
    lookahead: ({ beta1 }) => lookaheadOf(beta1),
  },
};

export const OPTIMIZER_NAMES = Object.keys(OPTIMIZERS) as readonly OptimizerName[];

/** The options with the optimizer's defaults filled in. @throws UsageError `E_OPTION` for one the optimizer does not take */
export function completeOptimizer(options: OptimizerOptions): OptimizerOptions {
  const { name, proximal, clipNorm, clipValue, centralize: isCentral, transforms, ...given } = options;
  const entry = Object.hasOwn(OPTIMIZERS, name) ? OPTIMIZERS[name] : undefined;
  if (entry === undefined) {
    throw new UsageError("E_OPTION", `there is no optimizer "${name}"; there is ${OPTIMIZER_NAMES.join(", ")}`, {
      field: "optimizer",
    });
  }
  const unknown = Object.keys(given).find((key) => !Object.hasOwn(entry.defaults, key));
  if (unknown !== undefined) {
    const taken = Object.keys(entry.defaults).join(", ");
    throw new UsageError("E_OPTION", `${name} does not take ${unknown}; it takes ${taken}`, { field: unknown });
  }
  if (transforms !== undefined && (clipNorm ?? clipValue ?? isCentral) !== undefined) {
    throw new UsageError(
      "E_OPTION",
      "transforms is a list of its own: clipNorm, clipValue and centralize stand in it",
      {
        field: "transforms",
      },
    );
  }
  return {
    name,
    ...(transforms === undefined ? {} : { transforms }),
    ...(proximal === undefined ? {} : { proximal }),
    ...(clipNorm === undefined ? {} : { clipNorm }),
    ...(clipValue === undefined ? {} : { clipValue }),
    ...(isCentral === true ? { centralize: true } : {}),
    ...entry.defaults,
    ...given,
  };
}

/** The optimizer as a chain. @throws UsageError `E_OPTION` */
export function makeOptimizer(options: OptimizerOptions): Optimizer {
  const complete = completeOptimizer(options);
  const entry = OPTIMIZERS[complete.name];
  const values = complete as Required<Hyperparameters>;
  const { proximal, clipNorm, clipValue, centralize: isCentral = false, transforms = [] } = complete;
  const { before, after } = gradientSteps(transforms);
  return {
    name: complete.name,
    before: [
      ...(proximal === undefined ? [] : [addProximalTerm(proximal)]),
      ...(isCentral ? [centralize()] : []),
      ...(clipValue === undefined ? [] : [clipByValue(clipValue)]),
      ...(clipNorm === undefined ? [] : [clipByGlobalNorm(clipNorm)]),
      ...before,
    ],
    links: [...after, ...entry.links(values)],
    application: entry.application?.(values) ?? "decoupled",
    lookahead: entry.lookahead?.(values) ?? null,
  };
}
