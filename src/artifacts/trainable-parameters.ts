import { BYTES, type Kind, optional, orNull, requireArgument, withFields } from "../arguments.ts";
import { CheckpointError, FormatError } from "../errors.ts";
import type { Model } from "../graph/model.ts";
import { A_MODEL } from "../graph/model.ts";
import type { Dimension } from "../graph/value-type.ts";
import { bufferName, parameterOfBuffer } from "../onnxruntime/training-names.ts";
import type { Checkpoint } from "./checkpoint/checkpoint.ts";
import { A_CHECKPOINT } from "./checkpoint/checkpoint.ts";
import { decodeCheckpoint } from "./checkpoint/read-odtc.ts";
import type { TrainingArtifacts } from "./ort-artifacts.ts";

const PARAMETERS_SOURCE: Kind = withFields(
  { trainingModel: orNull(A_MODEL), checkpoint: optional(orNull(BYTES)) },
  "training artifacts: { trainingModel, checkpoint? }",
);

/** A parameter the training graph takes, with the shape it has there. */
export interface TrainableParameter {
  readonly name: string;
  readonly shape: readonly number[];
}

/**
 * The trainable parameters, in the order of the training model's inputs, with the shapes it declares or, where it leaves
 * them open, those of the checkpoint; null where there is no training model.
 * @throws FormatError `E_NO_SHAPE` where neither tells a shape
 */
export function trainableParameters(
  artifacts: Pick<TrainingArtifacts, "trainingModel"> & Partial<Pick<TrainingArtifacts, "checkpoint">>,
): readonly TrainableParameter[] | null {
  requireArgument("artifacts", artifacts, PARAMETERS_SOURCE);
  const { trainingModel, checkpoint = null } = artifacts;
  if (trainingModel === null) return null;
  const inputs = trainingModel.graph.inputs;
  const trained = new Set(inputs.map(({ name }) => parameterOfBuffer(name)));
  const trainable = checkpoint === null ? [] : decodeCheckpoint(checkpoint).trainable;
  const held = new Map(trainable.map(({ name, tensor }) => [name, tensor]));
  return inputs
    .filter(({ name }) => trained.has(name))
    .map(({ name, type }) => {
      const declared = type?.kind === "tensor" ? type.shape : null;
      if (declared?.every((dim) => typeof dim === "number")) return { name, shape: declared };
      const tensor = held.get(name);
      if (tensor !== undefined) return { name, shape: tensor.dims };
      throw new FormatError(
        "E_NO_SHAPE",
        `neither the training model nor a checkpoint tells the shape of parameter "${name}"`,
        {
          field: name,
          hint: "Put the checkpoint that was exported with the model into the folder.",
        },
      );
    });
}

/**
 * Checks that a checkpoint has what a training model takes: every parameter, with its shape and type, trainable where the
 * model keeps a gradient for it. Tensors the model does not take are allowed, as in ONNX Runtime.
 * @throws CheckpointError `E_CHECKPOINT_MISMATCH`, listing up to ten differences.
 */
export function checkCheckpointFits(trainingModel: Model, checkpoint: Checkpoint): void {
  requireArgument("trainingModel", trainingModel, A_MODEL);
  requireArgument("checkpoint", checkpoint, A_CHECKPOINT);
  const held = new Map([...checkpoint.trainable, ...checkpoint.frozen].map(({ name, tensor }) => [name, tensor]));
  const trainable = new Set(checkpoint.trainable.map(({ name }) => name));
  const inputs = new Map(trainingModel.graph.inputs.map((value) => [value.name, value.type]));
  const differences: string[] = [];
  for (const name of trainable) {
    if (inputs.has(name) && !inputs.has(bufferName(name)))
      differences.push(`"${name}" is trainable only in the checkpoint`);
  }
  for (const [name, type] of inputs) {
    const parameter = parameterOfBuffer(name);
    if (parameter !== null) {
      if (!held.has(parameter)) differences.push(`"${parameter}" is missing in the checkpoint`);
      else if (!trainable.has(parameter))
        differences.push(`"${parameter}" is frozen in the checkpoint, trainable in the model`);
    }
    const tensor = held.get(name);
    if (tensor === undefined || type?.kind !== "tensor") continue;
    if (tensor.dtype !== type.dtype) differences.push(`"${name}" has another element type`);
    if (!checkpoint.nominal && type.shape !== null && !isShape(tensor.dims, type.shape)) {
      differences.push(`"${name}" has shape [${tensor.dims.join(",")}], the model takes [${type.shape.join(",")}]`);
    }
  }
  if (differences.length === 0) return;
  const more = differences.length > 10 ? `; and ${differences.length - 10} more` : "";
  throw new CheckpointError(
    "E_CHECKPOINT_MISMATCH",
    `the checkpoint does not fit the training model: ${differences.slice(0, 10).join("; ")}${more}`,
    {
      hint: "Use the checkpoint that was exported together with this training model.",
    },
  );
}

/** Symbolic and unknown dimensions take any size. */
function isShape(dims: readonly number[], shape: readonly Dimension[]): boolean {
  return dims.length === shape.length && shape.every((dim, axis) => typeof dim !== "number" || dim === dims[axis]);
}
