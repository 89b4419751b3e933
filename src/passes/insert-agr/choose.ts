import { PassError } from "../../errors.ts";
import type { Model } from "../../graph/model.ts";
import { DIALECTS, findOptimizers, LAST_DIALECTS } from "../find-optimizers/index.ts";
import type { FindOptions, OptimizerSite, Refusal } from "../find-optimizers/site.ts";
import type { Form, InsertAgrOptions, Settings } from "./options.ts";

const FIRST_IR_WITH_FUNCTIONS = 8;
/** Where has been there since 9. */
const FIRST_OPSET = 9;
/** ReduceSum takes its axes as an input since 13. */
const FIRST_OPSET_WITH_AXES = 13;

/**
 * The optimizers to treat: all of them where each takes its gradients as tensors (exporters write one node per parameter),
 * the only one where it takes a sequence.
 * @throws PassError `E_NO_OPTIMIZER`, `E_SEVERAL_OPTIMIZERS`
 */
export function chooseSites(
  model: Model,
  { select: wanted, ...find }: Pick<InsertAgrOptions, "select" | keyof FindOptions>,
): { readonly sites: readonly OptimizerSite[]; readonly refusals: readonly Refusal[] } {
  const { sites, refusals } = findOptimizers(model, find);
  const candidates = wanted === undefined ? sites : sites.filter(({ name }) => name === wanted);
  const allTensors = candidates.every(({ edges }) => edges.every(({ form }) => form === "tensor"));
  if (candidates.length === 1 || (candidates.length > 1 && allTensors)) return { sites: candidates, refusals };
  const names = sites.map(({ name, optimizer }) => `"${name}" (${optimizer})`).join(", ");
  if (sites.length > 0) {
    const problem =
      wanted === undefined
        ? `there are ${sites.length} optimizers: ${names}`
        : `no optimizer is named "${wanted}"; there is ${names}`;
    throw new PassError("E_SEVERAL_OPTIMIZERS", problem, { hint: "Choose one with --select <name>." });
  }
  const looked = `looked for ${[...DIALECTS, ...LAST_DIALECTS].map(({ looksFor }) => looksFor).join("; ")}`;
  const nearest = refusals.map(({ at, reason }) => `${at}: ${reason}`).join("; ");
  throw new PassError(
    "E_NO_OPTIMIZER",
    `no optimizer was found; ${nearest === "" ? looked : `nearest: ${nearest}; ${looked}`}`,
    {
      hint: "Give a model with an optimizer in it, or a folder of training artifacts; see inspect --explain.",
    },
  );
}

/** @throws PassError `E_OPSET` where AGR cannot be written in the model's opset */
export function requireOpset(model: Model, { scope }: Settings): void {
  const least = scope === "channel" ? FIRST_OPSET_WITH_AXES : FIRST_OPSET;
  if (model.opset >= least) return;
  throw new PassError(
    "E_OPSET",
    `opset ${model.opset} is older than ${least}, the first that AGR with scope ${scope} can be written in`,
    {
      hint: "Export the model with a newer opset.",
    },
  );
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
