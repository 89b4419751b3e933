import { OPTIONS, optional, requireArgument, TEXT, withFields } from "../arguments.ts";
import type { Communicator } from "./communicator.ts";
import { launchOf } from "./launch.ts";
import { MpiCommunicator } from "./mpi/communicator.ts";
import { SINGLE } from "./single.ts";

export interface JoinOptions {
  /** The MPI library, a path or a name that the system's linker finds. Default: that of what started the ranks. */
  readonly library?: string;
}

/**
 * Joins the ranks that mpirun or srun started together with this process. A process that was started by itself is the only rank,
 * and no MPI is loaded. MPI allows this once per process; `finalize` must be the last call.
 * @throws DistributedError `E_KOFFI_MISSING`, `E_MPI_LIBRARY`, `E_MPI_LAUNCH`, `E_MPI_THREADS`, `E_MPI`
 */
export async function joinRanks(options: JoinOptions = {}): Promise<Communicator> {
  requireArgument("options", options, OPTIONS);
  requireArgument("options", options, withFields({ library: optional(TEXT) }, "options: { library }"));
  const launch = launchOf(process.env);
  return launch === null ? SINGLE : MpiCommunicator.join(launch, options.library ?? null);
}

/** How many ranks were started together, this process among them; 1: it was started by itself. @throws DistributedError `E_MPI_LAUNCH` */
export function ranksStarted(): number {
  return launchOf(process.env)?.ranks ?? 1;
}

/** How many ranks share this machine, this process among them; null where what started them does not say. */
export function ranksHere(): number | null {
  const launch = launchOf(process.env);
  return launch === null ? 1 : launch.localRanks;
}
