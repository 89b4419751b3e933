import type { Attribute, SparseTensor } from "./attribute.ts";
import type { Node } from "./graph.ts";
import { type Model, walkGraphs } from "./model.ts";
import type { Tensor } from "./tensor.ts";

/** A tensor somewhere in the model, and how to put another in its place. */
export interface TensorSite {
  /** Its name, or the place that holds it. */
  readonly where: string;
  readonly tensor: Tensor;
  readonly replace: (next: Tensor) => void;
}

/**
 * Every tensor of a model: initializers, sparse initializers and the tensors in attributes, in subgraphs, functions and
 * training_info too.
 */
export function* tensorSites(model: Model): Generator<TensorSite> {
  for (const root of model.rootGraphs) {
    for (const graph of walkGraphs(root)) {
      for (const value of graph.initializers) {
        if (value.tensor === null) continue;
        yield { where: value.name, tensor: value.tensor, replace: (next) => Object.assign(value, { tensor: next }) };
      }
      for (const [index, { value, tensor }] of graph.sparseInitializers.entries()) {
        yield* sparseSites(value.name, tensor, (next) => {
          graph.sparseInitializers[index] = { value, tensor: next };
        });
      }
      for (const node of graph) {
        for (const attribute of node.attributes.values()) yield* attributeSites(node, attribute);
      }
    }
  }
}

function* attributeSites(node: Node, attribute: Attribute): Generator<TensorSite> {
  const where = `${node.name || node.opType}.${attribute.name}`;
  const set = (next: Attribute): void => {
    node.attributes.set(next.name, next);
  };
  switch (attribute.kind) {
    case "tensor": {
      const { value } = attribute;
      yield { where, tensor: value.tensor, replace: (tensor) => set({ ...attribute, value: { ...value, tensor } }) };
      return;
    }
    case "tensors":
      for (const [index, { tensor }] of attribute.value.entries()) {
        const replace = (next: Tensor): void => {
          const value = attribute.value.map((each, at) => (at === index ? { ...each, tensor: next } : each));
          set({ ...attribute, value });
        };
        yield { where: `${where}[${index}]`, tensor, replace };
      }
      return;
    case "sparse-tensor":
      yield* sparseSites(where, attribute.value, (value) => set({ ...attribute, value }));
      return;
    case "sparse-tensors":
      for (const [index, sparse] of attribute.value.entries()) {
        yield* sparseSites(`${where}[${index}]`, sparse, (next) =>
          set({ ...attribute, value: attribute.value.map((each, at) => (at === index ? next : each)) }),
        );
      }
      return;
    default:
      return;
  }
}

function* sparseSites(
  where: string,
  sparse: SparseTensor,
  replace: (next: SparseTensor) => void,
): Generator<TensorSite> {
  const { values, indices } = sparse;
  if (values !== null) {
    yield { where, tensor: values, replace: (next) => replace({ ...sparse, values: next }) };
  }
  if (indices !== null) {
    yield { where: `${where}.indices`, tensor: indices, replace: (next) => replace({ ...sparse, indices: next }) };
  }
}
