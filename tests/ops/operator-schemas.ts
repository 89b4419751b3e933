import { readFileSync } from "node:fs";
import type { AttributeKind } from "../../src/graph/attribute.ts";

interface AttributeFacts {
  readonly kind: AttributeKind;
  readonly default: unknown;
  readonly required?: true;
  readonly since?: number;
  readonly until?: number;
  readonly before?: readonly [number, unknown];
}

interface OperatorFacts {
  readonly since?: readonly number[];
  readonly inputs: string;
  readonly outputs: string;
  readonly attributes: Readonly<Record<string, AttributeFacts>>;
}

/** What ONNX and ONNX Runtime say of their operators; made by scripts/reference/operator-schemas.py. */
export const SCHEMAS = JSON.parse(readFileSync(new URL("operator-schemas.json", import.meta.url), "utf8")) as {
  readonly onnx: string;
  readonly onnxruntime: string;
  readonly operators: Readonly<Record<string, OperatorFacts>>;
};
