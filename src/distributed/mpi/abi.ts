/** What a program that was compiled against an MPI has in it: the values of handles and constants. */
export interface Constants {
  readonly world: bigint;
  readonly float: bigint;
  readonly double: bigint;
  readonly byte: bigint;
  readonly sum: bigint;
  readonly inPlace: bigint;
  /** MPI_THREAD_SERIALIZED. */
  readonly serialized: number;
}

/** Libraries whose handles are alike. */
export interface Abi {
  /** How the library calls itself; the standard's own says it by the file's name. */
  readonly isOf: (library: { readonly file: string; readonly version: string }) => boolean;
  /** @param address of a variable of the library */
  readonly constants: (address: (name: string) => bigint) => Constants;
}

/** The first that fits is taken. Handles are passed as 64 bits, whether they are integers or addresses. */
export const ABIS: readonly Abi[] = [
  {
    /** MPI 5.0, chapter "Application Binary Interface". */
    isOf: ({ file }) => /mpi_abi/.test(file),
    constants: () => ({
      ...{ world: 0x101n, float: 0x210n, double: 0x214n, byte: 0x247n, sum: 0x21n, inPlace: 1n },
      serialized: 2048,
    }),
  },
  {
    isOf: ({ version }) => version.startsWith("Open MPI"),
    constants: (address) => ({
      world: address("ompi_mpi_comm_world"),
      float: address("ompi_mpi_float"),
      double: address("ompi_mpi_double"),
      byte: address("ompi_mpi_byte"),
      sum: address("ompi_mpi_op_sum"),
      inPlace: 1n,
      serialized: 2,
    }),
  },
  {
    /** MPICH and what keeps to its ABI: Intel, MVAPICH, Cray, Microsoft. */
    isOf: ({ version }) => /MPICH|Intel\(R\) MPI|MVAPICH|CRAY|Microsoft MPI/i.test(version),
    constants: () => ({
      ...{ world: 0x44000000n, float: 0x4c00040an, double: 0x4c00080bn, byte: 0x4c00010dn, sum: 0x58000003n },
      inPlace: -1n,
      serialized: 2,
    }),
  },
];

/** File names to look for, by whose library it is, in order. */
export const LIBRARY_FILES: Readonly<
  Record<string, Readonly<Record<"Open MPI" | "MPICH" | "any", readonly string[]>>>
> = {
  linux: {
    any: ["libmpi_abi.so.1", "libmpi_abi.so"],
    "Open MPI": ["libmpi.so.40", "libmpi.so"],
    MPICH: ["libmpich.so.12", "libmpi.so.12", "libmpich.so"],
  },
  darwin: {
    any: ["libmpi_abi.1.dylib", "libmpi_abi.dylib"],
    "Open MPI": ["libmpi.40.dylib", "libmpi.dylib"],
    MPICH: ["libmpi.12.dylib", "libmpich.dylib"],
  },
  win32: { any: ["mpi_abi.dll"], "Open MPI": [], MPICH: ["msmpi.dll", "impi.dll"] },
};
