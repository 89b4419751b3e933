import { BYTES, instanceOf, listOf, NUMBER, OPTIONS, requireArgument } from "../arguments.ts";
import { DistributedError } from "../errors.ts";
import { A_COMMUNICATOR, type Communicator } from "./communicator.ts";

const NUMBERS = listOf(NUMBER, "a list of numbers");

/**
 * Gives every rank the numbers of all, in the order of the ranks.
 * @param own of this one, equally many on all ranks
 * @throws DistributedError `E_MPI`
 */
export async function exchangeNumbers(
  communicator: Communicator,
  own: readonly number[],
): Promise<readonly (readonly number[])[]> {
  requireArgument("communicator", communicator, A_COMMUNICATOR);
  requireArgument("own", own, NUMBERS);
  const { rank, size } = communicator;
  const all = new Float64Array(size * own.length);
  all.set(own, rank * own.length);
  await communicator.allReduceSum(all);
  return Array.from({ length: size }, (_, each) => [...all.subarray(each * own.length, (each + 1) * own.length)]);
}

/**
 * Gives every rank the bytes of one.
 * @param own of this one; looked at on `root` alone
 * @param root default 0
 * @throws DistributedError `E_MPI`
 */
export async function exchangeBytes(communicator: Communicator, own: Uint8Array, root = 0): Promise<Uint8Array> {
  requireArgument("communicator", communicator, A_COMMUNICATOR);
  requireArgument("own", own, BYTES);
  requireArgument("root", root, NUMBER);
  const lengths = await exchangeNumbers(communicator, [own.byteLength]);
  const [length = 0] = lengths[root] ?? [];
  const bytes = communicator.rank === root ? own : new Uint8Array(length);
  await communicator.broadcast(bytes, root);
  return bytes;
}

async function textOf(communicator: Communicator, own: string, root: number): Promise<string> {
  return new TextDecoder().decode(await exchangeBytes(communicator, new TextEncoder().encode(own), root));
}

/**
 * Tells all ranks of what went wrong on the first of them where something did.
 * @param failure what went wrong on this one; null: nothing
 * @returns null where nothing did
 */
export async function firstFailure(
  communicator: Communicator,
  failure: string | null,
): Promise<{ readonly rank: number; readonly message: string } | null> {
  const flags = await exchangeNumbers(communicator, [failure === null ? 0 : 1]);
  const rank = flags.findIndex(([flag]) => flag !== 0);
  return rank < 0 ? null : { rank, message: await textOf(communicator, failure ?? "", rank) };
}

const AN_ERROR = instanceOf(Error, "an Error");
const shared = new WeakSet<Error>();

/** The error, which all ranks throw: it is enough that one of them tells of it. */
export function ofAllRanks<E extends Error>(error: E): E {
  requireArgument("error", error, AN_ERROR);
  shared.add(error);
  return error;
}

/** Whether all ranks throw this error, so that one of them is to tell of it. */
export function isOfAllRanks(error: unknown): boolean {
  return error instanceof Error && shared.has(error);
}

/** What all ranks must have alike, by what it is. */
export type Identity = Readonly<Record<string, string>>;

const SHOWN = 10;
const short = (value: string | undefined): string =>
  value === undefined ? "nothing" : /^[0-9a-f]{64}$/.test(value) ? `${value.slice(0, 12)}...` : value;

/**
 * Compares what every rank is about to do with what rank 0 is.
 * @throws DistributedError `E_RANKS_DIFFER` on all ranks, naming the first that differs, and in what
 */
export async function requireAlike(communicator: Communicator, own: Identity): Promise<void> {
  requireArgument("communicator", communicator, A_COMMUNICATOR);
  requireArgument("own", own, OPTIONS);
  if (communicator.size === 1) return;
  const first = Object.entries(JSON.parse(await textOf(communicator, JSON.stringify(own), 0)) as Identity);
  const wanted = new Map(first);
  const differing = [...new Set([...wanted.keys(), ...Object.keys(own)])].filter(
    (item) => wanted.get(item) !== own[item],
  );
  const list = differing
    .slice(0, SHOWN)
    .map((item) => `${item} is ${short(own[item])}, on rank 0 ${short(wanted.get(item))}`)
    .join("; ");
  const failure = await firstFailure(communicator, list === "" ? null : list);
  if (failure === null) return;
  throw ofAllRanks(
    new DistributedError("E_RANKS_DIFFER", `rank ${failure.rank} differs from rank 0: ${failure.message}`, {
      field: differing[0] ?? "",
      hint: "Every rank needs the same command, files and version of onnx-agr; nothing was trained.",
    }),
  );
}
