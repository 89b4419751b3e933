import { orNull, requireArgument, TEXT, withFields } from "../arguments.ts";
import { dataTypeName } from "./data-type.ts";

/** A fixed size, a symbolic name, or nothing known. */
export type Dimension = number | string | null;

/** What exporters write where a size has no name: it stands for any size, at each place for another. */
const NO_NAMES: ReadonlySet<string> = new Set(["", "?", "None", "none", "unk", "unknown", "N/A", "-1"]);

export const isNameless = (dim: Dimension): boolean => dim === null || (typeof dim === "string" && NO_NAMES.has(dim));

/** Types are immutable: to change a value's type, give it a new one. */
export type ValueType =
  | { readonly kind: "tensor" | "sparse-tensor"; readonly dtype: number; readonly shape: readonly Dimension[] | null }
  | { readonly kind: "sequence" | "optional"; readonly element: ValueType | null }
  | { readonly kind: "map"; readonly key: number; readonly value: ValueType | null }
  | { readonly kind: "opaque"; readonly domain: string; readonly name: string };

export function tensorType(dtype: number, shape: readonly Dimension[] | null = null): ValueType {
  return { kind: "tensor", dtype, shape };
}

export function sequenceType(element: ValueType): ValueType {
  return { kind: "sequence", element };
}

const A_TYPE = orNull(withFields({ kind: TEXT }, "the type of a value"));

/** As ONNX's text format writes it: `float[N,3]`, `seq(float)`. */
export function formatType(type: ValueType | null): string {
  if (type === null) return "?";
  requireArgument("type", type, A_TYPE);
  switch (type.kind) {
    case "tensor":
      return formatTensor(type.dtype, type.shape);
    case "sparse-tensor":
      return `sparse(${formatTensor(type.dtype, type.shape)})`;
    case "sequence":
      return `seq(${formatType(type.element)})`;
    case "optional":
      return `optional(${formatType(type.element)})`;
    case "map":
      return `map(${dataTypeName(type.key)}, ${formatType(type.value)})`;
    case "opaque":
      return `opaque(${type.domain}.${type.name})`;
  }
}

function formatTensor(dtype: number, shape: readonly Dimension[] | null): string {
  if (shape === null) return dataTypeName(dtype);
  return `${dataTypeName(dtype)}[${shape.map(formatDimension).join(",")}]`;
}

/** A symbol that would break the line is quoted; others are expressions as often as names, and stand as they are. */
function formatDimension(dimension: Dimension): string {
  return typeof dimension === "string" && /\p{Cc}/u.test(dimension)
    ? JSON.stringify(dimension)
    : String(dimension ?? "?");
}
