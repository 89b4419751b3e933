import type { Value } from "../../graph/graph.ts";
import { type Model, walkGraphs } from "../../graph/model.ts";
import { inferTypes } from "../../ops/inference/infer-types.ts";
import { NodeView } from "../../ops/node-view.ts";
import { dimsOf } from "../../ops/value-types.ts";

/** What a size counts as that is not known. */
const OPEN_SIZE = 3;

/**
 * About how many numbers the patches of a model's convolutions have where these are written in operators with float64 kernels: memory and
 * time go with them.
 */
export function patchElements(model: Model): number {
  inferTypes(model);
  let sum = 0;
  for (const graph of walkGraphs(model.graph)) {
    for (const node of graph) {
      const { opType, inputs, outputs } = node;
      const pixels = opType === "Conv" ? outputs[0] : opType === "ConvTranspose" ? inputs[0] : null;
      if (!pixels) continue;
      const [batch = 1, , ...windows] = sizesOf(pixels);
      const [, channels = 1, ...kernel] = sizesOf(inputs[1]);
      sum += product([batch, ...windows, channels, new NodeView(node).intOrNull("group") ?? 1, ...kernel]);
    }
  }
  return sum;
}

const sizesOf = (value: Value | null | undefined): readonly number[] =>
  (value ? dimsOf(value) : null)?.map((size) => size ?? OPEN_SIZE) ?? [];

const product = (sizes: readonly number[]): number => sizes.reduce((all, size) => all * size, 1);
