import { DIALECTS, findOptimizers, LAST_DIALECTS } from "../../analysis/find-optimizers/index.ts";
import type { FindOptions, OptimizerSite, Refusal } from "../../analysis/find-optimizers/site.ts";
import { PassError } from "../../errors.ts";
import { describeNode, type Value } from "../../graph/graph.ts";
import { type Model, ONNX_DOMAIN, walkGraphs } from "../../graph/model.ts";
import { MICROSOFT } from "../../onnxruntime/domain.ts";
import { irVersionFor } from "../raise-opset/index.ts";
import type { Form, InsertAgrOptions, Settings } from "./options.ts";

const FIRST_IR_WITH_FUNCTIONS = 8;
/** Where has been there since 9. */
const FIRST_OPSET = 9;
/** ReduceSum takes its axes as an input since 13. */
const FIRST_OPSET_WITH_AXES = 13;

/**
 * The optimizers to treat: those that were selected; else all of them where each takes its gradients as tensors (exporters write
 * one node per parameter) and no two share one, the only one where it takes a sequence.
 * @throws PassError `E_NO_OPTIMIZER`, `E_SEVERAL_OPTIMIZERS`
 */
export function chooseSites(
  model: Model,
  { select: wanted, ...find }: Pick<InsertAgrOptions, "select" | keyof FindOptions>,
): { readonly sites: readonly OptimizerSite[]; readonly refusals: readonly Refusal[] } {
  const { sites, refusals } = findOptimizers(model, find);
  const names = typeof wanted === "string" ? [wanted] : wanted;
  const chosen = names === undefined ? sites : sites.filter(({ name }) => names.includes(name));
  const problem = sites.length === 0 ? null : choiceProblem(sites, chosen, names);
  if (problem !== null) throw new PassError("E_SEVERAL_OPTIMIZERS", problem, { hint: HOW_TO_SELECT });
  if (chosen.length > 0) {
    const others = sites.filter((site) => !chosen.includes(site));
    return { sites: chosen, refusals: [...refusals, ...others.map(notSelected)] };
  }
  const looked = `looked for ${[...DIALECTS, ...LAST_DIALECTS].map(({ looksFor }) => looksFor).join("; ")}`;
  const nearest = refusals.map(({ at, reason }) => `${at}: ${reason}`).join("; ");
  throw new PassError(
    "E_NO_OPTIMIZER",
    `no optimizer was found; ${nearest === "" ? looked : `nearest: ${nearest}; ${looked}`}`,
    {
      hint: hasGradients(model)
        ? "The graph computes gradients and leaves the update to another: give that optimizer model, or the folder that holds both."
        : "Give a model with an optimizer in it, or a folder of training artifacts; see inspect --explain.",
    },
  );
}

/** Operators of ONNX Runtime's gradient graphs. */
const OF_GRADIENTS = /Grad(_\d+)?$|^InPlaceAccumulator/;

function hasGradients({ graph }: Model): boolean {
  return graph.nodes.some(({ domain, opType }) => domain === MICROSOFT && OF_GRADIENTS.test(opType));
}

const HOW_TO_SELECT = "Select by name: --select <name>, more than once for several.";

const described = (sites: readonly OptimizerSite[]): string =>
  sites.map(({ name, optimizer }) => `"${name}" (${optimizer})`).join(", ");

/** Why the choice is not one, or null. */
function choiceProblem(
  sites: readonly OptimizerSite[],
  chosen: readonly OptimizerSite[],
  names: readonly string[] | undefined,
): string | null {
  const unknown = names?.find((name) => !sites.some((site) => site.name === name));
  if (unknown !== undefined) return `no optimizer is named "${unknown}"; there is ${described(sites)}`;
  const ofSequences = chosen.filter(({ edges }) => edges.some(({ kind }) => kind === "sequence"));
  if (chosen.length > 1 && ofSequences.length > 0) {
    return `there are ${chosen.length} optimizers, and AGR goes before one that takes a sequence of gradients alone: ${described(chosen)}`;
  }
  if (names !== undefined) return null;
  const readers = new Map<Value, OptimizerSite[]>();
  for (const site of chosen) {
    for (const value of new Set(site.edges.map((edge) => edge.value))) {
      readers.set(value, [...(readers.get(value) ?? []), site]);
    }
  }
  const [shared] = [...readers].filter(([, own]) => own.length > 1);
  if (shared === undefined) return null;
  const [value, own] = shared;
  return `${own.length} of ${chosen.length} optimizers read the gradient "${value.name}": ${described(own)}; there is ${described(chosen)}`;
}

function notSelected(site: OptimizerSite): Refusal {
  return { dialect: site.dialect, node: null, at: described([site]), reason: "not selected" };
}

/** What a model that has none of ONNX's operators gets them in, where its IR version came with one as new. */
const USUAL_OPSET = 17;

/**
 * The version of ONNX's operators that AGR is written in. It has to be imported where the model imports none, having none of
 * them.
 * @throws PassError `E_OPSET` where AGR cannot be written in the model's opset
 */
export function chooseOpset(
  model: Model,
  { scope }: Settings,
): { readonly opset: number; readonly isImported: boolean; readonly notes: readonly string[] } {
  const isImported = model.opsets.has(ONNX_DOMAIN);
  const opset = isImported ? model.opset : opsetToImport(model);
  const least = scope === "channel" ? FIRST_OPSET_WITH_AXES : FIRST_OPSET;
  if (opset < least) {
    throw new PassError(
      "E_OPSET",
      `opset ${opset} is older than ${least}, the first that AGR with scope ${scope} can be written in`,
      {
        field: "opsetImport",
        hint: isImported ? "Export the model with a newer opset." : "Export the model with a newer IR version.",
      },
    );
  }
  if (isImported) return { opset, isImported, notes: [] };
  return {
    opset,
    isImported,
    notes: [`the model imports none of ONNX's own operators: ai.onnx ${opset} is imported for AGR`],
  };
}

/** The newest that fits the IR version. @throws PassError `E_OPSET` for a model with operators of a version it does not say */
function opsetToImport(model: Model): number {
  const own = model.rootGraphs
    .filter((root) => !model.functions.some(({ body }) => body === root))
    .flatMap((root) => [...walkGraphs(root)])
    .flatMap(({ nodes }) => nodes)
    .find(({ domain }) => domain === ONNX_DOMAIN);
  if (own !== undefined) {
    throw new PassError("E_OPSET", `${describeNode(own)} is of ONNX's own operators, of which no version is imported`, {
      field: "opsetImport",
      hint: "Add the import of ai.onnx that the model was exported with.",
    });
  }
  let opset = USUAL_OPSET;
  while (opset > 1 && irVersionFor(opset) > model.irVersion) opset--;
  return opset;
}

/** @throws PassError `E_IR_VERSION` where functions were asked for and the model cannot have any */
export function chooseForm(
  model: Model,
  { form }: InsertAgrOptions,
): { readonly form: Form; readonly notes: readonly string[] } {
  if (model.irVersion >= FIRST_IR_WITH_FUNCTIONS) return { form: form ?? "function", notes: [] };
  if (form === "function") {
    throw new PassError(
      "E_IR_VERSION",
      `IR version ${model.irVersion} has no functions; they came with ${FIRST_IR_WITH_FUNCTIONS}`,
      {
        hint: "Use --form inline.",
      },
    );
  }
  return {
    form: "inline",
    notes: form === undefined ? [`IR version ${model.irVersion} has no functions: AGR is written inline`] : [],
  };
}
