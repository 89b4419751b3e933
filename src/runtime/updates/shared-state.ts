import type { Tensor } from "onnxruntime-common";
import type { StateKind } from "../../artifacts/portable/plan.ts";
import type { Communicator, Summable } from "../../distributed/communicator.ts";
import { exchangeNumbers, ofAllRanks } from "../../distributed/consensus.ts";
import type { Contributions, Layout } from "../../distributed/exchange.ts";
import { DistributedError } from "../../errors.ts";
import { sha256 } from "../../graph/io/digest.ts";
import { bytesIn, ortTensor, realsOf } from "../ort-tensor.ts";
import type { NamedTensors, TrainingSession } from "../session.ts";

/** State that ranks exchange: its kind stands before its name, as a parameter and its gradient have the same. */
const key = (kind: StateKind, name: string): string => `${kind} ${name}`;

/** Tensors of a kind of state, as a part of what is exchanged. */
export interface Shared {
  readonly kind: StateKind;
  readonly tensors: readonly (readonly [name: string, type: Tensor.Type, dims: readonly number[]])[];
}

/**
 * What tensors of some kinds a session has.
 * @throws DistributedError `E_DISTRIBUTED_TYPE` for elements that are not added up over ranks
 */
export async function sharedOf(session: TrainingSession, kinds: readonly StateKind[]): Promise<readonly Shared[]> {
  const shared: Shared[] = [];
  for (const kind of kinds) {
    const lent = Object.entries(await session.lendState(kind));
    for (const [name, { type }] of lent) {
      if (type === "float32" || type === "float64") continue;
      throw new DistributedError(
        "E_DISTRIBUTED_TYPE",
        `"${name}" (${kind}) is ${type}; ranks add up float32 and float64 only`,
        { field: name, hint: "Train in one process, or build the artifacts from a model in float32." },
      );
    }
    shared.push({ kind, tensors: lent.map(([name, { type, dims }]) => [name, type, dims] as const) });
  }
  return shared;
}

export function layoutOf(shared: readonly Shared[]): Layout {
  return shared.flatMap(({ kind, tensors }) =>
    tensors.map(([name, , dims]) => [key(kind, name), dims.reduce((size, dim) => size * dim, 1)] as const),
  );
}

export const isDouble = (shared: readonly Shared[]): boolean =>
  shared.some(({ tensors }) => tensors.some(([, type]) => type === "float64"));

/** The tensors of a kind, each times a weight. */
export function contributionsOf(kind: StateKind, lent: NamedTensors, weight: number): Contributions {
  return new Map(Object.entries(lent).map(([name, tensor]) => [key(kind, name), { values: realsOf(tensor), weight }]));
}

/**
 * Tensors of a kind out of what was exchanged; not copied where the type is that of the sums.
 * @param lent what the session lent: those of them that lie where the sums do are taken
 */
export function receivedFrom(
  { kind, tensors }: Shared,
  of: (name: string) => Summable,
  lent: NamedTensors = {},
): NamedTensors {
  return Object.fromEntries(
    tensors.map(([name, type, dims]) => {
      const sum = of(key(kind, name));
      const before = lent[name];
      if (before !== undefined && liesAt(realsOf(before), sum)) return [name, before];
      const values = type === "float32" && sum instanceof Float64Array ? Float32Array.from(sum) : sum;
      return [name, ortTensor(type, values, dims)];
    }),
  );
}

const liesAt = (a: Summable, b: Summable): boolean => a.buffer === b.buffer && a.byteOffset === b.byteOffset;

/**
 * Compares parameters and statistics of all ranks.
 * @throws DistributedError `E_RANKS_APART` on all ranks
 */
export async function requireSameState(
  communicator: Communicator,
  session: TrainingSession,
  step: number,
): Promise<void> {
  const bytes: Uint8Array[] = [];
  for (const kind of ["parameter", "buffer"] as const) {
    for (const tensor of Object.values(await session.lendState(kind))) {
      bytes.push(bytesIn(tensor));
    }
  }
  const hash = sha256(...bytes);
  const halves = [hash.slice(0, 12), hash.slice(12, 24)].map((digits) => Number.parseInt(digits, 16));
  const all = await exchangeNumbers(communicator, halves);
  const apart = all.flatMap((each, rank) => (each.join() === all[0]?.join() ? [] : [rank]));
  if (apart.length === 0) return;
  const hint =
    step === 0
      ? "Give every rank the same artifacts; nothing was trained."
      : "Ranks on unlike machines may compute unlike numbers; go on from the newest checkpoint, on machines that are alike.";
  const message = `the parameters of rank ${apart.join(", ")} are not those of rank 0 after step ${step}`;
  throw ofAllRanks(new DistributedError("E_RANKS_APART", message, { hint }));
}
