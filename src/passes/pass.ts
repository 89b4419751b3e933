import type { Skipped } from "../analysis/skipped.ts";
import { METHOD, OPTIONS, oneOf, optional, requireArgument, TEXT, withFields } from "../arguments.ts";
import { type OnnxAgrError, PassError } from "../errors.ts";
import { A_MODEL, type Model } from "../graph/model.ts";
import { checkValidity } from "./check-validity.ts";

export type { Skipped };

/** What a pass did. Passes change the model they are given and say what they changed. */

export interface Report {
  readonly pass: string;
  /** Edges, nodes or files changed; 0 exactly when the model encodes to the same bytes as before. */
  readonly changed: number;
  readonly skipped: readonly Skipped[];
  /** What a person should know: a fallback taken, a second insert that changed nothing. */
  readonly notes: readonly string[];
}

/** A change of a model, to be run by `runPass`. */
export interface Pass<R extends Report = Report> {
  readonly name: string;
  /** Changes the model. What it throws may leave the model half changed: `runPass` keeps it from that. */
  readonly run: (model: Model) => R;
  /** The passes that it runs one after another, where it is a pipeline. */
  readonly steps?: readonly Pass[];
}

/** When a model is checked: never, before and after all passes, or after each of them too. */
export type Validation = "never" | "ends" | "each";

export interface RunPassOptions {
  /** Default `ends`. */
  readonly validate?: Validation;
}

const VALIDATIONS: readonly Validation[] = ["never", "ends", "each"];
const A_PASS = withFields({ name: TEXT, run: METHOD }, "a pass: { name, run }");
const GIVEN = withFields({ validate: optional(oneOf(...VALIDATIONS)) }, '{ validate?: "never", "ends" or "each" }');

/**
 * Runs a pass. It runs on a copy first, so that a pass that refuses leaves the model as it was.
 * @returns the pass's report
 * @throws what the pass throws, naming the step of a pipeline; PassError `E_INVALID_RESULT`, naming the pass, where the model is
 *   not valid after it, and what `checkModel` throws where it is not before; the model is unchanged then
 */
export function runPass<R extends Report>(model: Model, pass: Pass<R>, options: RunPassOptions = {}): R {
  requireArgument("model", model, A_MODEL);
  requireArgument("pass", pass, A_PASS);
  requireArgument("options", options, OPTIONS);
  requireArgument("options", options, GIVEN);
  const { validate = "ends" } = options;
  if (validate !== "never") checkValidity(model);
  rehearse(model.clone(), pass, validate);
  return pass.run(model);
}

function rehearse(copy: Model, pass: Pass, validate: Validation): void {
  const steps = pass.steps ?? [pass];
  for (const [index, step] of steps.entries()) {
    const where = steps.length === 1 ? `pass ${step.name}` : `pass ${step.name} (${index + 1} of ${steps.length})`;
    atStep(pass.steps === undefined ? null : where, () => step.run(copy));
    if (validate === "each" || (validate === "ends" && index === steps.length - 1)) checkResult(copy, where);
  }
}

/** What `run` returns. An error of ours that it throws names the step. */
export function atStep<T>(where: string | null, run: () => T): T {
  try {
    return run();
  } catch (error) {
    throw where === null ? error : named(error, where);
  }
}

const isOurs = (error: unknown): error is OnnxAgrError => error instanceof Error && "exitCode" in error;

function named(error: unknown, where: string): unknown {
  if (isOurs(error)) error.message = `${where}: ${error.message}`;
  return error;
}

function checkResult(model: Model, where: string): void {
  try {
    checkValidity(model);
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new PassError("E_INVALID_RESULT", `${where} left a model that is not valid: ${reason}`, {
      field: where,
      hint: "Report it, with the model; the model given is unchanged.",
      cause,
    });
  }
}

/** What `run` makes of the model. It runs on a copy first: where it throws there, the model is unchanged. */
export function rehearsed<R>(model: Model, run: (model: Model) => R): R {
  run(model.clone());
  return run(model);
}
