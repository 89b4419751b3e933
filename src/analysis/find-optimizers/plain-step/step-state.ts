import { isGradientType } from "../../../graph/data-type.ts";
import type { Value } from "../../../graph/graph.ts";
import type { Model } from "../../../graph/model.ts";
import type { FindOptions } from "../site.ts";
import { Anatomy } from "./anatomy.ts";
import { flatStep } from "./flat-step.ts";
import { lossesOf, pairState, type StatePair } from "./pair-state.ts";

/** A state input and the output that renews it. */
export interface RenewedState {
  readonly state: string;
  readonly renewedBy: string;
}

export interface StateOwner extends RenewedState {
  /** State that leads to this parameter's renewal alone: moments, masters, counts. */
  readonly slots: readonly RenewedState[];
}

export interface StepState {
  /** Outputs that the state is told apart by. */
  readonly losses: readonly string[];
  readonly parameters: readonly StateOwner[];
  /** State that is neither a parameter nor one parameter's slot. */
  readonly others: readonly (RenewedState & { readonly reason: string })[];
  /** Pairs that neither a name nor a person told, but the data flow alone, as `input=output`. */
  readonly inferred: readonly string[];
  /** The likeliest pairs where which output renews which input is not unique, as `input=output`. */
  readonly open: readonly string[];
}

/**
 * What a plain train step takes and renews, by its names and data flow alone.
 * @param options `trainable` says which state inputs are parameters; default: those that the losses depend on
 * @returns null where nothing is renewed, or no output is one number that could be a loss
 * @throws UsageError `E_STATE`
 */
export function stepState(model: Model, options: FindOptions = {}): StepState | null {
  const { graph } = flatStep(model);
  const { pairs, inferred, open } = pairState(model, graph, options.state ?? []);
  if (pairs.length === 0 && open.length === 0) return null;
  const losses = lossesOf(graph, pairs);
  if (!losses.some(isNumber)) return null;
  const { trainable } = options;
  const anatomy = new Anatomy(graph, pairs, losses, trainable === undefined ? {} : { parameters: new Set(trainable) });
  const named = ({ input, output }: StatePair): RenewedState => ({ state: input.name, renewedBy: output.name });
  const owned = new Map(anatomy.parameters.map((pair) => [pair, anatomy.slotsOf(pair)]));
  const slots = new Set([...owned.values()].flat());
  const others = pairs.filter((pair) => !anatomy.isParameter(pair) && !slots.has(pair));
  return {
    losses: losses.map(({ name }) => name),
    parameters: [...owned].map(([pair, its]) => ({ ...named(pair), slots: its.map(named) })),
    others: others.map((pair) => ({
      ...named(pair),
      reason: anatomy.leadsTo(pair.input, anatomy.parameters)
        ? "it takes part in the renewal of several parameters: a count, a rate or a scale"
        : "it leads to no parameter's renewal",
    })),
    inferred,
    open,
  };
}

const isNumber = ({ type }: Value): boolean =>
  type?.kind === "tensor" && isGradientType(type.dtype) && (type.shape?.every((dim) => dim === 1) ?? true);
