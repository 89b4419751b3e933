import { zeros } from "../artifacts/portable/state.ts";
import { UsageError } from "../errors.ts";
import { toOrtTensor } from "./feeds.ts";
import type { CarriedInput, NamedTensors, TrainingSession } from "./session.ts";

/**
 * Whether batches follow one another as a session with carried state needs it.
 * @throws UsageError `E_CARRY` where samples are shuffled, or several ranks take parts of each batch
 */
export function requireContinuation(
  { carried }: TrainingSession,
  { shuffle, ranks }: { readonly shuffle: boolean; readonly ranks: number },
): void {
  if (!shuffle && ranks === 1) return;
  const names = carried.map(({ name }) => `"${name}"`).join(", ");
  throw ranks > 1
    ? new UsageError("E_CARRY", `the model carries ${names} from batch to batch, which several ranks do not`, {
        hint: "Use one process.",
      })
    : new UsageError("E_CARRY", `the model carries ${names} from batch to batch, and the samples are shuffled`, {
        field: "shuffle",
        hint: "Give --sequential (sequential) where each sample of the data goes on with the one before it, or --no-shuffle (shuffle: false) where each sample of a batch goes on with its like in the batch before.",
      });
}

const ofZeros = ({ dtype, shape }: CarriedInput) => zeros(dtype, (shape ?? []).map(Number));

/** Makes what is carried zeros, as it is before the first batch. */
export async function beginAgain(session: TrainingSession): Promise<void> {
  const state = await session.getState();
  const tensors = new Map([...state.tensors, ...session.carried.map((each) => [each.name, ofZeros(each)] as const)]);
  await session.loadState({ ...state, tensors });
}

/** What the first batch of an evaluation takes over. */
export const firstCarried = ({ carried }: TrainingSession): NamedTensors =>
  Object.fromEntries(carried.map((each) => [each.name, toOrtTensor(ofZeros(each), each.name)]));

/** What the next batch takes over of a batch's outputs. */
export const nextCarried = ({ carried }: TrainingSession, results: NamedTensors): NamedTensors =>
  Object.fromEntries(
    carried.flatMap(({ name, output }) => {
      const result = results[output];
      return result === undefined ? [] : [[name, result]];
    }),
  );
