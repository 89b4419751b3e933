import type { StatePair } from "../../analysis/find-optimizers/plain-step/pair-state.ts";
import { layoutOf } from "../../graph/data-type.ts";
import type { Value } from "../../graph/graph.ts";
import type { Alignment } from "./alignment.ts";

/** From this cosine on two directions are taken for the same. */
export const PROVEN_COSINE = 0.995;

/** A tensor that is the derivative of a loss with respect to a parameter, but for a factor. */
export interface Match {
  readonly pair: StatePair;
  readonly tensor: Value;
  readonly loss: string;
  /** Null where the derivative is zero. */
  readonly cosine: number | null;
  /** Whether it is the derivative to within rounding; else another loss may fit better. */
  readonly isExact: boolean;
  readonly accumulators: readonly string[];
  /** Sums of gradients that come after it. */
  readonly summedIn: readonly string[];
  /** Whether it is put together with others' on the way to the renewal. */
  readonly isMixed?: true;
  /** What lies below it on the way to the renewal. */
  readonly below: readonly Value[];
  /** The highest tensor of all ways that is the derivative: before what scales all gradients together. */
  readonly raw: Value;
}

/** Cosines that differ by less are those of one direction: rounding. */
const SAME_COSINE = 1e-4;

type Found = Pick<Match, "tensor" | "isExact" | "below" | "raw"> & { readonly cosine: number };

/**
 * The highest tensor of the narrowest way that is the derivative; else the one that is nearly.
 * @param readsParameter whether a tensor is made of the parameter by the node that makes it, beside what the data contribute
 */
export function matchOf(
  chains: readonly (readonly Value[])[],
  alignments: ReadonlyMap<string, Alignment>,
  readsParameter: (value: Value) => boolean,
): Found | null {
  const isExact = ({ name }: Value): boolean => alignments.get(name)?.exact === true;
  const highest = chains.map((chain) => chain.findLast(isExact)).findLast((value) => value !== undefined);
  const at = (chain: readonly Value[], index: number): Found | null => {
    const tensor = chain[index];
    if (tensor === undefined) return null;
    return {
      tensor,
      raw: highest ?? tensor,
      cosine: alignments.get(tensor.name)?.cosine ?? Number.NaN,
      isExact: alignments.get(tensor.name)?.exact === true,
      below: chain.slice(0, index).toReversed(),
    };
  };
  // An update that is as long as all updates together may be (their norm is clipped) can still have the gradient's direction.
  const isUpdate = (tensor: Value): boolean =>
    chains.some((chain) => {
      const [low, high] = [chain.indexOf(tensor), chain.findLastIndex(isExact)];
      return low >= 0 && chain.slice(low, high).some(readsParameter);
    });
  for (const chain of chains) {
    // Above a float16 tensor AGR would be rounded once more.
    const widest = Math.max(...chain.filter(isExact).map(widthOf));
    const lowest = chain.findIndex((value) => isExact(value) && widthOf(value) === widest);
    const narrow = chain.findIndex((value, index) => index > lowest && isExact(value) && widthOf(value) < widest);
    const end = narrow < 0 ? chain.length : narrow;
    const exact = at(
      chain,
      chain.findLastIndex((value, index) => index < end && isExact(value)),
    );
    if (exact !== null && !isUpdate(exact.tensor)) return exact;
  }
  for (const chain of chains) {
    const sizes = chain.map(({ name }) => Math.abs(alignments.get(name)?.cosine ?? 0));
    const best = Math.max(...sizes);
    if (best >= PROVEN_COSINE)
      return at(
        chain,
        sizes.findLastIndex((size) => size >= best - SAME_COSINE),
      );
  }
  return null;
}

/** Bits of an element. */
function widthOf({ type }: Value): number {
  return type?.kind === "tensor" ? (layoutOf(type.dtype)?.bits ?? 0) : 0;
}
