import { PassError } from "../../errors.ts";
import { attribute } from "../../graph/attribute.ts";
import { DataType } from "../../graph/data-type.ts";
import { Graph, Node, Value } from "../../graph/graph.ts";
import { Model, ONNX_DOMAIN } from "../../graph/model.ts";
import { sequenceType, tensorType, type ValueType } from "../../graph/value-type.ts";
import { MICROSOFT } from "../../onnxruntime/domain.ts";
import {
  ADAMW_OPTIMIZER,
  type OptimizerInput,
  type SequenceOptimizer,
  SGD_OPTIMIZER,
} from "../../onnxruntime/sequence-optimizers.ts";
import { completeOptimizer, type OptimizerOptions } from "../../optim/optimizers.ts";

const floats = sequenceType(tensorType(DataType.float));

/** Inputs that are no sequences of all parameters. */
const SCALARS: Readonly<Partial<Record<OptimizerInput, ValueType>>> = {
  learning_rate: tensorType(DataType.float, [1]),
  step: tensorType(DataType.int64, [1]),
};

interface Kind {
  readonly operator: SequenceOptimizer;
  readonly attributes: (options: OptimizerOptions) => readonly ReturnType<typeof attribute.int>[];
  /** What the operator does not have. */
  readonly refuses: (options: OptimizerOptions) => string | null;
}

const KINDS: Readonly<Partial<Record<OptimizerOptions["name"], Kind>>> = {
  adamw: {
    operator: ADAMW_OPTIMIZER,
    attributes: ({ beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8, weightDecay = 0.01, mode }) => [
      attribute.int("adam_mode", mode === "transformers" ? 1 : 0),
      attribute.float("alpha", beta1),
      attribute.float("beta", beta2),
      attribute.int("correct_bias", 1),
      attribute.float("epsilon", epsilon),
      attribute.float("weight_decay", weightDecay),
    ],
    refuses: () => null,
  },
  sgd: {
    operator: SGD_OPTIMIZER,
    attributes: () => [],
    refuses: ({ momentum = 0, weightDecay = 0 }) =>
      momentum !== 0 ? "momentum" : weightDecay !== 0 ? "weight decay" : null,
  },
};

/**
 * An optimizer model as ONNX Runtime's training API takes it, over sequences of all parameters.
 * @returns null, with the reason, for an optimizer that the training API does not have
 */
export function makeOptimizerModel(
  options: OptimizerOptions,
  header: { readonly irVersion: number; readonly opset: number },
): { readonly model: Model; readonly refused: null } | { readonly model: null; readonly refused: string } {
  const complete = completeOptimizer(options);
  const kind = KINDS[complete.name];
  const refused =
    kind === undefined
      ? `the training API has no ${complete.name}; it has ${Object.keys(KINDS).join(" and ")}`
      : (kind.refuses(complete) ?? beforeGradients(complete));
  if (kind === undefined || refused !== null) {
    return { model: null, refused: kind === undefined ? (refused ?? "") : `its ${complete.name} has no ${refused}` };
  }
  const graph = new Graph("optimizer");
  const { op, modelInputs, inputs: read, flag: shape } = kind.operator;
  const inputs = new Map(modelInputs.map((name) => [name, new Value(name, SCALARS[name] ?? floats)]));
  graph.inputs.push(...inputs.values());
  const gradients = inputs.get("gradients");
  if (gradients === undefined) throw new PassError("E_NO_OPTIMIZER", "the optimizer reads no gradients");
  if (complete.clipNorm !== undefined) {
    const clipped = new Value("clipped_gradients", floats);
    const attributes = [attribute.float("max_norm", complete.clipNorm), attribute.string("norm_type", "fro")];
    graph.append(
      new Node("InplaceClipGradNorm", [gradients], [clipped], { name: "clip", domain: MICROSOFT, attributes }),
    );
    inputs.set("gradients", clipped);
  }
  const flag = new Value("updated_flag", tensorType(DataType.bool, shape));
  /** `gradients` stands for what is left of them after clipping. */
  const values = read.map((name) => inputs.get(name) ?? null);
  graph.append(new Node(op, values, [flag], { name: op, domain: MICROSOFT, attributes: kind.attributes(complete) }));
  graph.addOutput(flag);
  const model = new Model(header.irVersion, graph);
  model.opsets.set(ONNX_DOMAIN, header.opset);
  model.opsets.set(MICROSOFT, 1);
  return { model, refused: null };
}

function beforeGradients({ proximal, clipValue, centralize, transforms, cautious }: OptimizerOptions): string | null {
  if (transforms !== undefined) return "list of transforms";
  if (cautious === true) return "cautious updates";
  if (proximal !== undefined) return "proximal term";
  if (clipValue !== undefined) return "clipping by value";
  return centralize === true ? "gradient centralization" : null;
}
