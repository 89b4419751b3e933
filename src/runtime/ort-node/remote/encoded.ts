import { Model } from "../../../graph/model.ts";
import { decodeModel } from "../../../graph/serde/decode.ts";
import { encodeModel } from "../../../graph/serde/encode.ts";

/** The same with every model encoded. */
export type Encoded<T> = T extends Model
  ? Uint8Array
  : T extends object
    ? { readonly [Key in keyof T]: Encoded<T[Key]> }
    : T;

/** @param models models in objects, and numbers beside them */
export const encoded = <T extends object>(models: T): Encoded<T> =>
  mapped(models, (value) => (value instanceof Model ? encodeModel(value) : null)) as Encoded<T>;

export const decoded = <T extends object>(models: Encoded<T>): T =>
  mapped(models, (value) => (value instanceof Uint8Array ? decodeModel(value) : null)) as T;

/** @param made what an object is replaced by; null: its values are looked into */
function mapped(value: unknown, made: (value: object) => object | null): unknown {
  if (typeof value !== "object" || value === null) return value;
  return (
    made(value) ?? Object.fromEntries(Object.entries(value).map(([name, each]) => [name, mapped(each, made)] as const))
  );
}
