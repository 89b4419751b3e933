import type { Node, Value } from "../../graph/graph.ts";
import { axesShared, type Chain, readBy, sizeOf } from "./chains.ts";

/**
 * Nanoseconds and bytes. Measured on a processor with 2 MiB of cache of second level per core; docs/training.md has the chains that they
 * were measured by.
 */
const COSTS = {
  /** Reading or writing a byte of a tensor that does not stay in that cache. */
  byte: 0.011,
  /**
   * For one thread, and where several share a node: from how many bytes for each thread on a tensor does not, what each has of a piece at most,
   * and what it takes to begin a node.
   */
  alone: { large: 2 ** 20, piece: 2 ** 18, node: 700 },
  shared: { large: 1.5 * 2 ** 20, piece: 2 ** 19, node: 5000 },
  /** Passes that a result counts as: it takes memory of its own, where a node may write over what it reads. */
  result: 3,
};

const BYTES_OF_NUMBER = 4;

const costsOf = (threads: number) => (threads === 1 ? COSTS.alone : COSTS.shared);

const bytesOf = (dims: readonly number[]): number => BYTES_OF_NUMBER * sizeOf(dims);

/** Whether pieces of tensors of these sizes may take less time. */
export const isLarge = (dims: readonly number[], threads: number): boolean =>
  bytesOf(dims) >= costsOf(threads).large * threads;

/** In how many pieces a chain takes less time than as a whole; null: in none. */
export function piecesOf(chain: Chain, threads: number): number | null {
  const { nodes, dims, axes, results } = chain;
  const { piece, node: begin } = costsOf(threads);
  const bytes = bytesOf(dims);
  const pieces = divisorFrom(sizeOf(dims.slice(0, axes)), bytes / (piece * threads));
  if (pieces === null) return null;
  const isWhole = (value: Value | null): boolean => value !== null && axesShared(value, dims) === dims.length;
  const passes = ({ inputs }: Node): number => 1 + inputs.filter(isWhole).length;
  const before = nodes.reduce((sum, node) => sum + passes(node), 0);
  const saved = before - readBy(chain).cut.filter(isWhole).length - COSTS.result * results.length;
  return (saved * bytes * COSTS.byte) / threads > begin * nodes.length * pieces ? pieces : null;
}

/** The first divisor of a number from `least` on, up to twice that; null where there is none. */
function divisorFrom(number: number, least: number): number | null {
  const first = Math.ceil(least);
  for (let divisor = first; divisor <= 2 * first; divisor++) if (number % divisor === 0) return divisor;
  return null;
}
