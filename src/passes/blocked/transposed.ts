import { unknownAttribute } from "../../autodiff/attributes.ts";
import { placesOf } from "../../autodiff/formulas/window.ts";
import { DataType } from "../../graph/data-type.ts";
import { Node, type Value } from "../../graph/graph.ts";
import type { Dimension } from "../../graph/value-type.ts";
import { elementTypeOf } from "../../ops/element-type.ts";
import { axesFrom, dimsOf, known, shapeOf } from "../../ops/value-types.ts";
import { Call } from "../lower-training-ops/lowering.ts";
import { LANES } from "./costs.ts";
import { type Phase, type Phases, phasesOf } from "./phases.ts";

/** A ConvTranspose that convolutions of stride 1 can take in blocks of channels. */
export interface Transposed {
  readonly image: Value;
  readonly weight: Value;
  readonly bias: Value | null;
  /** Of the result, [N, O, H, W]. */
  readonly shape: readonly Dimension[];
  /** Channels of the image, and of the result. */
  readonly channels: number;
  readonly outputs: number;
  readonly kernel: readonly number[];
  readonly strides: readonly number[];
  /** Sizes of the image, and of the result. */
  readonly pixels: readonly number[];
  readonly results: readonly number[];
  readonly axes: readonly Phases[];
}

/** Transpositions whose results are added up; all have the same strides and results, and each result has a place of a kernel. */
export type TransposedSum = readonly [Transposed, ...Transposed[]];

/** More phases are many small convolutions. */
const MOST_PHASES = 16;

/** What a ConvTranspose, or the sum of two that nobody else reads, can be taken as; null for other nodes. */
export function transposedSum(node: Node, block: number): TransposedSum | null {
  const [first, ...others] = termsOf(node).map((term) => transposable(term, block));
  if (first == null || others.some((term) => term === null)) return null;
  const sum: TransposedSum = [first, ...others.flatMap((term) => term ?? [])];
  const isAlike = sum.every(
    ({ strides, shape, bias }) =>
      others.length === 0 || (bias === null && strides.join() === first.strides.join() && isSame(shape, first.shape)),
  );
  return isAlike && isMet(sum) ? sum : null;
}

/** Whether nothing is stretched where the two are added. */
const isSame = (a: readonly Dimension[], b: readonly Dimension[]): boolean =>
  a.every((size, axis) => size !== null && size === b[axis]);

/** Whether each result has a place of a kernel. */
function isMet(sum: TransposedSum): boolean {
  const [down = 1, across = 1] = sum[0].strides;
  return axesFrom(0, down).every((row) =>
    axesFrom(0, across).every((column) => sum.some((term) => phaseAt(term, row, column) !== null)),
  );
}

function termsOf(node: Node): readonly Node[] {
  if (node.domain !== "") return [];
  if (node.opType === "ConvTranspose") return [node];
  if (node.opType !== "Add") return [];
  const terms = node.inputs.flatMap((value) => {
    const producer = value?.producer;
    const isOwn = producer?.domain === "" && producer.opType === "ConvTranspose" && value?.uses.length === 1;
    return isOwn ? [producer] : [];
  });
  return terms.length === 2 ? terms : [];
}

/** The Add that alone reads what a ConvTranspose gives; null where it has other readers. */
export function adderOf({ opType, outputs: [result] }: Node): Node | null {
  const [use, ...others] = result?.uses ?? [];
  const isAdded = opType === "ConvTranspose" && others.length === 0 && use?.user instanceof Node;
  return isAdded && use.user.domain === "" && use.user.opType === "Add" ? use.user : null;
}

function transposable(node: Node, block: number): Transposed | null {
  if (unknownAttribute(node) !== null) return null;
  const call = new Call(node);
  const [image, weight] = [call.input(0), call.input(1)];
  const [dims, kernels] = [dimsOf(image), known(dimsOf(weight))];
  const shape = (node.outputs[0] && shapeOf(node.outputs[0])) ?? [];
  const [, made, ...results] = shape.map((size) => (typeof size === "number" ? size : 0));
  if (dims?.length !== 4 || kernels?.length !== 4 || results.length !== 2) return null;
  if (elementTypeOf(image) !== DataType.float || call.int("group") !== 1) return null;
  if (call.string("auto_pad") !== "NOTSET" || call.gives("output_shape")) return null;
  const [, channels = null, ...plane] = dims;
  const [own = 0, outputs = 0, ...kernel] = kernels;
  const pixels = known(plane);
  if (pixels === null || channels !== own || made !== outputs || channels < block || channels % LANES !== 0)
    return null;
  if ([...kernels, ...pixels, ...results].some((size) => size < 1)) return null;
  const [strides, dilations, pads] = [
    call.ints("strides") ?? [1, 1],
    call.ints("dilations") ?? [1, 1],
    call.ints("pads") ?? [0, 0, 0, 0],
  ];
  if (placesOf(strides) === 1 || placesOf(strides) > MOST_PHASES) return null;
  const axes = kernel.flatMap((size, axis) => {
    const [stride = 1, dilation = 1, begin = 0] = [strides[axis], dilations[axis], pads[axis]];
    const [from = 0, to = 0] = [pixels[axis], results[axis]];
    return phasesOf({ kernel: size, stride, dilation, begin, image: from, results: to }) ?? [];
  });
  if (axes.length < 2) return null;
  const bias = call.optional(2);
  return { image, weight, bias, shape, channels, outputs, kernel, strides, pixels, results, axes };
}

/** The phases of both axes that are wanted; null where no place of the kernel meets these results. */
export function phaseAt({ axes: [rows, columns] }: Transposed, row: number, column: number): readonly Phase[] | null {
  const [down, across] = [rows?.all[row], columns?.all[column]];
  return down && across ? [down, across] : null;
}
