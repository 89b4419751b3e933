import { DistributedError } from "../errors.ts";

/** What started this process as one of several. */
export interface Launch {
  /** In words. */
  readonly by: string;
  /** Whose library speaks with it; null: that of any. */
  readonly family: "Open MPI" | "MPICH" | null;
  readonly ranks: number;
  /** Ranks on this machine; null where it does not say. */
  readonly localRanks: number | null;
}

interface Launcher {
  readonly by: string;
  readonly family: Launch["family"];
  /** Variables that must be there; the first says how many ranks there are. */
  readonly variables: readonly [ranks: string, ...others: string[]];
  readonly localRanks: string | null;
}

/** The first whose variables are all there started the process. */
const LAUNCHERS: readonly Launcher[] = [
  {
    by: "mpirun of Open MPI",
    family: "Open MPI",
    variables: ["OMPI_COMM_WORLD_SIZE"],
    localRanks: "OMPI_COMM_WORLD_LOCAL_SIZE",
  },
  { by: "a launcher that speaks PMI", family: "MPICH", variables: ["PMI_SIZE"], localRanks: "MPI_LOCALNRANKS" },
  { by: "srun --mpi=pmix", family: null, variables: ["SLURM_STEP_NUM_TASKS", "PMIX_RANK"], localRanks: null },
];

type Environment = Readonly<Record<string, string | undefined>>;

/**
 * What started this process as a rank; null where it was started by itself.
 * @throws DistributedError `E_MPI_LAUNCH` for several tasks of Slurm that know nothing of each other
 */
export function launchOf(environment: Environment): Launch | null {
  const found = LAUNCHERS.find(({ variables }) => variables.every((name) => environment[name] !== undefined));
  if (found !== undefined) {
    const local = Number(environment[found.localRanks ?? ""] ?? Number.NaN);
    return {
      ...{ by: found.by, family: found.family },
      ranks: Number(environment[found.variables[0]]),
      localRanks: Number.isSafeInteger(local) && local >= 1 ? local : null,
    };
  }
  const tasks = Number(environment["SLURM_STEP_NUM_TASKS"] ?? 1);
  if (tasks > 1) {
    throw new DistributedError(
      "E_MPI_LAUNCH",
      `srun started ${tasks} tasks without MPI: each of them would do the whole training by itself`,
      { hint: "Use srun --mpi=pmix (srun --mpi=list says what there is), or mpirun in the job's script." },
    );
  }
  return null;
}
