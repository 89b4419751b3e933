import { chooseParameters, type ParameterChoice } from "../../analysis/parameters/choose.ts";
import { type Kind, NUMBER, OPTIONS, optional, requireArgument, withFields } from "../../arguments.ts";
import { layoutOf } from "../../graph/data-type.ts";
import type { Graph, Node, Value } from "../../graph/graph.ts";
import { A_MODEL, type Model } from "../../graph/model.ts";
import type { Dimension } from "../../graph/value-type.ts";
import { inferTypes } from "../../ops/inference/infer-types.ts";
import { NodeView } from "../../ops/node-view.ts";
import { operatorOf } from "../../ops/operators/index.ts";
import { shapeOf } from "../../ops/value-types.ts";
import { fixSizes } from "../open-sizes.ts";
import { prepareForward } from "../prepare-forward.ts";
import { multiplyAddsOf } from "./multiply-adds.ts";

export interface SummaryOptions extends ParameterChoice {
  /** Sizes of axes that the model leaves open, by name. Default: 1 each. */
  readonly sizes?: Readonly<Record<string, number>>;
}

/** A node that has parameters, or products of tensors. */
export interface SummaryLayer {
  readonly name: string;
  readonly operator: string;
  /** Of its first output; null where it is not known. */
  readonly shape: readonly Dimension[] | null;
  /** Parameters that no layer before it has. */
  readonly parameters: readonly { readonly name: string; readonly elements: number; readonly isTrained: boolean }[];
  /** Null where a size is not known. */
  readonly multiplyAdds: number | null;
}

/** What a forward model consists of, as `build` would train it. */
export interface ModelSummary {
  readonly layers: readonly SummaryLayer[];
  /** Sizes that were put in for open axes. */
  readonly sizes: Readonly<Record<string, number>>;
  /** Elements of what would be trained, of running statistics and frozen parameters, and of constants of the program. */
  readonly elements: { readonly trained: number; readonly frozen: number; readonly constant: number };
  /** Of all layers whose sizes are known. */
  readonly multiplyAdds: number;
  /** Bytes of all values between inputs and outputs whose sizes are known: a training step keeps most of them for the gradients. */
  readonly activationBytes: number;
  readonly nodes: number;
}

const SIZES: Kind = {
  what: "sizes by name",
  holds: (given) => OPTIONS.holds(given) && Object.values(given as object).every(NUMBER.holds),
};

const SUMMARY_OPTIONS = withFields({ sizes: optional(SIZES) }, "options: { sizes, parameters, freeze }");

/**
 * Says what a forward model consists of: layers, parameters, multiply-adds and memory. The model is left as it is.
 * @throws PassError `E_OPSET`, `E_NO_PARAMETERS` for a glob that names nothing; UsageError `E_OPTION`
 */
export function summarizeModel(model: Model, options: SummaryOptions = {}): ModelSummary {
  requireArgument("model", model, A_MODEL);
  requireArgument("options", options, OPTIONS);
  requireArgument("options", options, SUMMARY_OPTIONS);
  const own = model.clone();
  const { roles } = prepareForward(own, {});
  const { graph } = own;
  const sizes = sizesOf(graph, options.sizes ?? {});
  fixSizes(own, sizes);
  inferTypes(own);
  const statistics = runningStatistics(graph);
  const { candidates, frozen, skipped } = chooseParameters(own, statistics, roles, options);
  const [trained, kept] = [new Set(candidates), new Set([...frozen, ...statistics])];
  const told = new Set<Value>();
  const layers = [...graph].flatMap((node): readonly SummaryLayer[] => {
    const parameters = node.inputs
      .filter((value) => value !== null)
      .filter((value) => (trained.has(value) || kept.has(value)) && !told.has(value));
    for (const value of parameters) told.add(value);
    const multiplyAdds = multiplyAddsOf(operatorOf(node), new NodeView(node, own.opset));
    if (parameters.length === 0 && multiplyAdds === 0) return [];
    const [output] = node.outputs;
    return [
      {
        name: node.name === "" ? (output?.name ?? "") : node.name,
        operator: operatorOf(node),
        shape: output ? shapeOf(output) : null,
        parameters: parameters.map((value) => ({
          ...{ name: value.name, elements: elementsOf(value) },
          isTrained: trained.has(value),
        })),
        multiplyAdds,
      },
    ];
  });
  const sum = (values: Iterable<Value>): number => [...values].reduce((total, value) => total + elementsOf(value), 0);
  const named = new Map(graph.initializers.map((value) => [value.name, value]));
  return {
    ...{ layers, sizes },
    elements: {
      ...{ trained: sum(trained), frozen: sum(kept) },
      constant: sum(skipped.flatMap(({ at }) => named.get(at) ?? [])),
    },
    multiplyAdds: layers.reduce((total, layer) => total + (layer.multiplyAdds ?? 0), 0),
    activationBytes: [...graph].reduce((total, node) => total + bytesOf(node), 0),
    nodes: graph.nodeCount,
  };
}

const elementsOf = ({ tensor }: Value): number => (tensor?.dims ?? []).reduce((size, dim) => size * dim, 1);

/** The size of each axis with a name: the one that is given for it, or 1; with those given that no axis has. */
function sizesOf({ inputs }: Graph, given: Readonly<Record<string, number>>): Record<string, number> {
  const names = inputs.flatMap(({ type }) => (type?.kind === "tensor" ? (type.shape ?? []) : []));
  return { ...Object.fromEntries(names.filter((dim) => typeof dim === "string").map((dim) => [dim, 1])), ...given };
}

const runningStatistics = (graph: Graph): readonly Value[] =>
  [
    ...new Set(
      [...graph].flatMap((node) =>
        operatorOf(node) === "BatchNormalization" ? node.inputs.slice(3, 5).filter((value) => value?.tensor) : [],
      ),
    ),
  ].filter((value) => value !== null);

function bytesOf(node: Node): number {
  return node.outputs.reduce((total, value) => {
    const shape = value === null ? null : shapeOf(value);
    const bytes = value?.type?.kind === "tensor" ? (layoutOf(value.type.dtype)?.array?.BYTES_PER_ELEMENT ?? 0) : 0;
    const elements = shape?.reduce<number>((size, dim) => size * (typeof dim === "number" ? dim : 0), 1) ?? 0;
    return total + elements * bytes;
  }, 0);
}
