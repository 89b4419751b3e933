import { requireOption, UsageError } from "../errors.ts";
import { globOf, nameMatcher } from "../ops/name-globs.ts";

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

/** What decides the group of a parameter that none is given for. */
export interface GroupMember {
  readonly name: string;
  readonly rank: number;
  /** How many layers lie between it and the loss. */
  readonly depth: number;
}

/**
 * The groups that are given, then those of depth and of rank, of the parameters that belong to none.
 * @throws UsageError `E_OPTION`
 */
export function allGroups(
  members: readonly GroupMember[],
  {
    parameterGroups = [],
    decayMinRank = 0,
    layerDecay = 1,
  }: {
    readonly parameterGroups?: readonly ParameterGroup[];
    /** Parameters of lower rank get no weight decay. */
    readonly decayMinRank?: number;
    /** What the learning rate is multiplied by from one layer to the one before it. */
    readonly layerDecay?: number;
  },
): readonly ParameterGroup[] {
  requireOption(Number.isFinite(layerDecay) && layerDecay > 0, "layerDecay", "a number above 0");
  const isGiven = parameterGroups.map(({ parameters }) => nameMatcher(parameters, "parameterGroups"));
  const made = new Map<string, ParameterGroup & { readonly parameters: string[] }>();
  for (const { name, rank, depth } of members) {
    const scale = layerDecay ** depth;
    const isFlat = rank < decayMinRank;
    if ((scale === 1 && !isFlat) || isGiven.some((matches) => matches(name))) continue;
    const key = `${scale} ${isFlat}`;
    const settings = { ...(scale === 1 ? {} : { learningRateScale: scale }), ...(isFlat ? { weightDecay: 0 } : {}) };
    const group = made.get(key) ?? { parameters: [], ...settings };
    group.parameters.push(globOf(name));
    made.set(key, group);
  }
  return [...parameterGroups, ...made.values()];
}
