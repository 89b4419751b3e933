import { checkCheckpointFits } from "../../artifacts/ort-artifacts.ts";
import { BackendError, PassError } from "../../errors.ts";
import { DataType } from "../../graph/data-type.ts";
import { describeNode } from "../../graph/graph.ts";
import { hasExternalData } from "../../graph/io/model-file.ts";
import type { Model } from "../../graph/model.ts";
import type { DecodedArtifacts } from "../session-files.ts";

/** What ONNX Runtime 1.19.2 reads. */
const NEWEST = { irVersion: 10, opset: 21 };

/** Required inputs of an optimizer model, in this order (ORT-TRAINING 1.3). */
const OPTIMIZER_INPUTS = new Map([
  ["AdamWOptimizer", ["learning_rate", "step", "params", "gradients", "first_order_moments", "second_order_moments"]],
  ["SGDOptimizerV2", ["learning_rate", "step", "params", "gradients", "first_order_moments"]],
]);

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

function checkOptimizer(model: Model): void {
  const fail = (reason: string): PassError =>
    new PassError("E_OPTIMIZER_MODEL", `the optimizer model cannot be used by the training API: ${reason}`, {
      field: "optimizerModel",
    });
  const nodes = model.graph.nodes.filter(
    ({ domain, opType }) => domain === "com.microsoft" && OPTIMIZER_INPUTS.has(opType),
  );
  const [node] = nodes;
  if (node === undefined) throw fail(`no ${[...OPTIMIZER_INPUTS.keys()].join(" or ")} stands in its main graph`);
  if (nodes.length > 1)
    throw fail(`it has ${nodes.length} optimizers, ${nodes.map(describeNode).join(" and ")}; only one is allowed`);
  const initializers = new Set(model.graph.initializers);
  const names = model.graph.inputs.filter((value) => !initializers.has(value)).map(({ name }) => name);
  const expected = OPTIMIZER_INPUTS.get(node.opType) ?? [];
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
    if (type?.kind !== "tensor" || producer?.domain !== "com.microsoft" || producer.outputs[0] !== flag) continue;
    if (!OPTIMIZER_INPUTS.has(producer.opType)) continue;
    const shape = producer.opType === "SGDOptimizerV2" ? null : type.shape;
    if (type.dtype === DataType.bool && type.shape === shape) continue;
    flag.type = { ...type, dtype: DataType.bool, shape };
    mended = true;
  }
  return mended;
}
