import { requireOption, UsageError } from "../errors.ts";
import type { GradientTransform } from "./transform.ts";
import { centralize, clipAdaptively, clipByGlobalNorm, clipByValue, normalize } from "./transforms.ts";

/** What a list of transforms may have beside AGR: its name, and what makes it of the number after the colon. */
const STEPS: Readonly<
  Record<
    string,
    {
      readonly takes: "number" | "number or nothing" | "nothing";
      readonly make: (value: number | null) => GradientTransform;
    }
  >
> = {
  "clip-norm": { takes: "number", make: (limit) => clipByGlobalNorm(limit ?? Number.NaN) },
  "clip-value": { takes: "number", make: (limit) => clipByValue(limit ?? Number.NaN) },
  centralize: { takes: "nothing", make: () => centralize() },
  agc: { takes: "number or nothing", make: (limit) => clipAdaptively(limit ?? 0.01) },
  normalize: { takes: "nothing", make: () => normalize() },
};

/** Where AGR stands in the list. */
const AGR = "agr";

export interface GradientSteps {
  readonly before: readonly GradientTransform[];
  /** What comes behind AGR; empty where the list does not have it. */
  readonly after: readonly GradientTransform[];
  readonly hasAgr: boolean;
}

/**
 * Reads a list like `["clip-norm:1", "centralize", "agr"]`; AGR comes after all where the list does not say where.
 * @throws UsageError `E_OPTION`
 */
export function gradientSteps(list: readonly string[]): GradientSteps {
  requireOption(Array.isArray(list) && list.every((each) => typeof each === "string"), "transforms", "a list of texts");
  const at = list.indexOf(AGR);
  requireOption(at === list.lastIndexOf(AGR), "transforms", "a list with agr once");
  const made = list.filter((each) => each !== AGR).map(stepOf);
  return at < 0
    ? { before: made, after: [], hasAgr: false }
    : { before: made.slice(0, at), after: made.slice(at), hasAgr: true };
}

function stepOf(text: string): GradientTransform {
  const [name = "", number, ...rest] = text.split(":");
  const step = Object.hasOwn(STEPS, name) ? STEPS[name] : undefined;
  const value = number === undefined ? null : Number(number);
  const isNumber = number !== undefined && number.trim() !== "" && Number.isFinite(value) && rest.length === 0;
  if (step !== undefined && (number === undefined ? step.takes !== "number" : isNumber && step.takes !== "nothing"))
    return step.make(value);
  const forms = Object.entries(STEPS).map(([each, { takes }]) =>
    takes === "nothing" ? each : takes === "number" ? `${each}:<x>` : `${each}[:<x>]`,
  );
  throw new UsageError("E_OPTION", `"${text}" is no transform of gradients; there is ${[...forms, AGR].join(", ")}`, {
    field: "transforms",
  });
}
