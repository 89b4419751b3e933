/** What a protobuf message is to the codec: plain objects, and tables that say how each field travels. */

/** A field this schema does not know, kept as the bytes it came as (tag included). */
export interface UnknownField {
  readonly number: number;
  readonly bytes: Uint8Array;
}

export interface Message {
  unknown?: UnknownField[];
}

/**
 * How a field's values are encoded. `packed` holds the payload of a packed numeric field as one byte view, undecoded: the
 * element data of tensors, which must neither be copied nor turned into JavaScript numbers to pass through.
 */
export type Scalar = "string" | "bytes" | "int32" | "int64" | "float";

export interface FieldSpec {
  readonly number: number;
  readonly kind: Scalar | "message" | "packed";
  readonly repeated: boolean;
  /** For `message`: a thunk, since ONNX's messages are recursive. */
  readonly schema?: () => Schema<Message>;
  /** For `packed`: how one element is encoded. */
  readonly element?: "varint" | "fixed32" | "fixed64";
  /** Members of one `oneof` share this name; setting one clears the others. */
  readonly oneof?: string;
}

type Fields<T> = { readonly [K in keyof Omit<T, "unknown">]-?: FieldSpec };

export interface Schema<T extends Message> {
  readonly name: string;
  readonly fields: Fields<T>;
  readonly byNumber: ReadonlyMap<number, readonly [key: string, spec: FieldSpec]>;
  /** Ascending by number: protobuf's canonical order. */
  readonly ordered: readonly (readonly [key: string, spec: FieldSpec])[];
}

export function schema<T extends Message>(name: string, fields: Fields<T>): Schema<T> {
  const ordered = (Object.entries(fields) as [string, FieldSpec][]).sort((a, b) => a[1].number - b[1].number);
  return { name, fields, ordered, byNumber: new Map(ordered.map(([key, spec]) => [spec.number, [key, spec]])) };
}

export const one = (number: number, kind: Scalar, oneof?: string): FieldSpec => ({
  number,
  kind,
  repeated: false,
  ...(oneof === undefined ? {} : { oneof }),
});
export const many = (number: number, kind: Scalar): FieldSpec => ({ number, kind, repeated: true });
export const packed = (number: number, element: NonNullable<FieldSpec["element"]>): FieldSpec => ({
  number,
  kind: "packed",
  repeated: true,
  element,
});
export const child = <T extends Message>(number: number, of: () => Schema<T>, oneof?: string): FieldSpec => ({
  number,
  kind: "message",
  repeated: false,
  schema: of as () => Schema<Message>,
  ...(oneof === undefined ? {} : { oneof }),
});
export const children = <T extends Message>(number: number, of: () => Schema<T>): FieldSpec => ({
  number,
  kind: "message",
  repeated: true,
  schema: of as () => Schema<Message>,
});
