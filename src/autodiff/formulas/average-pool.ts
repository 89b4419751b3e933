import { attribute } from "../../graph/attribute.ts";
import { DataType } from "../../graph/data-type.ts";
import type { Value } from "../../graph/graph.ts";
import type { Formula } from "../../ops/formula.ts";
import type { NodeView } from "../../ops/node-view.ts";
import { placesOf, reach, type Window } from "./window.ts";

/** What an average pool divides by, and what it pools. */
export interface Averaged {
  readonly dY: Value;
  /** The image's whole shape. */
  readonly shape: Value;
  /** What of a window counts: what lies in the image, what lies in the padded image (a last window may reach beyond), or all of it. */
  readonly counts: "image" | "padded" | "window";
}

/** What counts in the windows of an average pool. */
export function countsOf(node: Pick<NodeView, "int">): Averaged["counts"] {
  if (node.int("count_include_pad") !== 1) return "image";
  return node.int("ceil_mode") === 1 ? "padded" : "window";
}

/** The gradient of an average pool's image: each dY, divided by its window's number of elements, is spread over its window. */
export function averagePoolGrad(f: Formula, window: Window, { dY, shape, counts }: Averaged): Value {
  const int = f.typed(DataType.int64);
  const rank = window.kernel.length;
  const ones = f.expand(f.number(1), int.ints([1, 1, ...window.kernel]));
  const image = int.slice(shape, [2], [rank + 2], [0]);
  const outputs = int.shape(dY, 2);
  const reaches = reach(window);
  const full = int.add(int.mul(int.sub(outputs, 1), int.ints(window.strides)), int.ints(reaches));
  const attributes = [
    attribute.ints("kernel_shape", window.kernel),
    attribute.ints("strides", window.strides),
    attribute.ints("dilations", window.dilations),
  ];
  const counted = (): Value => {
    const pads = window.begin.map((each, axis) => each + (window.end[axis] ?? 0));
    const [size, begin] =
      counts === "image" ? [image, window.begin] : [int.add(image, int.ints(pads)), pads.map(() => 0)];
    const inside = f.expand(f.number(1), int.vector(1, 1, size));
    const behind = int.sub(int.sub(full, size), int.ints(begin));
    const zeros = int.ints([0, 0]);
    const padded = f.emit("Pad", [inside, int.vector(zeros, int.ints(begin), zeros, behind)]);
    return f.emit("Conv", [padded, ones], { attributes });
  };
  const all = placesOf(window.kernel);
  const share = f.div(dY, counts === "window" ? all : counted());
  const planes = f.reshape(share, int.vector(-1, 1, outputs));
  const made = f.emit("ConvTranspose", [planes, ones], { attributes });
  const behind = int.sub(int.add(image, int.ints(window.begin)), full);
  const front = window.begin.map((each) => -each);
  const trimmed = f.emit("Pad", [made, int.vector(int.ints([0, 0, ...front, 0, 0]), behind)]);
  return f.reshape(trimmed, shape);
}
