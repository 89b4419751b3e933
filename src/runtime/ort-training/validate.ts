import { checkCheckpointFits } from "../../artifacts/trainable-parameters.ts";
import { BackendError, PassError } from "../../errors.ts";
import { DataType } from "../../graph/data-type.ts";
import { describeNode, type Node } from "../../graph/graph.ts";
import { hasExternalData } from "../../graph/io/external-tensors.ts";
import type { Model } from "../../graph/model.ts";
import { MICROSOFT } from "../../onnxruntime/domain.ts";
import {
  SEQUENCE_OPTIMIZERS,
  type SequenceOptimizer,
  SGD_OPTIMIZER,
  sequenceOptimizer,
} from "../../onnxruntime/sequence-optimizers.ts";
import type { DecodedArtifacts } from "../session-files.ts";

/** What ONNX Runtime 1.19.2 reads. */
const NEWEST = { irVersion: 10, opset: 21 };

/**
 * Checks artifacts before the training build sees them, which answers most mistakes with a bare number.
 * @throws PassError `E_OPSET`, `E_IR_VERSION`, `E_OPTIMIZER_MODEL`; CheckpointError `E_CHECKPOINT_MISMATCH`;
 *   BackendError `E_CHECKPOINT_EXTERNAL`, `E_EXTERNAL_DATA`
 */
export function validateArtifacts({ checkpoint, trainModel, evalModel, optimizerModel }: DecodedArtifacts): void {
  const models = { trainModel, evalModel, optimizerModel };
  for (const [name, model] of Object.entries(models)) if (model !== null) checkReadable(name, model);
  const tensors = [...checkpoint.trainable, ...checkpoint.frozen];
  if (tensors.some(({ tensor }) => tensor.data.kind === "external")) {
    throw new BackendError(
      "E_CHECKPOINT_EXTERNAL",
      "the checkpoint keeps its tensors in a second file, which the training build cannot load from memory",
      {
        field: "checkpointState",
        hint: "Models of this size need the native training API.",
      },
    );
  }
  checkCheckpointFits(trainModel, checkpoint);
  if (optimizerModel !== null) checkOptimizer(optimizerModel);
}

function checkReadable(name: string, model: Model): void {
  if (hasExternalData(model)) {
    throw new BackendError(
      "E_EXTERNAL_DATA",
      `${name} keeps tensors in another file, which the training build cannot read`,
      {
        field: name,
        hint: "Read the folder with readArtifacts, or the model with readModel and readExternalTensors.",
      },
    );
  }
  if (model.irVersion > NEWEST.irVersion) {
    throw new PassError(
      "E_IR_VERSION",
      `${name} has IR version ${model.irVersion}; ONNX Runtime 1.19.2 reads up to ${NEWEST.irVersion}`,
      {
        field: name,
      },
    );
  }
  if (model.opset > NEWEST.opset) {
    throw new PassError(
      "E_OPSET",
      `${name} has opset ${model.opset}; ONNX Runtime 1.19.2 reads up to ${NEWEST.opset}`,
      { field: name },
    );
  }
}

const operatorOf = ({ domain, opType }: Node): SequenceOptimizer | null =>
  domain === MICROSOFT ? sequenceOptimizer(opType) : null;

function checkOptimizer(model: Model): void {
  const fail = (reason: string): PassError =>
    new PassError("E_OPTIMIZER_MODEL", `the optimizer model cannot be used by the training API: ${reason}`, {
      field: "optimizerModel",
    });
  const nodes = model.graph.nodes.filter((each) => operatorOf(each) !== null);
  const [node] = nodes;
  if (node === undefined)
    throw fail(`no ${SEQUENCE_OPTIMIZERS.map(({ op }) => op).join(" or ")} stands in its main graph`);
  if (nodes.length > 1)
    throw fail(`it has ${nodes.length} optimizers, ${nodes.map(describeNode).join(" and ")}; only one is allowed`);
  const initializers = new Set(model.graph.initializers);
  const names = model.graph.inputs.filter((value) => !initializers.has(value)).map(({ name }) => name);
  const expected = operatorOf(node)?.modelInputs ?? [];
  if (names.join() !== expected.join())
    throw fail(`its inputs must be ${expected.join(", ")} in this order, they are ${names.join(", ")}`);
}

/**
 * Declares the optimizer's flag as the training build infers it, which takes another declaration for an error: SGD artifacts
 * say [1] of a scalar (ORT-TRAINING 1.3), and AdamW artifacts of onnxruntime-training up to 1.15 say int64 of a bool.
 * @returns whether the model was changed
 */
export function mendFlagType(optimizerModel: Model): boolean {
  let mended = false;
  for (const flag of optimizerModel.graph.outputs) {
    const { type, producer } = flag;
    if (type?.kind !== "tensor" || producer?.outputs[0] !== flag) continue;
    const operator = operatorOf(producer);
    if (operator === null) continue;
    const shape = operator === SGD_OPTIMIZER ? null : type.shape;
    if (type.dtype === DataType.bool && type.shape === shape) continue;
    flag.type = { ...type, dtype: DataType.bool, shape };
    mended = true;
  }
  return mended;
}
