import type { Value } from "../graph/graph.ts";
import type { Skipped } from "./pass.ts";

interface Chosen {
  /** What was to be trained. */
  readonly candidates: readonly Value[];
  readonly frozen: readonly Value[];
  readonly constants: readonly Skipped[];
  /** Why gradients end on the way, where that is known. */
  readonly end: string | null;
}

/** What to do where nothing is trained. */
export function withoutParameters({ candidates, frozen, constants, end }: Chosen): string {
  const [first] = constants;
  if (candidates.length > 0) return end ?? "Choose other parameters or another output.";
  if (frozen.length > 0) return "All of them are frozen. Freeze fewer, with --freeze, or train more, with --params.";
  if (first === undefined) return "Parameters are floating-point initializers, and the model has none.";
  const others = constants.length === 1 ? "" : ` and ${constants.length - 1} more are taken for constants too`;
  return `"${first.at}" is not trained: ${first.reason}${others}. Train it with --params '${first.at}'.`;
}
