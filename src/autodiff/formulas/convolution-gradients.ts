import type { Value } from "../../graph/graph.ts";
import type { Formula } from "../../ops/formula.ts";
import { SizeMath } from "../../ops/sizes.ts";
import { axesFrom, dimsOf, known } from "../../ops/value-types.ts";
import { biasGrad, imageGrad } from "./convolution.ts";
import { weightGrad } from "./weight-gradients.ts";
import { type Windowed, windowAttributes, windowOf } from "./window.ts";

/** A convolution, or the operator of its gradient: the node has the attributes. */
export interface Convolved {
  readonly node: Windowed;
  /** Whether the gradient of the image (0), the weight (1) or the bias (2) is wanted. */
  readonly wants: (index: number) => boolean;
  readonly x: Value;
  readonly weight: Value;
  readonly dY: Value;
}

/** Gradients of image, weight and bias; null where they are not wanted. */
export type ConvolutionGradients = readonly [image: Value | null, weight: Value | null, bias: Value | null];

export function convGradients(f: Formula, call: Convolved): ConvolutionGradients {
  const { node, x, weight, dY, wants } = call;
  const dims = weightDims(call);
  const group = node.int("group");
  const image = dimsOf(x)?.slice(2) ?? null;
  const window = windowOf(node, dims.slice(2), image);
  const spatial = known(image);
  const [outputs = 0, perGroup = 0] = dims;
  const correlation = {
    window,
    group,
    image: x,
    gradient: dY,
    channels: perGroup * group,
    outputs,
    batch: dimsOf(x)?.[0] ?? null,
  };
  return [
    wants(0) ? imageGrad(f, { dY, x, weight, dims, window, group, spatial }) : null,
    wants(1) ? weightGrad(f, correlation) : null,
    wants(2) ? biasGrad(f, dY, dims.length) : null,
  ];
}

/** The image and the result change places: dX is a convolution of dY, dW correlates dY as the image with X. */
export function convTransposeGradients(f: Formula, call: Convolved): ConvolutionGradients {
  const { node, x, weight, dY, wants } = call;
  const dims = weightDims(call);
  const group = node.int("group");
  if (!["NOTSET", "VALID"].includes(node.string("auto_pad")) || node.gives("output_shape")) {
    throw node.refuse("its pads depend on the size of its output (auto_pad or output_shape)");
  }
  const window = windowOf(node, dims.slice(2), null);
  const [outputs = 0, perGroup = 0] = dims;
  const spatial = axesFrom(2, dims.length);
  const correlation = {
    window,
    group,
    image: dY,
    gradient: x,
    channels: perGroup * group,
    outputs,
    batch: dimsOf(x)?.[0] ?? null,
    hasMore: true,
  };
  const image = (): Value => {
    const sizes = new SizeMath(f);
    const made = f.emit("Conv", [dY, weight], { attributes: windowAttributes(window, group) });
    const start = spatial.map(() => 0);
    return f.slice(made, start, sizes.value(sizes.of(x, 2)), spatial);
  };
  return [
    wants(0) ? image() : null,
    wants(1) ? weightGrad(f, correlation) : null,
    wants(2) ? biasGrad(f, dY, dims.length) : null,
  ];
}

function weightDims({ weight, node }: Convolved): readonly number[] {
  const dims = known(dimsOf(weight));
  if (dims === null) throw node.refuse(`the shape of its weight "${weight.name}" is not known`);
  return dims;
}
