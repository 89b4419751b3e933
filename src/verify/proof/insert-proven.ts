import { findOptimizers } from "../../analysis/find-optimizers/index.ts";
import { OPTIONS, requireArgument } from "../../arguments.ts";
import { PassError, requireOption } from "../../errors.ts";
import type { Model } from "../../graph/model.ts";
import { A_MODEL } from "../../graph/model.ts";
import type { AgrScope } from "../../optim/agr.ts";
import { type InsertAgrReport, insertAgr } from "../../passes/insert-agr/index.ts";
import { type InsertAgrOptions, settingsOf } from "../../passes/insert-agr/options.ts";
import { judge } from "../../passes/insert-agr/selection.ts";
import { type Proof, type ProofOptions, proveGradients } from "./index.ts";
import { proveUpdates } from "./updates.ts";

export interface InsertProvenOptions extends Omit<InsertAgrOptions, "cautious">, Pick<ProofOptions, "at"> {
  /** Cautious masking (arXiv 2411.16085) of the updates of all parameters that AGR reaches, where they are proven too. Default false. */
  readonly cautious?: boolean;
  /** Whether the gradients of plain steps are compared with the derivative of the loss. Default true. */
  readonly proof?: boolean;
  /** Whether parameters whose gradient is not known may stay without AGR. Default false. */
  readonly allowPartial?: boolean;
}

export interface ProvenInsertion extends InsertAgrReport {
  /** Null: not asked for, or no plain step. */
  readonly proof: Proof | null;
}

/**
 * `insertAgr` that proves of plain train steps that what it regularizes is the gradient; other dialects say themselves
 * what their gradients are.
 * @returns the report, and the options that repeat the insertion
 * @throws PassError `E_NOT_GRADIENT` where a parameter's gradient is not found, with the numbers, `E_PARTIAL` where some
 *   parameters would stay without AGR, `E_CAUTIOUS` where an update to be masked is not proven; and as `insertAgr` and `proveGradients`. The model is unchanged then.
 */
export async function insertProven(
  model: Model,
  options: InsertProvenOptions = {},
): Promise<{ readonly report: ProvenInsertion; readonly options: InsertAgrOptions }> {
  requireArgument("model", model, A_MODEL);
  requireArgument("options", options, OPTIONS);
  const { proof: wanted = true, allowPartial = false, at, cautious = false, ...asked } = options;
  requireOption(typeof cautious === "boolean", "cautious", "true or false");
  const proof = wanted ? await proveGradients(model, { ...asked, ...(at === undefined ? {} : { at }) }) : null;
  const isRun = proof !== null && proof.precision !== null;
  if (isRun) requireProof(proof, asked, allowPartial);
  else if (!allowPartial) requireAll(model, asked);
  const found = isRun ? { ...asked, ...proof.options } : asked;
  if (cautious && proof !== null && !isRun) throw unproven(proof.reason ?? "the step does not run");
  if (cautious && !wanted) throw unproven("it was asked for without the proof");
  const updates = cautious ? await proveUpdates(model, found) : [];
  const settled: InsertAgrOptions = updates.length === 0 ? found : { ...found, cautious: updates };
  const report = insertAgr(model, settled);
  const masked = new Set(updates.map(({ parameter }) => parameter));
  const unmasked = cautious ? (report.reached?.filter((name) => !masked.has(name)) ?? []) : [];
  const masks =
    unmasked.length === 0 ? [] : [`not masked, for the update is the gradient itself: ${unmasked.join(", ")}`];
  return {
    report: { ...report, proof, notes: [...report.notes, ...notesOf(proof, report.options.scope), ...masks] },
    options: settled,
  };
}

const unproven = (reason: string): PassError =>
  new PassError("E_CAUTIOUS", `no update is masked that is not proven: ${reason}`, { hint: "Leave --cautious out." });

/** Unproven parameters that AGR was meant for: neither too small for it nor left out by choice. */
function requireProof(proof: Proof, options: InsertAgrOptions, allowPartial: boolean): void {
  const settings = settingsOf(options);
  const missing = proof.unproven.filter(({ parameter: name, shape }) => judge(settings, { name, shape }) === null);
  const [first] = missing;
  if (first === undefined || (allowPartial && proof.parameters.length > 0)) return;
  const reasons = missing.map(({ parameter, reason }) => `parameter "${parameter}": ${reason}`).join("; ");
  const flags = missing.flatMap(({ parameter, gradient }) =>
    gradient === null ? [] : [`--gradient ${gradient}=${parameter}`],
  );
  const named =
    flags.length > 0
      ? `If these are the gradients that the step uses (part of its loss is detached, say), name them: ${flags.join(" ")}.`
      : `Name the gradient: --gradient <tensor>=${first.parameter}.`;
  const rest = proof.parameters.length > 0 ? " To leave these parameters without AGR: --allow-partial." : "";
  throw new PassError("E_NOT_GRADIENT", `no gradient is proven: ${reasons}`, {
    field: first.parameter,
    hint: `${named}${rest}`,
  });
}

/** @throws PassError `E_PARTIAL` */
function requireAll(model: Model, options: InsertAgrOptions): void {
  const settings = settingsOf(options);
  const { sites, refusals } = findOptimizers(model, options);
  const missing = refusals.filter(({ parameter }) => parameter !== undefined && judge(settings, parameter) === null);
  const [first] = missing;
  if (first === undefined || sites.length === 0) return;
  throw new PassError(
    "E_PARTIAL",
    `some parameters would stay without AGR: ${missing.map(({ at, reason }) => `${at}: ${reason}`).join("; ")}`,
    {
      field: first.parameter?.name ?? first.at,
      hint: "Name their gradients with --gradient <tensor>=<parameter>, or leave them as they are with --allow-partial.",
    },
  );
}

function notesOf(proof: Proof | null, scope: AgrScope): readonly string[] {
  if (proof === null) return [];
  if (proof.precision === null)
    return [`not proven that what is regularized is the gradient: ${proof.reason ?? "there is no reason"}`];
  const { losses, parameters, otherState, precision, inferred } = proof;
  const how =
    proof.method === "differences"
      ? ", by central differences"
      : proof.isCrossChecked
        ? ", by reverse mode, checked by a central difference"
        : "";
  const compared = parameters.flatMap(({ cosine }) => (cosine === null ? [] : [Math.abs(cosine)]));
  const lowest = Math.min(...compared);
  const [passed, sums] = [
    parameters.filter(({ transforms }) => transforms.length > 0),
    parameters.filter(({ accumulators }) => accumulators.length > 0),
  ];
  const summedIn = [...new Set(parameters.flatMap((each) => each.summedIn))];
  const told = parameters.filter((each) => each.told && each.cosine === null);
  const zero = parameters.filter((each) => !each.told && each.cosine === null);
  const mixed = parameters.filter(({ isMixed }) => isMixed);
  const list = (names: readonly string[]): string => names.join(", ");
  return [
    ...(inferred.length === 0
      ? []
      : [`state paired by data flow: ${list(inferred.map((pair) => pair.replace("=", " renewed by ")))}`]),
    ...(compared.length === 0
      ? []
      : [
          `proven in onnxruntime-node (${precision}${how}): ${compared.length} gradients are the derivative of ${list(losses.map((loss) => `"${loss}"`))}, cosine ${lowest.toFixed(6)} or more`,
        ]),
    ...passed.map(
      ({ parameter, gradient, transforms }) =>
        `"${parameter}": AGR comes after ${list(transforms)}, on "${gradient}"; before it with --at raw`,
    ),
    ...(sums.length === 0
      ? []
      : [`AGR comes after accumulation in ${list(sums.flatMap(({ accumulators }) => accumulators))}`]),
    ...(told.length === 0
      ? []
      : [`taken as named, not proven: ${list(told.map(({ parameter, gradient }) => `${gradient}=${parameter}`))}`]),
    ...zero.map(
      ({ parameter, gradient }) =>
        `"${parameter}": the derivative with respect to it is zero on random inputs, so nothing was compared; AGR is on "${gradient}", as the data flow says`,
    ),
    ...(mixed.length === 0
      ? []
      : [
          `AGR is on each gradient before it is put together with others for the optimizer: ${list(mixed.map(({ parameter }) => parameter))}`,
        ]),
    ...(summedIn.length === 0
      ? []
      : [
          `AGR comes on each gradient before it is added up inside an If, in ${list(summedIn)}: not on the sum, as the optimizer would read it`,
        ]),
    ...parameters.flatMap(({ parameter, layers }) =>
      layers === null || scope !== "tensor"
        ? []
        : [
            `"${parameter}" holds ${layers} layers: AGR takes one sum over all of them; one for each entry of the first axis with --scope channel`,
          ],
    ),
    ...(otherState.length === 0
      ? []
      : [`state that is no parameter, left alone: ${list(otherState.map(({ state }) => state))}`]),
    ...otherState
      .filter(({ isStatistic }) => isStatistic)
      .map(
        ({ state, reason }) =>
          `"${state}" has no AGR: it is ${reason}. If it is a parameter, name its gradient: --gradient <tensor>=${state}`,
      ),
  ];
}
