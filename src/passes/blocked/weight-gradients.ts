import { unknownAttribute } from "../../autodiff/attributes.ts";
import { attribute } from "../../graph/attribute.ts";
import { DataType } from "../../graph/data-type.ts";
import type { Value } from "../../graph/graph.ts";
import { Tensor } from "../../graph/tensor.ts";
import { elementTypeOf } from "../../ops/element-type.ts";
import { type Formula, transposedFrom } from "../../ops/formula.ts";
import { dimsOf, known } from "../../ops/value-types.ts";
import type { Call } from "../lower-training-ops/lowering.ts";
import type { Blocks } from "./blocks.ts";
import { LANES, roundedUp } from "./costs.ts";

/**
 * The `Conv` of a weight gradient: its image is the samples' planes [1, N, H, W C] with the channels beside each other in the last axis, its kernels
 * are a gradient [N, M, ...kernel] with samples and channels changed about, and it gives [1, M, rows, columns].
 */
export interface WeightGradient {
  readonly gradient: Value;
  readonly samples: number;
  readonly outputs: number;
  readonly kernel: readonly [height: number, width: number];
  /** What the Conv reads, and the planes [N, C, H, W] that it was laid out from where they are found and C fills blocks. */
  readonly mixed: Value;
  readonly planes: Value | null;
  /** Parts of the channels that are in blocks; 1 where `planes` is null. */
  readonly parts: number;
  readonly height: number;
  /** Numbers of a row of `mixed`. */
  readonly width: number;
  readonly results: readonly [rows: number, columns: number];
  /** Between rows of results, and between the pixels that a kernel meets. */
  readonly stride: number;
  readonly dilations: readonly [height: number, width: number];
  readonly pads: Readonly<Record<"above" | "below" | "left" | "right", number>>;
}

/** @param block channels of a block. @returns null for what is no such Conv, or none that ONNX Runtime takes in blocks */
export function weightGradientOf(call: Call, block: number): WeightGradient | null {
  const [mixed, turned] = [call.input(0), call.input(1)];
  const [gradient, axes] = transposedFrom(turned) ?? [null, []];
  if (gradient === null || axes.join() !== "1,0,2,3" || elementTypeOf(mixed) !== DataType.float) return null;
  if (unknownAttribute(call.node) !== null || call.int("group") !== 1 || call.optional(2) !== null) return null;
  if (call.string("auto_pad") !== "NOTSET") return null;
  const [image, kernels] = [known(dimsOf(mixed)), known(dimsOf(turned))];
  const results = known((call.node.outputs[0] && dimsOf(call.node.outputs[0])) ?? null);
  if (image?.length !== 4 || kernels?.length !== 4 || results?.length !== 4) return null;
  const [one = 0, samples = 0, height = 0, width = 0] = image;
  const [outputs = 0, perSample = 0, ...kernel] = kernels;
  const [stride = 1, columnStride = 1] = call.ints("strides") ?? [];
  if (one !== 1 || samples !== perSample || columnStride !== 1 || [...kernels, ...results].includes(0)) return null;
  if (outputs % LANES !== 0 || (samples >= block && samples % block !== 0)) return null;
  const [above = 0, left = 0, below = 0, right = 0] = call.ints("pads") ?? [];
  const [down = 1, across = 1] = call.ints("dilations") ?? [];
  const [rows = 0, columns = 0] = results.slice(2);
  const planes = planesOf(mixed, { samples, height, width });
  const channels = planes === null ? 0 : (dimsOf(planes)?.[1] ?? 0);
  const fills = [channels, width, left, right, across, columns].every((size) => size % channels === 0);
  const isInBlocks = channels > 0 && channels % block === 0 && fills;
  return {
    ...{ gradient, samples, outputs, mixed, height, width, stride },
    kernel: [kernel[0] ?? 0, kernel[1] ?? 0],
    planes: isInBlocks ? planes : null,
    parts: isInBlocks ? channels / block : 1,
    results: [rows, columns],
    dilations: [down, across],
    pads: { above, below, left, right },
  };
}

/** The planes [N, C, H, W] that were laid out as [1, N, H, W C]; null where that is not how it was made. */
function planesOf(
  { producer }: Value,
  { samples, height, width }: Pick<WeightGradient, "samples" | "height" | "width">,
): Value | null {
  const [flat, axes] = (isReshape(producer) && producer?.inputs[0] && transposedFrom(producer.inputs[0])) || [null, []];
  const planes = isReshape(flat?.producer ?? null) ? (flat?.producer?.inputs[0] ?? null) : null;
  if (flat === null || planes === null || axes.join() !== "0,2,1") return null;
  const [from, dims] = [known(dimsOf(flat)), known(dimsOf(planes))];
  const [batch, channels = 0, rows, columns = 0] = dims ?? [];
  const isWhole = dims?.length === 4 && batch === samples && rows === height && columns * channels === width;
  return isWhole && from?.join() === [samples, channels, height * columns].join() ? planes : null;
}

const isReshape = (node: Value["producer"]): boolean => node?.domain === "" && node.opType === "Reshape";

/**
 * A weight gradient in blocks, [1, M, rows, columns]. Each sample is a group of one channel, and its gradient in blocks is the group's kernels as it
 * lies. What the groups give is added up. Channels that are in blocks stay so: those of a block lie beside each other, and the blocks are
 * the images of the convolution.
 */
export function weightGradientInBlocks(f: Formula, blocks: Blocks, block: number, found: WeightGradient): Value {
  const { gradient, samples, outputs, kernel, parts, results, stride, dilations, pads, height, width } = found;
  const { left, right } = pads;
  const made = roundedUp(outputs, block);
  const kernels = f.reshape(blocks.image(gradient), [samples * made, 1, ...kernel]);
  const wide = (left + width + right) / parts;
  const image = f.reshape(widened(f, blocks, block, found), [parts, samples, height, wide]);
  const attributes = [
    attribute.int("group", samples),
    attribute.ints("strides", [stride, 1]),
    attribute.ints("dilations", [dilations[0], dilations[1] / parts]),
    attribute.ints("pads", [pads.above, 0, pads.below, 0]),
  ];
  const perSample = blocks.emit("Conv", [image, kernels], attributes);
  const sum = samples === 1 ? perSample : f.sum(f.reshape(perSample, [parts, samples, -1]), [1], false);
  const [rows, columns] = results;
  const inBlocks = f.reshape(sum, [parts, made, rows, columns / parts]);
  const y = blocks.emit("ReorderOutput", [inBlocks], [attribute.int("channels", outputs)]);
  if (parts === 1) return y;
  const apart = f.transpose(f.reshape(y, [parts, outputs, -1, block]), [1, 2, 0, 3]);
  return f.reshape(apart, [1, outputs, rows, columns]);
}

/** The image with its pads to the left and right, which ONNX Runtime takes number by number: [parts, N, H, ...]. */
function widened(f: Formula, blocks: Blocks, block: number, found: WeightGradient): Value {
  const { mixed, planes, parts, samples, pads, height, width } = found;
  const { left, right } = pads;
  const isWide = left + right > 0;
  if (planes === null) return isWide ? f.emit("Pad", [mixed, f.ints([0, 0, 0, left, 0, 0, 0, right])]) : mixed;
  const channels = parts * block;
  const inBlocks = blocks.image(planes);
  const wide = isWide
    ? padded(f, blocks, inBlocks, { channels, pads: [0, left / channels, 0, right / channels] })
    : inBlocks;
  const perPart = (height * (left + width + right)) / parts;
  return f.transpose(f.reshape(wide, [samples, parts, perPart]), [1, 0, 2]);
}

/** Pads an image in blocks by a convolution with kernels of a single one: in contrast to `Pad`, all threads take part. */
function padded(
  f: Formula,
  blocks: Blocks,
  image: Value,
  { channels, pads }: { readonly channels: number; readonly pads: readonly number[] },
): Value {
  const ones = f.build.constant(
    Tensor.floats(
      [channels, 1, 1, 1],
      Array.from({ length: channels }, () => 1),
    ),
    "ones",
  );
  return blocks.emit("Conv", [image, ones], [attribute.int("group", channels), attribute.ints("pads", pads)]);
}
