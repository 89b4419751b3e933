import { type Kind, METHOD, NUMBER, withFields } from "../arguments.ts";

/** Numbers that ranks can add up. */
export type Summable = Float32Array | Float64Array;

/**
 * The processes that train together, each of which is a rank, as one of them sees them. Every rank must make the same calls in
 * the same order: each but `abort` waits for the others.
 */
export interface Communicator {
  /** Number of this process, from 0 on. */
  readonly rank: number;
  /** Number of processes. */
  readonly size: number;
  /** What carries the messages, in words. */
  readonly library: string;
  /**
   * Puts the sum over all ranks in the place of each element, on all ranks the same bit for bit.
   * @throws DistributedError `E_MPI`
   */
  allReduceSum(values: Summable): Promise<void>;
  /**
   * Puts the bytes of `root` in the place of everybody's.
   * @param bytes equally many on all ranks
   * @param root default 0
   * @throws DistributedError `E_MPI`
   */
  broadcast(bytes: Uint8Array, root?: number): Promise<void>;
  /**
   * Puts the part of each rank in the place of everybody's.
   * @param bytes equally many on all ranks
   * @param ends where the part of each rank ends, in the order of the ranks; the same on all
   * @throws DistributedError `E_MPI`
   */
  allGather(bytes: Uint8Array, ends: readonly number[]): Promise<void>;
  /** Waits until all ranks are here. @throws DistributedError `E_MPI` */
  barrier(): Promise<void>;
  /** Ends all ranks, this process too, whatever they are at. */
  abort(exitCode: number): never;
  /** The last call of all. @throws DistributedError `E_MPI` */
  finalize(): Promise<void>;
}

export const A_COMMUNICATOR: Kind = withFields(
  { rank: NUMBER, size: NUMBER, allReduceSum: METHOD, broadcast: METHOD, allGather: METHOD },
  "a communicator, as joinRanks gives it",
);
