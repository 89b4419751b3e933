import { type Attribute, attribute } from "../../graph/attribute.ts";
import type { Graph, Value } from "../../graph/graph.ts";
import { tensorType } from "../../graph/value-type.ts";
import type { Formula } from "../../ops/formula.ts";
import type { Several } from "../../tuples.ts";

/** A loop over the first axis of some values; what a step gets and gives are matrices. */
export interface Scan<Given extends readonly Value[]> {
  readonly name: string;
  /** Values carried from step to step, with what they begin with. */
  readonly carried: Readonly<Record<string, Value>>;
  /** Values of which each step gets one entry of the first axis. */
  readonly scanned: Readonly<Record<string, Value>>;
  /** From the last step to the first. */
  readonly backward?: boolean;
  /** Gives the carried values renewed, then what is collected. */
  readonly step: (f: Formula, at: (name: string) => Value) => Given;
  readonly collected: number;
}

/** @returns the last carried values, then the collected ones stacked in order of time */
export function scan<const Given extends readonly Value[]>(
  f: Formula,
  { name, carried, scanned, backward = false, step, collected }: Scan<Given>,
): { -readonly [K in keyof Given]: Value } {
  const names = [...Object.keys(carried), ...Object.keys(scanned)];
  /** Inside a branch, ONNX Runtime does not find out ranks by itself. */
  const type = tensorType(f.dtype, [null, null]);
  const body: Graph = f.body(
    name,
    names.map((each) => [each, type] as const),
    (inner, inputs) => {
      const at = (wanted: string): Value => {
        const input = inputs[names.indexOf(wanted)];
        if (input === undefined) throw new RangeError(`the loop has no value "${wanted}"`);
        return input;
      };
      const given = new Set(inputs);
      /** An output is given once, and is no input. */
      return step(inner, at).map((value) => {
        const own = given.has(value) ? inner.identity(value) : value;
        given.add(own);
        return own;
      });
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
  const inputs = [...Object.values(carried), ...Object.values(scanned)];
  const outputs = f.build.emitAll("Scan", inputs, body.outputs.length, { attributes });
  return outputs as readonly Value[] as { -readonly [K in keyof Given]: Value };
}

/** `count` equal parts of an axis, by default the last. */
export function parts<N extends number>(f: Formula, value: Value, count: N, axis = -1): Several<Value, N> {
  const attributes = [attribute.int("axis", axis), ...(f.opset >= 18 ? [attribute.int("num_outputs", count)] : [])];
  return f.build.emitAll("Split", [value], count, { attributes });
}

/** A sequence's values before each step: `first`, then all but the last. */
export function before(f: Formula, first: Value, all: Value): Value {
  return f.concat([f.unsqueeze(first, [0]), f.slice(all, [0], [-1], [0])], 0);
}

/** A matrix on its side. */
export const transposed = (f: Formula, matrix: Value): Value => f.transpose(matrix, [1, 0]);

/** All steps of a sequence [T, N, K] as the rows of one matrix. */
export const rows = (f: Formula, sequence: Value): Value => f.reshape(sequence, f.vector(-1, f.dim(sequence, 2)));

/** Sum over time of a_t^T b_t, as one product. */
export const overTime = (f: Formula, a: Value, b: Value): Value => f.matmul(transposed(f, rows(f, a)), rows(f, b));

/** a b + c, or a b^T + c, of matrices as one node; c may be null. */
export function affine(f: Formula, a: Value, b: Value, c: Value | null, isTransposed = false): Value {
  const attributes = [attribute.int("transB", isTransposed ? 1 : 0)];
  return f.emit("Gemm", c === null ? [a, b] : [a, b, c], { attributes });
}

/**
 * What the gradients of all hidden states do to a scan that goes back with the whole gradient of a hidden state: what it begins with, and what
 * each step adds to the gradient of the state before; null: nothing.
 * @param each gradients of all hidden states, without the axis of directions; null: zeros
 * @param last that of the last one; null: zeros
 */
export function hiddenGradients(
  f: Formula,
  each: Value | null,
  last: Value | null,
  zero: Value,
): { readonly first: Value; readonly earlier: Value | null } {
  if (each === null) return { first: last ?? zero, earlier: null };
  const own = f.squeeze(f.slice(each, [-1], [2 ** 31], [0]), [0]);
  return { first: last === null ? own : f.add(last, own), earlier: before(f, zero, each) };
}

/** A value without one of its axes, which is of size 1; null where there is none. */
export const squeezed = (f: Formula, value: Value | null, axis: number): Value | null =>
  value === null ? null : f.squeeze(value, [axis]);

/** The same; `otherwise` where there is none. */
export const squeezedOr = (f: Formula, value: Value | null, axis: number, otherwise: Value): Value =>
  squeezed(f, value, axis) ?? otherwise;

/** Zeros [N, H] for x [T, N, I] and r [.., H]. */
export const zeroState = (f: Formula, x: Value, r: Value): Value => f.zeros(f.vector(f.dim(x, 1), f.dim(r, 1)));
