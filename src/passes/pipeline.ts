import { type Kind, METHOD, requireArgument, TEXT } from "../arguments.ts";
import { UsageError } from "../errors.ts";
import type { Model } from "../graph/model.ts";
import { definitionOf, PASSES, type PassDefinition } from "./catalog.ts";
import { atStep, type Pass, type Report } from "./pass.ts";

/** A pass by name, with its options: `{ name: "raise-opset", options: { opset: 21 } }`. */
export interface PassRequest {
  readonly name: string;
  readonly options?: Readonly<Record<string, unknown>>;
}

export interface PipelineReport extends Report {
  readonly pass: "pipeline";
  /** What each pass did, in order. */
  readonly steps: readonly Report[];
}

const A_LIST: Kind = { what: "a list of passes: names, { name, options } or passes", holds: Array.isArray };

/**
 * Passes one after another, as one pass.
 * @param passes names of `PASSES`, names with options, or passes of your own; this is also what a file of a pipeline holds
 * @throws UsageError `E_PIPELINE` for a pass that there is not, an option that it does not have or one of the wrong kind,
 *   saying which of the list
 */
export function pipeline(passes: readonly (string | PassRequest | Pass)[]): Pass<PipelineReport> {
  requireArgument("passes", passes, A_LIST);
  const steps = passes.map((each, index) => stepOf(each, `passes[${index}]`));
  return { name: "pipeline", steps, run: (model) => runAll(model, steps) };
}

function runAll(model: Model, steps: readonly Pass[]): PipelineReport {
  const reports = steps.map((step, index) =>
    atStep(`pass ${step.name} (${index + 1} of ${steps.length})`, () => step.run(model)),
  );
  return {
    pass: "pipeline",
    changed: reports.reduce((sum, { changed }) => sum + changed, 0),
    skipped: reports.flatMap(({ skipped }) => skipped),
    notes: reports.flatMap(({ notes }) => notes),
    steps: reports,
  };
}

function stepOf(given: unknown, at: string): Pass {
  if (typeof given === "string") return made({ name: given }, at);
  if (isPass(given)) return given;
  if (isRequest(given)) return made(given, at);
  throw wrong(
    at,
    'is neither a name nor { name, options }: "strip-agr", { "name": "raise-opset", "options": { "opset": 21 } }',
  );
}

const isObject = (given: unknown): given is Readonly<Record<string, unknown>> =>
  typeof given === "object" && given !== null && !Array.isArray(given);

const isPass = (given: unknown): given is Pass =>
  isObject(given) && TEXT.holds(given["name"]) && METHOD.holds(given["run"]);

const isRequest = (given: unknown): given is PassRequest =>
  isObject(given) && TEXT.holds(given["name"]) && (given["options"] === undefined || isObject(given["options"]));

function made(request: PassRequest, at: string): Pass {
  const definition = definitionOf(request.name);
  if (definition === undefined) {
    const names = PASSES.map(({ name }) => name).join(", ");
    throw wrong(at, `there is no pass "${request.name}"; there are ${names}`);
  }
  for (const key of Object.keys(request)) {
    if (key !== "name" && key !== "options")
      throw wrong(`${at}.${key}`, "a pass has a name and options, and nothing else");
  }
  const { options = {} } = request;
  checkOptions(definition, options, at);
  return definition.make(options);
}

function checkOptions({ name, options }: PassDefinition, given: PassRequest["options"] & object, at: string): void {
  for (const [option, value] of Object.entries(given)) {
    const kind = Object.hasOwn(options, option) ? options[option] : undefined;
    if (kind === undefined) {
      const all = Object.keys(options).join(", ");
      throw wrong(
        `${at}.options.${option}`,
        `${name} has no such option; ${all === "" ? "it has none" : `it has ${all}`}`,
      );
    }
    if (!kind.holds(value)) throw wrong(`${at}.options.${option}`, `must be ${kind.what}`);
  }
  for (const [option, { holds, what }] of Object.entries(options)) {
    if (!holds(given[option])) throw wrong(`${at}.options.${option}`, `must be ${what}, and is not given`);
  }
}

const wrong = (field: string, reason: string): UsageError =>
  new UsageError("E_PIPELINE", `${field}: ${reason}`, { field });
