import type { Communicator } from "./communicator.ts";

/** One process by itself. */
export const SINGLE: Communicator = {
  rank: 0,
  size: 1,
  library: "no MPI",
  allReduceSum: async () => undefined,
  broadcast: async () => undefined,
  allGather: async () => undefined,
  barrier: async () => undefined,
  abort: (exitCode) => process.exit(exitCode),
  finalize: async () => undefined,
};
