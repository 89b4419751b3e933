import type { Model } from "../../graph/model.ts";
import { STATE_METADATA } from "../find-optimizers/plain-step/pair-state.ts";

/** Adds to a model's metadata which output renews which input. */
export function recordState(model: Model, state: readonly (readonly [input: string, output: string])[]): void {
  const earlier = JSON.parse(model.metadata.get(STATE_METADATA) ?? "{}") as Record<string, string>;
  model.metadata.set(STATE_METADATA, JSON.stringify({ ...earlier, ...Object.fromEntries(state) }));
}
