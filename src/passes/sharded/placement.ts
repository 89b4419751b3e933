/** How the whole of a tensor and what each part of a batch has of it belong together. */
export type Placement =
  /** Every part has the same, and all of it. */
  | { readonly kind: "replicated" }
  /**
   * Every part has a piece of an axis. The axis is `runs` stretches of one length, one behind the other, and the parts have equal pieces of
   * each stretch, in their order: what is flattened behind the time steps of a sequence is as many stretches as there are steps.
   */
  | { readonly kind: "sharded"; readonly axis: number; readonly runs: number }
  /** Every part has a tensor of the whole one's size, which is the sum or the mean of theirs. */
  | { readonly kind: "partial"; readonly by: Combination };

export type Sharded = Extract<Placement, { kind: "sharded" }>;
export type Combination = "sum" | "mean";

export const REPLICATED: Placement = { kind: "replicated" };

export const sharded = (axis: number, runs = 1): Sharded => ({ kind: "sharded", axis, runs });

export const partial = (by: Combination): Placement => ({ kind: "partial", by });

export const isSharded = (placement: Placement): placement is Sharded => placement.kind === "sharded";

export const isReplicated = ({ kind }: Placement): boolean => kind === "replicated";

export const isPartial = ({ kind }: Placement): boolean => kind === "partial";

const productOf = (dims: readonly number[]): number => dims.reduce((product, dim) => product * dim, 1);

/** The sizes of what a part has of a tensor; null where the parts cannot have equal pieces. */
export function piece(dims: readonly number[], placement: Placement, count: number): readonly number[] | null {
  if (!isSharded(placement)) return dims;
  const { axis, runs } = placement;
  if ((dims[axis] ?? 0) % (runs * count) !== 0) return null;
  return dims.map((dim, at) => (at === axis ? dim / count : dim));
}

/** Where a tensor of the same elements in the same order but of other sizes lies; null where its parts would not be pieces of one axis. */
export function reshaped(
  from: readonly number[],
  placement: Placement,
  to: readonly number[],
  count: number,
): Placement | null {
  if (!isSharded(placement)) return placement;
  const stretches = productOf(from.slice(0, placement.axis)) * placement.runs;
  for (let axis = 0, before = 1; axis < to.length && stretches % before === 0; before *= to[axis++] ?? 1) {
    const found = sharded(axis, stretches / before);
    if (piece(to, found, count) !== null) return found;
  }
  return null;
}
