import { PassError } from "../errors.ts";
import { attribute } from "../graph/attribute.ts";
import { DataType } from "../graph/data-type.ts";
import { Graph, Node, Value } from "../graph/graph.ts";
import { Model, ONNX_DOMAIN } from "../graph/model.ts";
import { sequenceType, tensorType } from "../graph/value-type.ts";
import { completeOptimizer, type OptimizerOptions } from "../optim/optimizers.ts";
import { MICROSOFT } from "./lower-training-ops/lowering.ts";

const floats = sequenceType(tensorType(DataType.float));

interface Kind {
  readonly op: string;
  readonly sequences: readonly string[];
  /** Shape of the output that says that it updated: ONNX Runtime's own inference of the operators disagrees. */
  readonly flag: readonly number[];
  /** Inputs of the node, by the names of the graph's; `gradients` stands for what is left of them after clipping. */
  readonly inputs: readonly string[];
  readonly attributes: (options: OptimizerOptions) => readonly ReturnType<typeof attribute.int>[];
  /** What the operator does not have. */
  readonly refuses: (options: OptimizerOptions) => string | null;
}

const KINDS: Readonly<Partial<Record<OptimizerOptions["name"], Kind>>> = {
  adamw: {
    op: "AdamWOptimizer",
    sequences: ["params", "gradients", "first_order_moments", "second_order_moments"],
    flag: [1],
    inputs: ["learning_rate", "step", "params", "gradients", "first_order_moments", "second_order_moments"],
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
    op: "SGDOptimizerV2",
    sequences: ["params", "gradients", "first_order_moments"],
    flag: [],
    inputs: ["learning_rate", "params", "gradients"],
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
  const inputs = new Map<string, Value>([
    ["learning_rate", new Value("learning_rate", tensorType(DataType.float, [1]))],
    ["step", new Value("step", tensorType(DataType.int64, [1]))],
    ...kind.sequences.map((name): [string, Value] => [name, new Value(name, floats)]),
  ]);
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
  const flag = new Value("updated_flag", tensorType(DataType.bool, kind.flag));
  const read = kind.inputs.map((name) => inputs.get(name) ?? null);
  const attributes = kind.attributes(complete);
  graph.append(new Node(kind.op, read, [flag], { name: kind.op, domain: MICROSOFT, attributes }));
  graph.addOutput(flag);
  const model = new Model(header.irVersion, graph);
  model.opsets.set(ONNX_DOMAIN, header.opset);
  model.opsets.set(MICROSOFT, 1);
  return { model, refused: null };
}

function beforeGradients({ clipValue, centralize }: OptimizerOptions): string | null {
  if (clipValue !== undefined) return "clipping by value";
  return centralize === true ? "gradient centralization" : null;
}
