import type { Attribute } from "../graph/attribute.ts";

/** Bytes as characters, one each, all of them unlike. */
const BYTES = new TextDecoder("latin1");

/** An attribute as a text that says all of it; null for kinds whose equality is not worth finding out. */
export function attributeText({ name, kind, value }: Attribute): string | null {
  switch (kind) {
    case "float":
      return `${name} ${kind} ${Object.is(value, -0) ? "-0" : value}`;
    case "int":
    case "ints":
    case "floats":
      return `${name} ${kind} ${String(value)}`;
    case "string":
      return `${name} ${kind} ${BYTES.decode(value)}`;
    case "tensor": {
      const { tensor } = value;
      if (tensor.data.kind !== "raw") return null;
      const { dtype, dims, data } = tensor;
      return `${name} ${kind} ${dtype} ${dims.join()} ${BYTES.decode(data.bytes)}`;
    }
    default:
      return null;
  }
}
