import { placesOf } from "../../autodiff/formulas/window.ts";
import { type Attribute, attribute } from "../../graph/attribute.ts";
import type { Node, Value } from "../../graph/graph.ts";
import type { Formula } from "../../ops/formula.ts";
import { axesFrom } from "../../ops/value-types.ts";
import type { Blockable } from "./block-convolutions.ts";
import { LANES, roundedUp } from "./costs.ts";

/** ONNX Runtime's operators over tensors in blocks of channels: [N, C / block, H, W, block], whose shape is called [N, C, H, W]. */
export const BLOCKED_DOMAIN = "com.microsoft.nchwc";

/** Emits convolutions in blocks of channels, with what changes places before and after. */
export class Blocks {
  readonly #f: Formula;
  /** Channels of a block. */
  readonly size: number;
  readonly #images: Map<Value, Value>;

  /** @param images those in blocks, by what they were: several convolutions may read one */
  constructor(f: Formula, block: number, images: Map<Value, Value>) {
    this.#f = f;
    this.size = block;
    this.#images = images;
  }

  /** What a Conv gives, [N, O, H, W]. */
  convolve({ inputs: [x, w, bias], attributes }: Node, { form, kernels }: Blockable): Value {
    if (!x || !w) throw new RangeError("a Conv has an image and kernels");
    const [outputs = 0, perGroup = 0, ...window] = kernels;
    const block = this.size;
    const made = roundedUp(outputs, block);
    const inputs = form === "dense" ? roundedUp(perGroup, block) : perGroup;
    const image = form === "few-channels" ? x : this.image(x);
    const laid = this.#lay(
      this.padded(w, [roundedUp(outputs, LANES) - outputs, inputs - perGroup, 0, 0]),
      inputs,
      window,
    );
    const weight = this.#f.reshape(form === "dense" ? this.#inBlocks(laid, made, inputs, window) : laid, [
      made,
      inputs,
      ...window,
    ]);
    const operands = bias ? [image, weight, this.padded(bias, [made - outputs])] : [image, weight];
    const grouped = form === "depthwise" ? [attribute.int("group", made)] : [];
    const kept = [...attributes.values()].filter(({ name }) => grouped.length === 0 || name !== "group");
    const y = this.emit("Conv", operands, [...kept, ...grouped]);
    return this.unblocked(y, outputs);
  }

  /** [N, channels, H, W] of a tensor in blocks. */
  unblocked(y: Value, channels: number): Value {
    return this.emit("ReorderOutput", [y], [attribute.int("channels", channels)]);
  }

  /** A tensor in blocks of channels; one that was asked for before is the same. */
  image(x: Value): Value {
    const image = this.#images.get(x) ?? this.emit("ReorderInput", [x], []);
    this.#images.set(x, image);
    return image;
  }

  /** Kernels with their outputs in blocks: [1, outputs, inputs, places], as of an image. */
  #lay(w: Value, inputs: number, window: readonly number[]): Value {
    return this.emit("ReorderInput", [this.#f.reshape(w, [1, -1, inputs, placesOf(window)])], []);
  }

  /** [outputs / block, inputs, places, block] with the inputs in blocks, too: [outputs / block, inputs / block, places, block, block]. */
  #inBlocks(laid: Value, made: number, inputs: number, window: readonly number[]): Value {
    const block = this.size;
    const apart = this.#f.reshape(laid, [made / block, inputs / block, block, placesOf(window), block]);
    return this.#f.transpose(apart, [0, 1, 3, 2, 4]);
  }

  /** With zeros behind the end of axes. */
  padded(value: Value, by: readonly number[]): Value {
    if (by.every((count) => count === 0)) return value;
    return this.#f.emit("Pad", [value, this.#f.ints([...axesFrom(0, by.length).map(() => 0), ...by])]);
  }

  emit(op: string, inputs: readonly (Value | null)[], attributes: readonly Attribute[]): Value {
    return this.#f.build.call({ domain: BLOCKED_DOMAIN, name: op }, inputs, { attributes });
  }
}
