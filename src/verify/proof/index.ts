import { DIALECTS, findOptimizers } from "../../analysis/find-optimizers/index.ts";
import { flatStep } from "../../analysis/find-optimizers/plain-step/flat-step.ts";
import { pairState } from "../../analysis/find-optimizers/plain-step/pair-state.ts";
import type { Found } from "../../analysis/find-optimizers/site.ts";
import { NUMBER, OPTIONS, requireArgument } from "../../arguments.ts";
import { isGradientType } from "../../graph/data-type.ts";
import type { Value } from "../../graph/graph.ts";
import type { Model } from "../../graph/model.ts";
import { A_MODEL } from "../../graph/model.ts";
import type { InsertAgrOptions } from "../../passes/insert-agr/options.ts";
import { stripAgr } from "../../passes/strip-agr.ts";
import { loadOrtNode } from "../../runtime/ort-node/load.ts";
import { Search } from "./search.ts";

/** A parameter whose gradient was found, or named, and how it lies to the derivative of the loss. */
export interface ProvenParameter {
  readonly parameter: string;
  /** The tensor that AGR is put on. */
  readonly gradient: string;
  /** The loss whose derivative it is; null where it could not be compared: it was named, or the derivative is zero. */
  readonly loss: string | null;
  /** Between the derivative and the tensor, or, before a transform, the tensor it is applied to. 1 or -1: the same but for a factor. */
  readonly cosine: number | null;
  /** What is done to the gradient before the optimizer reads it. */
  readonly transforms: readonly string[];
  /** Accumulators that the tensor includes. */
  readonly accumulators: readonly string[];
  /** State inside an If in which gradients are added up after AGR: it reaches each of them, not their sum. */
  readonly summedIn: readonly string[];
  /** How many layers the network takes out of it one by one along the first axis; null where it is one layer's. */
  readonly layers: number | null;
  /** Whether it is put together with other parameters' gradients before the optimizer reads it: AGR stands before that. */
  readonly isMixed: boolean;
  /** Whether a person named the tensor. */
  readonly told: boolean;
}

export interface UnprovenParameter {
  readonly parameter: string;
  readonly shape: readonly number[] | null;
  readonly reason: string;
  /** The tensor that may be named in its place; null where none is known. */
  readonly gradient: string | null;
  /** Of the nearest tensor, with the derivative. */
  readonly cosine: number | null;
}

/** State that no derivative of the loss renews. */
export interface OtherState {
  readonly state: string;
  readonly reason: string;
  /** Whether what tells it from a parameter is only that its renewal lacks some of what the derivative is made of. */
  readonly isStatistic: boolean;
}

export interface Proof {
  /** Null: nothing could be compared. */
  readonly precision: "float64" | "float32" | null;
  /** Why nothing could be compared, or why not by reverse mode in float64. */
  readonly reason: string | null;
  /** How the derivative was got: by reverse mode, or, for a loss at least, by central differences along random directions. */
  readonly method: "gradients" | "differences" | null;
  /** Whether the derivative by reverse mode was compared with a central difference of the loss. */
  readonly isCrossChecked: boolean;
  readonly losses: readonly string[];
  readonly parameters: readonly ProvenParameter[];
  readonly unproven: readonly UnprovenParameter[];
  readonly otherState: readonly OtherState[];
  /** State that was paired by data flow alone, as `input=output`. */
  readonly inferred: readonly string[];
  /** What `insertAgr` takes to do what was proven. */
  readonly options: Pick<InsertAgrOptions, "state" | "gradient" | "trainable">;
}

export interface ProofOptions extends Pick<InsertAgrOptions, "state" | "gradient" | "select" | "reported"> {
  /** Where AGR goes when the gradient is clipped or centralized: before it, or (default) on what the optimizer reads. */
  readonly at?: "raw" | "transformed";
}

/**
 * Finds the gradients of a plain train step by what they are: runs the step in onnxruntime-node on seeded random inputs and
 * compares its tensors with the derivative of its losses with respect to the state (by reverse mode, or by central differences
 * where an operator has no gradient rule).
 *
 * A gradient is the highest tensor that all the data pass on their way into a parameter's renewal and that is the derivative but
 * for a factor. State without such a tensor is no parameter, where its renewal lacks what the derivative is made of; else it
 * is an unproven parameter.
 * @returns null where the model is no plain step
 * @throws UsageError `E_STATE`, `E_GRADIENT`; BackendError `E_RUNTIME_MISSING`
 */
export async function proveGradients(model: Model, options: ProofOptions = {}, seed = 0): Promise<Proof | null> {
  requireArgument("model", model, A_MODEL);
  requireArgument("options", options, OPTIONS);
  requireArgument("seed", seed, NUMBER);
  if (DIALECTS.some(({ find }) => isFound(find(model, options)))) return null;
  const step = model.clone();
  stripAgr(step);
  const flat = flatStep(step);
  const { pairs, inferred, open } = pairState(step, flat.graph, options.state ?? []);
  if (pairs.length === 0 || open.length > 0) return null;
  const renewals = new Set(pairs.map(({ output }) => output));
  const losses = scalarsOf(flat.graph.outputs.filter((value) => !renewals.has(value)));
  if (losses.length === 0) return null;
  const state = [...(options.state ?? []), ...inferred];
  const rules = (): ReadonlyMap<string, string> =>
    new Map(
      findOptimizers(step, { state }).sites.flatMap(({ edges }) =>
        edges.flatMap(({ parameter, value }) => (parameter === null ? [] : [[parameter.name, value.name] as const])),
      ),
    );
  const search = new Search(await loadOrtNode(), flat, pairs, losses, options, seed, rules);
  const proof = await search.run();
  return { ...proof, inferred, options: { ...proof.options, state } };
}

const isFound = ({ sites, refusals }: Found): boolean => sites.length + refusals.length > 0;

const LOSS_NAMES = [/(^|[^a-z])loss([^a-z]|$)/i, /loss|nll|cost|objective|criterion|energy|elbo|error|likelihood/i];

/** Numbers of one element, those that are called losses first. */
function scalarsOf(values: readonly Value[]): readonly Value[] {
  const isScalar = ({ type }: Value): boolean =>
    type?.kind === "tensor" && isGradientType(type.dtype) && (type.shape?.every((dim) => dim === 1) ?? false);
  const rank = ({ name }: Value): number => {
    const at = LOSS_NAMES.findIndex((pattern) => pattern.test(name));
    return at < 0 ? LOSS_NAMES.length : at;
  };
  return [...new Set(values)].filter(isScalar).toSorted((a, b) => rank(a) - rank(b));
}
