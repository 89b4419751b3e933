import { STATE_METADATA } from "../../analysis/find-optimizers/plain-step/pair-state.ts";
import { namesMetadata } from "../../edits/json-metadata.ts";
import type { Model } from "../../graph/model.ts";

/** Adds to a model's metadata which output renews which input. */
export function recordState(model: Model, state: readonly (readonly [input: string, output: string])[]): void {
  const all = new Map([...(namesMetadata(model, STATE_METADATA) ?? []), ...state]);
  model.metadata.set(STATE_METADATA, JSON.stringify(Object.fromEntries(all)));
}
