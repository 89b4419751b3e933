import { requireOption, UsageError } from "../errors.ts";
import { nameMatcher } from "../ops/name-globs.ts";

/** Parameters that are trained in a way of their own. */
export interface ParameterGroup {
  /** Globs of the parameters' names. A parameter belongs to the first group that has it. */
  readonly parameters: readonly string[];
  /** What the learning rate is multiplied by for them. Default 1; 0 keeps them as they are. */
  readonly learningRateScale?: number;
  /** Weight decay in the place of the optimizer's own. */
  readonly weightDecay?: number;
}

/** What a group says of one parameter. */
export interface GroupSettings {
  readonly learningRateScale: number;
  /** Null: the optimizer's own. */
  readonly weightDecay: number | null;
}

const UNGROUPED: GroupSettings = { learningRateScale: 1, weightDecay: null };

/**
 * Tells each parameter's settings.
 * @param names of all parameters
 * @throws UsageError `E_OPTION` for numbers and patterns that are none; `E_GROUP` for a group that no parameter belongs to
 */
export function groupSettings(
  groups: readonly ParameterGroup[],
  names: readonly string[],
): (name: string) => GroupSettings {
  const matchers = groups.map(({ parameters, learningRateScale = 1, weightDecay = null }) => {
    requireOption(
      Number.isFinite(learningRateScale) && learningRateScale >= 0,
      "learningRateScale",
      "a number from 0 on",
    );
    requireOption(
      weightDecay === null || (Number.isFinite(weightDecay) && weightDecay >= 0),
      "weightDecay",
      "a number from 0 on",
    );
    return { matches: nameMatcher(parameters, "parameterGroups"), settings: { learningRateScale, weightDecay } };
  });
  const groupOf = (name: string): number => matchers.findIndex(({ matches }) => matches(name));
  const used = new Set(names.map(groupOf));
  const empty = groups.findIndex((_, index) => !used.has(index));
  if (empty >= 0) {
    throw new UsageError("E_GROUP", `no parameter belongs to the group of ${groups[empty]?.parameters.join(", ")}`, {
      field: "parameterGroups",
      hint: `The parameters are ${names.slice(0, 10).join(", ")}${names.length > 10 ? ", ..." : ""}.`,
    });
  }
  return (name) => matchers[groupOf(name)]?.settings ?? UNGROUPED;
}
