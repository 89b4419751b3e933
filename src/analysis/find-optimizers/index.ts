import { OPTIONS, requireArgument } from "../../arguments.ts";
import { A_MODEL, calledFunction, type Model } from "../../graph/model.ts";
import { onnxTraining } from "./onnx-training.ts";
import { ortSequence } from "./ort-sequence.ts";
import { ortTensor } from "./ort-tensor.ts";
import { plainStep } from "./plain-step/index.ts";
import { portable } from "./portable.ts";
import type { Dialect, FindOptions, Found, OptimizerSite, Refusal } from "./site.ts";

/** Every dialect that is recognised, in the order in which they are tried. */
export const DIALECTS: readonly Dialect[] = [portable, ortSequence, ortTensor, onnxTraining];

/** Tried where no operator says "optimizer": what has no such operator can only be told by how its tensors depend on each other. */
export const LAST_DIALECTS: readonly Dialect[] = [plainStep];

/**
 * Finds the optimizers of a model, and says of each node that looked like one why it was not taken. What one dialect refuses
 * and another takes is not refused.
 * @throws UsageError `E_STATE`, `E_GRADIENT` for options that name what the graph does not have
 */
export function findOptimizers(model: Model, options: FindOptions = {}): Found {
  requireArgument("model", model, A_MODEL);
  requireArgument("options", options, OPTIONS);
  const named = DIALECTS.map((dialect) => dialect.find(model, options));
  const isOperator = ({ node }: Refusal): boolean => node === null || calledFunction(model, node) === undefined;
  const isNamed = named.some(({ sites, refusals }) => sites.length > 0 || refusals.some(isOperator));
  const found = isNamed ? named : [...named, ...LAST_DIALECTS.map((dialect) => dialect.find(model, options))];
  const sites = namedApart(found.flatMap((each) => each.sites));
  const taken = new Set(sites.flatMap(({ edges }) => edges.flatMap(({ uses }) => uses.map(({ user }) => user))));
  const refusals = found.flatMap((each) => each.refusals);
  return { sites, refusals: refusals.filter(({ node }) => node === null || !taken.has(node)) };
}

/** Sites of one name get numbers, so that each can be selected. */
function namedApart(sites: readonly OptimizerSite[]): readonly OptimizerSite[] {
  const counts = new Map<string, number>();
  return sites.map((site) => {
    if (!sites.some((other) => other !== site && other.name === site.name)) return site;
    const number = (counts.get(site.name) ?? 0) + 1;
    counts.set(site.name, number);
    return { ...site, name: `${site.name}#${number}` };
  });
}

/** What one dialect makes of a model. */
export interface Explanation {
  readonly dialect: string;
  readonly looksFor: string;
  readonly sites: Found["sites"];
  readonly refusals: Found["refusals"];
}

/** Every dialect with what it found or what stopped it: matches first, then near misses, then those that saw nothing. */
export function explainOptimizers(model: Model, options: FindOptions = {}): readonly Explanation[] {
  requireArgument("model", model, A_MODEL);
  requireArgument("options", options, OPTIONS);
  const explanations = [...DIALECTS, ...LAST_DIALECTS].map(({ name, looksFor, find }) => ({
    dialect: name,
    looksFor,
    ...find(model, options),
  }));
  const rank = ({ sites, refusals }: Explanation): number =>
    sites.length > 0 ? 0 : refusals.some(({ node }) => node !== null) ? 1 : 2;
  return explanations.toSorted((a, b) => rank(a) - rank(b));
}
