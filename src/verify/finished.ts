import { findOptimizers } from "../analysis/find-optimizers/index.ts";
import { knownShape } from "../analysis/find-optimizers/plain-step/known-shape.ts";
import { GRADIENTS_METADATA } from "../analysis/find-optimizers/portable.ts";
import { OPTIONS, requireArgument } from "../arguments.ts";
import { AGR_RECORD, type InsertionRecord, PREFIX, readRecord } from "../edits/record.ts";
import { BackendError, OnnxAgrError, PassError } from "../errors.ts";
import { diffModels } from "../graph/diff.ts";
import { Node } from "../graph/graph.ts";
import { A_MODEL, type Model } from "../graph/model.ts";
import { insertAgr } from "../passes/insert-agr/index.ts";
import { type InsertAgrOptions, settingsOf } from "../passes/insert-agr/options.ts";
import { judge } from "../passes/insert-agr/selection.ts";
import { stripAgr } from "../passes/strip-agr.ts";
import { isChangedAtZero, measureInsertion, type Verification, wrongEdge } from "./index.ts";
import { type Proof, proveGradients } from "./proof/index.ts";
import { proveUpdates } from "./proof/updates.ts";
import { optionsOf } from "./recorded-options.ts";

export type FinishedCheckName = "structure" | "formula" | "strength-zero" | "gradients" | "updates";

export interface FinishedCheck {
  readonly check: FinishedCheckName;
  /** Null: it could not be made, for the reason in `detail`. */
  readonly passed: boolean | null;
  readonly detail: string;
}

export interface FinishedReport {
  /** Whether no check failed. */
  readonly passed: boolean;
  readonly checks: readonly FinishedCheck[];
  /** What the file says it was made with. */
  readonly options: InsertAgrOptions;
  readonly verification: Verification | null;
  readonly proof: Proof | null;
}

export interface VerifyFinishedOptions {
  /** `tensor=parameter`: gradients that a person answers for. They are not compared with the derivative. */
  readonly gradient?: readonly string[];
  /** Whether parameters that the options select may be without AGR. Default false. */
  readonly allowPartial?: boolean;
  readonly seed?: number;
}

/**
 * Checks a model that has AGR in it, whoever made it and when:
 *
 * - `structure`: without what the record lists the model is one without AGR, and inserting with the recorded options gives this
 *   model again: function bodies, edges, provenance;
 * - `formula`: what the optimizer reads is AGR of the gradient, in onnxruntime-node on random inputs;
 * - `strength-zero`: with strength 0 the whole graph computes what it computes without AGR, bit for bit;
 * - `gradients`: what is regularized is the derivative of the loss, where a loss is in the graph, and no parameter is left out;
 * - `updates`, where updates are masked: they are what is added to the parameters.
 *
 * @throws PassError `E_NO_AGR`; GraphError `E_RECORD` where the graph is no longer what the record says
 */
export async function verifyFinished(model: Model, options: VerifyFinishedOptions = {}): Promise<FinishedReport> {
  requireArgument("model", model, A_MODEL);
  requireArgument("options", options, OPTIONS);
  const record = readRecord(model, AGR_RECORD);
  if (record === null) {
    throw new PassError("E_NO_AGR", "there is no AGR in the model to verify", {
      hint: "Put it in with onnx-agr insert; the record of it is in the model's metadata.",
    });
  }
  const recorded = optionsOf(record);
  const original = model.clone();
  stripAgr(original);
  const structure = structureOf(original, model, recorded);
  const measured = structure.passed === true ? await measure(original, model, recorded, options.seed ?? 0) : null;
  const { check: gradients, proof } = await gradientsOf(original, model, record, recorded, options);
  const checks = [structure, ...numbersOf(measured), gradients, ...(await updatesOf(original, recorded))];
  return {
    passed: checks.every(({ passed }) => passed !== false),
    checks,
    options: recorded,
    verification: typeof measured === "string" ? null : measured,
    proof,
  };
}

/** How many differences are told. */
const MOST_TOLD = 3;

function structureOf(original: Model, model: Model, options: InsertAgrOptions): FinishedCheck {
  const check = "structure";
  const again = original.clone();
  try {
    insertAgr(again, options);
  } catch (error) {
    if (!(error instanceof OnnxAgrError)) throw error;
    return { check, passed: false, detail: `inserting anew with the recorded options fails: ${error.message}` };
  }
  const differences = diffModels(again, model);
  if (differences.length === 0)
    return { check, passed: true, detail: "inserting anew with the recorded options gives this model" };
  const told = differences.slice(0, MOST_TOLD).map(({ kind, of, at }) => `${of} ${at} ${kind}`);
  const more = differences.length > MOST_TOLD ? `; and ${differences.length - MOST_TOLD} more` : "";
  return {
    check,
    passed: false,
    detail: `it is not what inserting anew with the recorded options gives: ${told.join("; ")}${more}`,
  };
}

/** The numbers, or why there are none. */
async function measure(
  original: Model,
  model: Model,
  options: InsertAgrOptions,
  seed: number,
): Promise<Verification | string> {
  try {
    return await measureInsertion(original, model, options, seed);
  } catch (error) {
    if (error instanceof BackendError) return error.message;
    throw error;
  }
}

function numbersOf(measured: Verification | string | null): readonly FinishedCheck[] {
  const none = measured ?? "the structure is another";
  if (typeof none === "string") {
    return (["formula", "strength-zero"] as const).map((check) => ({
      check,
      passed: null,
      detail: `not run: ${none}`,
    }));
  }
  const { edges, edgesReason, identicalAtStrengthZero, wholeGraphReason } = none;
  const wrong = wrongEdge(none);
  const worst = Math.max(...(edges ?? []).map(({ error }) => error));
  const isChanged = isChangedAtZero(none);
  return [
    {
      check: "formula",
      passed: edges === null ? null : wrong === undefined,
      detail:
        edges === null
          ? `not run: ${edgesReason}`
          : wrong === undefined
            ? `${edges.length} edges are the formula to within ${worst.toExponential(1)} of a gradient's largest entry`
            : `what the optimizer reads for "${wrong.gradient}" differs from the formula by ${wrong.error.toExponential(1)} of its largest entry`,
    },
    {
      check: "strength-zero",
      passed: identicalAtStrengthZero === null ? null : !isChanged,
      detail:
        identicalAtStrengthZero === null
          ? `not run: ${wholeGraphReason}`
          : isChanged
            ? "with strength 0 the graph's outputs are not what they are without AGR"
            : "with strength 0 every output is bit-identical",
    },
  ];
}

/** Whether the edges are what the proof finds anew. */
async function gradientsOf(
  original: Model,
  inserted: Model,
  record: InsertionRecord,
  recorded: InsertAgrOptions,
  { gradient = [], allowPartial = false, seed = 0 }: VerifyFinishedOptions,
): Promise<{ readonly check: FinishedCheck; readonly proof: Proof | null }> {
  const check = "gradients";
  const not = (reason: string) => ({
    check: { check, passed: null, detail: `not proven: ${reason}` } as const,
    proof: null,
  });
  const plain = original.clone();
  plain.metadata.delete(GRADIENTS_METADATA);
  const placed = placedOf(original, record, recorded);
  const taken = takenOver(inserted, placed);
  let best: { readonly proof: Proof; readonly problems: readonly string[] } | null = null;
  try {
    for (const at of ["transformed", "raw"] as const) {
      const { state = [] } = recorded;
      const proof = await proveGradients(plain, { state, gradient, at }, seed);
      if (proof === null) return not("no loss is in the graph; its optimizer says itself which its gradients are");
      if (proof.precision === null) return not(proof.reason ?? "the graph does not run");
      const problems = problemsOf(proof, placed, taken, plain, recorded, allowPartial);
      if (best === null || problems.length < best.problems.length) best = { proof, problems };
      if (problems.length === 0) break;
    }
  } catch (error) {
    if (error instanceof BackendError) return not(error.message);
    throw error;
  }
  if (best === null) throw new Error("a proof was tried");
  const { proof, problems } = best;
  const cosines = proof.parameters.flatMap(({ cosine }) => (cosine === null ? [] : [Math.abs(cosine)]));
  const passed = problems.length === 0;
  const detail = passed
    ? `${placed.size} gradients are the derivative of ${proof.losses.map((loss) => `"${loss}"`).join(", ")}, cosine ${Math.min(...cosines).toFixed(6)} or more`
    : problems.join("; ");
  return { check: { check, passed, detail }, proof };
}

/** Whether the masked updates are what a proof finds anew; no check where none is masked. */
async function updatesOf(original: Model, recorded: InsertAgrOptions): Promise<readonly FinishedCheck[]> {
  const check = "updates";
  const { cautious = [] } = recorded;
  if (cautious.length === 0) return [];
  try {
    const proven = await proveUpdates(original, recorded);
    const other = cautious.find(
      ({ parameter, ascends }) => proven.find((each) => each.parameter === parameter)?.ascends !== ascends,
    );
    const detail =
      other === undefined
        ? `${cautious.length} masked updates are what is added to the parameters`
        : `the update of "${other.parameter}" does not go the way the record says`;
    return [{ check, passed: other === undefined, detail }];
  } catch (error) {
    if (!(error instanceof OnnxAgrError)) throw error;
    const passed = error instanceof BackendError ? null : false;
    return [{ check, passed, detail: `${passed === null ? "not proven: " : ""}${error.message}` }];
  }
}

/** The tensors that AGR is on, by parameter. */
function placedOf(original: Model, record: InsertionRecord, options: InsertAgrOptions): ReadonlyMap<string, string> {
  const gradients = record.edges.filter(({ mask }) => mask !== true);
  const regularized = new Set(gradients.map(({ from, to, renamed }) => (renamed === true ? to : from)));
  const edges = findOptimizers(original, options).sites.flatMap((site) => site.edges);
  return new Map(
    edges.flatMap(({ value, parameter }) =>
      parameter !== null && regularized.has(value.name) ? [[parameter.name, value.name] as const] : [],
    ),
  );
}

/** The regularized tensors that nothing but AGR reads: whatever state they renew, it is with AGR. */
function takenOver({ graph }: Model, placed: ReadonlyMap<string, string>): ReadonlySet<string> {
  const wanted = new Set(placed.values());
  const values = [...graph.inputs, ...graph.nodes.flatMap(({ outputs }) => outputs)];
  return new Set(
    values.flatMap((value) =>
      value !== null &&
      wanted.has(value.name) &&
      value.uses.every(({ user }) => user instanceof Node && user.name.startsWith(`${PREFIX}/`))
        ? [value.name]
        : [],
    ),
  );
}

function problemsOf(
  { parameters, unproven, otherState }: Proof,
  placed: ReadonlyMap<string, string>,
  taken: ReadonlySet<string>,
  { graph }: Model,
  options: InsertAgrOptions,
  allowPartial: boolean,
): readonly string[] {
  const settings = settingsOf(options);
  const shapes = new Map(graph.inputs.map((input) => [input.name, knownShape(input)]));
  const wrong = [...placed].flatMap(([parameter, tensor]) => {
    const found = parameters.find((each) => each.parameter === parameter);
    if (found?.gradient === tensor) return [];
    const reason =
      found !== undefined
        ? `the derivative is "${found.gradient}"`
        : (unproven.find((each) => each.parameter === parameter)?.reason ??
          otherState.find(({ state }) => state === parameter)?.reason ??
          "no loss depends on it");
    return [`AGR is on "${tensor}" as the gradient of "${parameter}": ${reason}`];
  });
  const isSelected = (name: string): boolean => judge(settings, { name, shape: shapes.get(name) ?? null }) === null;
  const missing = parameters.filter(
    ({ parameter, gradient }) => !placed.has(parameter) && !taken.has(gradient) && isSelected(parameter),
  );
  return [...wrong, ...(allowPartial ? [] : missing).map(({ parameter }) => `"${parameter}" has no AGR`)];
}
