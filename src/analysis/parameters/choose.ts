import { PassError } from "../../errors.ts";
import { isGradientType } from "../../graph/data-type.ts";
import type { Value } from "../../graph/graph.ts";
import type { Model } from "../../graph/model.ts";
import { nameMatcher } from "../../ops/name-globs.ts";
import type { Skipped } from "../skipped.ts";
import { notesOfCentres } from "./centres.ts";
import { CONSTANT_USES } from "./constant-uses.ts";
import { fixedNormalizations, notesOfFixed } from "./fixed-statistics.ts";
import { notesOfFolded } from "./folded-norms.ts";
import { rawValues, readingsOf } from "./readings.ts";

export interface ParameterChoice {
  /** Globs of the parameters to train. Default: all that can be. One that names constants of the program alone trains them. */
  readonly parameters?: readonly string[];
  /** Globs of parameters to leave as they are. */
  readonly freeze?: readonly string[];
}

export interface ParameterSelection {
  readonly candidates: readonly Value[];
  readonly frozen: readonly Value[];
  /** Constants of the program, each with the use that tells it. */
  readonly skipped: readonly Skipped[];
  /** What is chosen where the file does not say what is a parameter. */
  readonly notes: readonly string[];
}

/**
 * Chooses what is trained among a forward model's initializers, types inferred. Constants of the program are told by their use.
 * @param statistics running statistics, which are neither
 * @param roles what the exporter says of initializers, by name: null of a parameter, what it is of a constant
 * @throws PassError `E_NO_PARAMETERS` for a glob that names nothing; UsageError `E_OPTION` for one that is none
 */
export function chooseParameters(
  { graph }: Model,
  statistics: readonly Value[],
  roles: ReadonlyMap<string, string | null>,
  { parameters, freeze = [] }: ParameterChoice,
): ParameterSelection {
  const renewed = new Set(statistics);
  const all = graph.initializers.filter(
    (value) => value.tensor !== null && isGradientType(value.tensor.dtype) && !renewed.has(value),
  );
  const raw = rawValues(graph);
  const fixed = fixedNormalizations(
    graph,
    all.filter(({ name }) => !roles.has(name)),
  );
  const reasons = new Map(
    all.map((value) => {
      const role = roles.get(value.name);
      if (isEmpty(value)) return [value, "empty"];
      return [value, role === undefined ? (fixed.reasons.get(value) ?? constantReason(value, raw, all)) : role];
    }),
  );
  const isConstant = (value: Value): boolean => (reasons.get(value) ?? null) !== null;
  requireMatches(all, parameters ?? [], "params");
  requireMatches(all, freeze, "freeze");
  /** A glob may name a whole module, whose constants are not meant; one that names constants alone means them. */
  const meant = (parameters ?? []).filter((glob) => {
    const matches = nameMatcher([glob], "params");
    const named = all.filter(({ name }) => matches(name));
    return named.length > 0 && named.every(isConstant);
  });
  const isChosen = nameMatcher(parameters ?? ["*"], "params");
  const isFrozen = nameMatcher(freeze, "freeze");
  const isMeant = nameMatcher(meant, "params");
  const trains = (value: Value): boolean =>
    !isEmpty(value) && !isFrozen(value.name) && (isConstant(value) ? isMeant(value.name) : isChosen(value.name));
  const candidates = all.filter(trains);
  const skipped = all
    .filter((value) => !trains(value) && isConstant(value))
    .map((value) => ({ at: value.name, reason: `it is ${reasons.get(value)}` }));
  return {
    candidates,
    frozen: all.filter((value) => !trains(value) && !isConstant(value)),
    skipped,
    notes: [
      ...notesOfFixed(fixed.affine.filter((value) => !trains(value) && !isFrozen(value.name))),
      ...notesOfFolded(candidates),
      ...notesOfCentres(skipped),
    ],
  };
}

const isEmpty = ({ tensor }: Value): boolean => tensor?.size === 0;

/** Why an initializer is a constant of the program; null for a parameter. */
function constantReason(initializer: Value, raw: ReadonlySet<Value>, initializers: readonly Value[]): string | null {
  const readings = readingsOf(initializer);
  const uses = readings.map((reading) =>
    CONSTANT_USES.find(
      ({ operators, inputs, when }) =>
        operators.some((op) => op === reading.node.opType) &&
        (inputs === undefined || inputs.includes(reading.index)) &&
        (when === undefined || when({ ...reading, initializer, raw, initializers })),
    ),
  );
  return uses.every((use) => use !== undefined) ? (uses[0]?.reason ?? null) : null;
}

function requireMatches(values: readonly Value[], globs: readonly string[], option: string): void {
  const idle = globs.find((glob) => {
    const matches = nameMatcher([glob], option);
    return glob !== "*" && !values.some(({ name }) => matches(name));
  });
  if (idle === undefined) return;
  throw new PassError("E_NO_PARAMETERS", `no parameter is named like "${idle}"`, {
    field: option,
    hint: `The parameters are ${values
      .slice(0, 10)
      .map(({ name }) => name)
      .join(", ")}${values.length > 10 ? ", ..." : ""}.`,
  });
}
