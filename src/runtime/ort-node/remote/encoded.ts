import type { Model } from "../../../graph/model.ts";
import { decodeModel } from "../../../graph/serde/decode.ts";
import { encodeModel } from "../../../graph/serde/encode.ts";
import type { SeparatedModels } from "../separated.ts";
import type { ShardedGradientModels } from "../sharded-gradients.ts";
import type { ShardedModel } from "../shards.ts";

/** The same with every model encoded. */
type Encoded<T> = T extends Model ? Uint8Array : T extends object ? { readonly [Key in keyof T]: Encoded<T[Key]> } : T;

export type EncodedSeparated = Encoded<SeparatedModels>;
export type EncodedShardedGradients = Encoded<ShardedGradientModels>;

export function encodeSeparated(models: SeparatedModels | null): EncodedSeparated | null {
  if (models === null) return null;
  const { step, update, shards } = models;
  return { step: encodeModel(step), update: encodeModel(update), shards: shards && encodeShards(shards) };
}

export function decodeSeparated(encoded: EncodedSeparated | null): SeparatedModels | null {
  if (encoded === null) return null;
  const { step, update, shards } = encoded;
  return { step: decodeModel(step), update: decodeModel(update), shards: shards && decodeShards(shards) };
}

export function encodeShardedGradients(models: ShardedGradientModels | null): EncodedShardedGradients | null {
  if (models === null) return null;
  const { shards, overwriting, adding } = models;
  return { shards: encodeShards(shards), overwriting: encodeModel(overwriting), adding: encodeModel(adding) };
}

export function decodeShardedGradients(encoded: EncodedShardedGradients | null): ShardedGradientModels | null {
  if (encoded === null) return null;
  const { shards, overwriting, adding } = encoded;
  return { shards: decodeShards(shards), overwriting: decodeModel(overwriting), adding: decodeModel(adding) };
}

const encodeShards = ({ model, count }: ShardedModel): Encoded<ShardedModel> => ({ model: encodeModel(model), count });
const decodeShards = ({ model, count }: Encoded<ShardedModel>): ShardedModel => ({ model: decodeModel(model), count });
