import { product } from "./places.ts";
import { splitTerms } from "./sums.ts";
import type { Weighed } from "./weigh-sums.ts";

/** What a size that is not known counts as. */
const UNKNOWN_SIZE = 8;

/** In numbers of a pass over memory: what the small nodes around a pass cost, and a weight that is put in all places of a block. */
const COSTS = { nodes: 2 ** 16, weight: 8 };

/** Whether a sum takes less time in a pass per tensor than in one per node. */
export function weighingCostsLess({ terms, nodes, dims, places }: Weighed, block: number): boolean {
  const size = product(dims.map((each) => each ?? UNKNOWN_SIZE));
  const { passes, summands } = splitTerms(terms);
  const saved = nodes.length - passes.length - Math.max(0, summands.length - 1);
  return saved * size > passes.length * (COSTS.nodes + COSTS.weight * places.count * block);
}
