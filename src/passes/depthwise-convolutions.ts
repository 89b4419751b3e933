import { unknownAttribute } from "../autodiff/attributes.ts";
import { chooseDepthwiseAlgorithm, DEPTHWISE_ALGORITHMS } from "../autodiff/formulas/depthwise.ts";
import { windowOf } from "../autodiff/formulas/window.ts";
import type { Node } from "../graph/graph.ts";
import type { Model } from "../graph/model.ts";
import { Names } from "../graph/names.ts";
import type { TypeInference } from "../ops/inference/inference.ts";
import { dimsOf, known } from "../ops/value-types.ts";
import { Call } from "./lower-training-ops/lowering.ts";
import { replaceByParts } from "./lower-training-ops/replace.ts";

/**
 * Writes depthwise convolutions over small planes or with short rows as matrix products, forward and with them backward: ONNX Runtime's CPU
 * provider takes many times as long for one row per channel.
 * @param types has seen the graph; sees every node that is made
 * @returns how many there were
 */
export function writeDepthwiseProducts(model: Model, types: TypeInference): number {
  const { graph } = model;
  const names = new Names(model);
  let count = 0;
  for (const node of graph) {
    const lower = node.domain === "" && node.opType === "Conv" ? loweringOf(node) : null;
    if (lower === null) continue;
    count += 1;
    const options = { names, opset: model.opset, isInput: () => false };
    replaceByParts(graph, new Call(node), { lower }, { ...options, onEmit: (made) => types.node(made) });
  }
  return count;
}

function loweringOf(node: Node): Parameters<typeof replaceByParts>[2]["lower"] | null {
  /** Attributes that are not known are refused where the gradient is taken. */
  if (unknownAttribute(node) !== null) return null;
  const call = new Call(node);
  const [image, dims] = [dimsOf(call.input(0)), known(dimsOf(call.input(1)))];
  const spatial = known(image?.slice(2) ?? null);
  if (image === null || dims === null || spatial === null) return null;
  const [channels = 0, perGroup = 0, ...kernel] = dims;
  if (perGroup !== 1 || channels !== image[1] || call.int("group") !== channels || channels === 1) return null;
  const window = windowOf(call, kernel, spatial);
  const [batch = null] = image;
  const algorithm = chooseDepthwiseAlgorithm(window, spatial, typeof batch === "number" ? batch : null);
  if (algorithm === null) return null;
  return (f) => [
    DEPTHWISE_ALGORITHMS[algorithm](f, {
      ...{ window, channels, spatial },
      ...{ x: call.input(0), weight: call.input(1), bias: call.optional(2) },
    }),
  ];
}
