import { graphsOf } from "../graph/attribute.ts";
import type { Graph, Value } from "../graph/graph.ts";
import type { Model } from "../graph/model.ts";
import { inferTypes } from "../ops/inference/infer-types.ts";
import { opTypes } from "../ops/operators/index.ts";

/** Tensors of at most so many numbers: products of them take one thread as long as it takes to have another one share in them. */
const MOST_NUMBERS = 2 ** 12;

/** They multiply more often than the size of what they read and write tells. */
const CONVOLUTIONS = opTypes(["Conv", "ConvInteger", "ConvTranspose", "DeformConv", "QLinearConv"]);

/**
 * Whether no operator of these models has work for a second thread: all their tensors are small, of known shapes, and nothing is convolved.
 * @param update renews each tensor by itself, so its inputs are all that is looked at; null: there is none
 */
export function areSmall(models: readonly Model[], update: Model | null): boolean {
  const given = [...models, ...(update === null ? [] : [update])];
  const values = given.flatMap(({ graph }) => [...graph.inputs, ...graph.initializers]);
  return values.every(isSmallValue) && models.every(isSmall);
}

function isSmall(model: Model): boolean {
  const copy = model.clone();
  inferTypes(copy);
  return isSmallGraph(copy.graph);
}

function isSmallGraph(graph: Graph): boolean {
  const nodes = [...graph.nodes];
  return (
    [...graph.initializers, ...nodes.flatMap(({ outputs }) => outputs)].every(isSmallValue) &&
    nodes.every(({ opType, attributes }) => {
      return !CONVOLUTIONS.has(opType) && [...attributes.values()].flatMap(graphsOf).every(isSmallGraph);
    })
  );
}

function isSmallValue(value: Value | null): boolean {
  if (value === null) return true;
  const shape = value.tensor?.dims ?? (value.type?.kind === "tensor" ? value.type.shape : null);
  if (shape === null) return false;
  let numbers = 1;
  for (const dim of shape) {
    if (typeof dim !== "number") return false;
    numbers *= dim;
  }
  return numbers <= MOST_NUMBERS;
}
