/** A product as ONNX Runtime takes it: [rows, depth] by [depth, columns]. */
export interface Product {
  readonly rows: number;
  readonly depth: number;
  readonly columns: number;
  /** Whether the first operand lies transposed. */
  readonly transA: boolean;
}

/**
 * What elements and nodes cost, in multiply-adds of a large matrix product. Measured on two threads of a processor with AVX-512;
 * docs/building.md has the layers that they were measured by.
 */
const COSTS = {
  /** An element of the second operand, which every run lays out anew. */
  packed: 40,
  /** An element of the first operand where it lies transposed, for each panel of columns. */
  transposed: 50,
  node: 1.1e5,
};

/** Columns are taken by as many as a vector of the processor holds, and in panels. */
export const VECTOR = 16;
const PANEL = 128;
const THREADS = 2;

/** What a node that makes a column of a vector costs. */
export const NODE_COST = COSTS.node;

/** Threads share the longer side of a result; where that is its rows, each of them lays out the whole second operand. */
export function costOf({ rows, depth, columns, transA }: Product): number {
  const packed = (depth * columns) / (columns > rows ? THREADS : 1);
  const transposed = transA ? (rows * depth * Math.ceil(columns / PANEL)) / THREADS : 0;
  return rows * depth * Math.ceil(columns / VECTOR) * VECTOR + COSTS.packed * packed + COSTS.transposed * transposed;
}
