import { DIALECTS } from "../../analysis/find-optimizers/index.ts";
import type { RenewedState, StateOwner } from "../../analysis/find-optimizers/plain-step/step-state.ts";
import { stepState } from "../../analysis/find-optimizers/plain-step/step-state.ts";
import type { FindOptions } from "../../analysis/find-optimizers/site.ts";
import { OPTIONS, requireArgument } from "../../arguments.ts";
import { AGR_RECORD, readRecord } from "../../edits/record.ts";
import { OnnxAgrError, UsageError } from "../../errors.ts";
import { A_MODEL, type Model } from "../../graph/model.ts";
import { stripAgr } from "../../passes/strip-agr.ts";
import { type Proof, type ProvenParameter, proveGradients, type UnprovenParameter } from "./index.ts";

export interface InspectedParameter extends StateOwner {
  /** What its gradient is; null where no proof was made or none was found. */
  readonly proven: ProvenParameter | null;
  /** Why no gradient is proven; null where one is, or no proof was made. */
  readonly unproven: UnprovenParameter | null;
}

export interface InspectedStep {
  readonly losses: readonly string[];
  readonly parameters: readonly InspectedParameter[];
  /** State that is no parameter nor a parameter's slot, and why it is none. */
  readonly otherState: readonly (RenewedState & { readonly reason: string })[];
  /** State that was paired by data flow alone, as `input=output`. */
  readonly inferred: readonly string[];
  /** The likeliest pairs where what renews what is not unique, as `input=output`. */
  readonly open: readonly string[];
  /** Null: not made; `notProven` says why. */
  readonly proof: Proof | null;
  readonly notProven: string | null;
  /** What `findOptimizers` takes to see the step like this. */
  readonly options: FindOptions;
}

/**
 * What a plain train step's state is: parameters with their slots, other state, losses, and what renews what. Where
 * onnxruntime-node runs the step, a parameter is what the derivative of a loss renews; else what a loss depends on.
 * @param options `proof: false` goes by names and data flow alone
 * @returns null where the model is no plain step
 * @throws UsageError `E_STATE`, `E_GRADIENT`
 */
export async function inspectStep(
  model: Model,
  options: FindOptions & { readonly proof?: boolean } = {},
): Promise<InspectedStep | null> {
  requireArgument("model", model, A_MODEL);
  requireArgument("options", options, OPTIONS);
  const { proof: wanted = true, ...asked } = options;
  if (DIALECTS.some((dialect) => dialect.find(model, asked).sites.length > 0)) return null;
  const step = model.clone();
  const settled = { ...recordedOptions(step), ...onlyGiven(asked) };
  stripAgr(step);
  const plain = stepState(step, settled);
  if (plain === null) return null;
  const made = wanted ? await tryProof(step, settled) : "it was not asked for";
  const proof = typeof made === "string" || made?.precision == null ? null : made;
  const notProven = typeof made === "string" ? made : (made?.reason ?? (made === null ? "there is no loss" : null));
  const { state, parameters, reasons } = classified(proof);
  const told = proof === null ? settled : { ...settled, state: proof.options.state ?? [], trainable: state };
  const {
    losses,
    parameters: owners,
    others,
    inferred,
    open,
  } = proof === null ? plain : (stepState(step, told) ?? plain);
  return {
    losses: proof === null || proof.losses.length === 0 ? losses : proof.losses,
    parameters: owners.map((owner) => ({
      ...owner,
      proven: parameters.get(owner.state) ?? null,
      unproven: proof?.unproven.find(({ parameter }) => parameter === owner.state) ?? null,
    })),
    otherState: others.map((each) => ({ ...each, reason: reasons.get(each.state) ?? each.reason })),
    inferred: proof?.inferred ?? inferred,
    open,
    proof,
    notProven: proof === null ? notProven : null,
    options: proof === null ? settled : { ...settled, ...proof.options, gradient: behindAgr(model, proof) },
  };
}

function classified(proof: Proof | null): {
  readonly state: readonly string[];
  readonly parameters: ReadonlyMap<string, ProvenParameter>;
  readonly reasons: ReadonlyMap<string, string>;
} {
  const { parameters = [], unproven = [], otherState = [] } = proof ?? {};
  return {
    state: [...parameters, ...unproven].map(({ parameter }) => parameter),
    parameters: new Map(parameters.map((each) => [each.parameter, each])),
    reasons: new Map(otherState.map(({ state, reason }) => [state, reason])),
  };
}

/** The gradients as the optimizer of the model reads them: behind AGR, where that is in it. */
function behindAgr(model: Model, { options: { gradient = [] } }: Proof): readonly string[] {
  const edges = readRecord(model, AGR_RECORD)?.edges ?? [];
  const moved = new Map(edges.map(({ from, to }) => [from, to]));
  return gradient.map((each) => {
    const at = each.indexOf("=");
    return `${moved.get(each.slice(0, at)) ?? each.slice(0, at)}${each.slice(at)}`;
  });
}

/** What the insertion in a model was told, or found. */
function recordedOptions(model: Model): FindOptions {
  const { state, reported } = (readRecord(model, AGR_RECORD)?.options ?? {}) as FindOptions;
  return onlyGiven({ state, reported });
}

function onlyGiven(options: { readonly [Key in keyof FindOptions]?: FindOptions[Key] | undefined }): FindOptions {
  return Object.fromEntries(
    Object.entries(options).filter(([, value]) => value !== undefined && (!Array.isArray(value) || value.length > 0)),
  );
}

/** The proof, or why there is none. */
async function tryProof(step: Model, options: FindOptions): Promise<Proof | string | null> {
  try {
    return await proveGradients(step, options);
  } catch (error) {
    if (error instanceof OnnxAgrError && !(error instanceof UsageError)) return error.message;
    throw error;
  }
}
