import { CheckpointError } from "../../errors.ts";
import type { NamedTensor } from "../../graph/attribute.ts";
import type { PlannedState } from "../portable/plan.ts";
import { DEFAULT_INITIAL_RATE, slotOf, slotZeros, type TrainingState, zeros } from "../portable/state.ts";
import { type Checkpoint, type ParameterState, requireElements } from "./checkpoint.ts";
import { checkpointSpace, MOST_CHECKPOINT_BYTES } from "./checkpoint-space.ts";

/** ONNX Runtime's one group of parameters. */
const GROUP = "group0";

/**
 * The state an ONNX Runtime checkpoint holds, as a step with these slots takes it. Slots begin at zero where the
 * checkpoint has none.
 * @throws CheckpointError `E_CHECKPOINT_MISMATCH` where it has the slots of some parameters only, `E_CHECKPOINT_EXTERNAL`
 */
export function stateOfCheckpoint(checkpoint: Checkpoint, planned: readonly PlannedState[]): TrainingState {
  requireElements(checkpoint);
  const tensors = new Map([...checkpoint.trainable, ...checkpoint.frozen].map(({ name, tensor }) => [name, tensor]));
  const zerosOf = slotZeros();
  const [group] = checkpoint.optimizerGroups;
  const moments = new Map(group?.states.map(({ parameter, moments: held }) => [parameter, held]));
  for (const { name, kind, shape } of planned) {
    if (kind !== "slot") continue;
    const { parameter, slot } = slotOf(name);
    const like = tensors.get(parameter);
    if (like === undefined) continue;
    const held = moments.get(parameter)?.find((each) => each.name === slot)?.tensor;
    if (held === undefined && moments.size > 0) {
      throw new CheckpointError(
        "E_CHECKPOINT_MISMATCH",
        `the checkpoint has optimizer state, but no ${slot} of parameter "${parameter}"`,
        { field: parameter, hint: "Use the checkpoint that was saved with this optimizer model." },
      );
    }
    const first = shape === undefined ? zerosOf(like) : zeros(like.dtype, shape);
    tensors.set(name, held ?? (checkpoint.nominal && shape === undefined ? like : first));
  }
  return {
    step: Number(group?.step ?? 0n),
    tensors,
    nominal: checkpoint.nominal,
    initialLearningRate: group?.initialLearningRate ?? DEFAULT_INITIAL_RATE,
    properties: checkpoint.properties,
  };
}

/** Whether ONNX Runtime's checkpoint format holds as much. */
export function fitsCheckpoint(state: TrainingState, planned: readonly PlannedState[]): boolean {
  return checkpointSpace(checkpointOfState(state, planned)) <= MOST_CHECKPOINT_BYTES;
}

/** The state as an ONNX Runtime checkpoint, the optimizer's moments included. Names of the planned state say what is what. */
export function checkpointOfState(state: TrainingState, planned: readonly PlannedState[]): Checkpoint {
  const named = (kinds: readonly PlannedState["kind"][]): NamedTensor[] =>
    planned
      .filter(({ kind }) => kinds.includes(kind))
      .flatMap(({ name }) => {
        const tensor = state.tensors.get(name);
        return tensor === undefined ? [] : [{ name, tensor }];
      });
  const states = new Map<string, NamedTensor[]>();
  for (const { name, tensor } of named(["slot"])) {
    const { parameter, slot } = slotOf(name);
    states.set(parameter, [...(states.get(parameter) ?? []), { name: slot, tensor }]);
  }
  const group = {
    name: GROUP,
    step: BigInt(state.step),
    initialLearningRate: state.initialLearningRate,
    states: [...states].map(([parameter, moments]): ParameterState => ({ parameter, moments })),
  };
  return {
    trainable: named(["parameter"]),
    frozen: named(["frozen", "buffer"]),
    nominal: false,
    optimizerGroups: states.size > 0 || state.step > 0 ? [group] : [],
    properties: state.properties,
  };
}
