import { type Attribute, attribute } from "../../graph/attribute.ts";
import type { Graph, Value } from "../../graph/graph.ts";
import { tensorType } from "../../graph/value-type.ts";
import type { Formula } from "../../ops/formula.ts";

/** A loop over the first axis of some values. */
export interface Scan {
  readonly name: string;
  /** Values carried from step to step, with what they begin with. */
  readonly carried: Readonly<Record<string, Value>>;
  /** Values of which each step gets one entry of the first axis. */
  readonly scanned: Readonly<Record<string, Value>>;
  /** From the last step to the first. */
  readonly backward?: boolean;
  /** Gives the carried values renewed, then what is collected. */
  readonly step: (f: Formula, at: (name: string) => Value) => readonly Value[];
  readonly collected: number;
}

/** @returns the last carried values, then the collected ones stacked in order of time */
export function scan(f: Formula, { name, carried, scanned, backward = false, step, collected }: Scan): Value[] {
  const names = [...Object.keys(carried), ...Object.keys(scanned)];
  const type = tensorType(f.dtype);
  const body: Graph = f.body(
    name,
    names.map((each) => [each, type] as const),
    (inner, inputs) => {
      const at = (wanted: string): Value => inputs[names.indexOf(wanted)] as Value;
      return step(inner, at).map((value) => inner.identity(value));
    },
  );
  for (const output of body.outputs) output.type = type;
  const count = Object.keys(scanned).length;
  const directions = (of: number): readonly number[] => Array.from({ length: of }, () => (backward ? 1 : 0));
  const attributes: readonly Attribute[] = [
    attribute.graph("body", body),
    attribute.int("num_scan_inputs", count),
    attribute.ints("scan_input_directions", directions(count)),
    attribute.ints("scan_output_directions", directions(collected)),
  ];
  const outputs = Object.keys(carried).length + collected;
  return f.build.emitAll("Scan", [...Object.values(carried), ...Object.values(scanned)], outputs, { attributes });
}

/** `count` equal parts of the last axis. */
export function parts(f: Formula, value: Value, count: number): readonly Value[] {
  const attributes = [attribute.int("axis", -1), ...(f.opset >= 18 ? [attribute.int("num_outputs", count)] : [])];
  return f.build.emitAll("Split", [value], count, { attributes });
}

/** A sequence's values before each step: `first`, then all but the last. */
export function before(f: Formula, first: Value, all: Value): Value {
  return f.concat([f.unsqueeze(first, [0]), f.slice(all, [0], [-1], [0])], 0);
}

/** A matrix on its side. */
export const transposed = (f: Formula, matrix: Value): Value => f.transpose(matrix, [1, 0]);

/** Sum over time of a_t^T b_t, as one product. */
export const overTime = (f: Formula, a: Value, b: Value): Value => {
  const rows = (value: Value): Value => f.reshape(value, f.vector(-1, f.dim(value, 2)));
  return f.matmul(transposed(f, rows(a)), rows(b));
};

/** A value without one of its axes, which is of size 1; `otherwise` where there is none. */
export const squeezedOr = (f: Formula, value: Value | null, axis: number, otherwise: Value): Value =>
  value === null ? otherwise : f.squeeze(value, [axis]);

/** Zeros [N, H] for x [T, N, I] and r [.., H]. */
export const zeroState = (f: Formula, x: Value, r: Value): Value => f.zeros(f.vector(f.dim(x, 1), f.dim(r, 1)));
