import type { Checkpoint } from "../../artifacts/checkpoint/checkpoint.ts";
import { BackendError } from "../../errors.ts";
import type { NamedTensor } from "../../graph/attribute.ts";
import { DataType } from "../../graph/data-type.ts";
import type { Model } from "../../graph/model.ts";
import { Tensor } from "../../graph/tensor.ts";

/**
 * A checkpoint with other values of its parameters, and without the optimizer's state.
 * @param trainModel says in which order they are
 * @param values of all parameters one after the other, as the build hands them out
 * @throws BackendError `E_CHECKPOINT` where a parameter is not float32
 */
export function withParameters(checkpoint: Checkpoint, trainModel: Model, values: Float32Array): Checkpoint {
  let offset = 0;
  const now = new Map<string, Tensor>();
  const held = new Map([...checkpoint.trainable, ...checkpoint.frozen].map(({ name, tensor }) => [name, tensor]));
  for (const { name } of trainModel.graph.inputs) {
    const tensor = held.get(name);
    if (tensor === undefined) continue;
    if (tensor.dtype !== DataType.float) {
      throw new BackendError(
        "E_CHECKPOINT",
        `parameter "${name}" is not float32; the training build hands out no other`,
        { field: name },
      );
    }
    now.set(name, Tensor.from(DataType.float, tensor.dims, values.slice(offset, offset + tensor.size)));
    offset += tensor.size;
  }
  const current = ({ name, tensor }: NamedTensor): NamedTensor => ({ name, tensor: now.get(name) ?? tensor });
  return {
    ...checkpoint,
    nominal: false,
    trainable: checkpoint.trainable.map(current),
    frozen: checkpoint.frozen.map(current),
    optimizerGroups: [],
  };
}
