import { DataType } from "../../graph/data-type.ts";
import type { Value } from "../../graph/graph.ts";
import type { Formula } from "../../ops/formula.ts";

/** Where the windows of an image lie: one number per spatial axis; sizes are int64 vectors, since they may be unknown until the graph runs. */
export interface Places {
  /** Sizes of the image, with its pads. */
  readonly image: Value;
  readonly kernel: Value;
  /** How many windows there are along each axis. */
  readonly windows: Value;
  readonly strides: readonly number[];
  readonly dilations: readonly number[];
}

/** How far a kernel reaches: d (k - 1) + 1. */
export function reachOf(f: Formula, kernel: Value, dilations: readonly number[]): Value {
  const int = f.typed(DataType.int64);
  return int.add(int.mul(int.sub(kernel, 1), int.ints(dilations)), 1);
}

/** How many windows an image has along each axis. */
export function windowsOf(f: Formula, { image, kernel, strides, dilations }: Omit<Places, "windows">): Value {
  const int = f.typed(DataType.int64);
  return int.add(int.div(int.sub(image, reachOf(f, kernel, dilations)), int.ints(strides)), 1);
}

/** The place in the flat image of each place of the kernel in each window, [places of the kernel x windows]. */
export function flatPlaces(f: Formula, { image, kernel, windows, strides, dilations }: Places): Value {
  const int = f.typed(DataType.int64);
  const rank = strides.length;
  const spread = (list: Value, axis: number): Value =>
    int.reshape(
      list,
      Array.from({ length: 2 * rank }, (_, at) => (at === axis ? -1 : 1)),
    );
  const at = (sizes: Value, axis: number): Value => int.reshape(int.slice(sizes, [axis], [axis + 1], [0]), []);
  const along = strides.map((stride, axis) =>
    int.add(
      spread(int.mul(int.range(at(kernel, axis)), dilations[axis] ?? 1), axis),
      spread(int.mul(int.range(at(windows, axis)), stride), rank + axis),
    ),
  );
  return int.flat(along.reduce((all, each, axis) => int.add(int.mul(all, at(image, axis)), each)));
}

/** Pads the spatial axes of [N, C, ...]; negative pads cut. */
export function padded(f: Formula, x: Value, begin: readonly number[], end: readonly number[]): Value {
  if ([...begin, ...end].every((pad) => pad === 0)) return x;
  return f.emit("Pad", [x, f.ints([0, 0, ...begin, 0, 0, ...end])]);
}

/** The windows of an image [N, C, ...] side by side, [N, C, places of the kernel, windows]. */
export function patches(
  f: Formula,
  x: Value,
  places: Omit<Places, "image" | "windows">,
): { patches: Value; windows: Value } {
  const int = f.typed(DataType.int64);
  const image = int.shape(x, 2);
  const windows = windowsOf(f, { ...places, image });
  const flat = f.reshape(x, [0, 0, -1]);
  const gathered = f.gather(flat, flatPlaces(f, { ...places, image, windows }), 2);
  const count = int.reduce("ReduceProd", windows, [0]);
  return { patches: f.reshape(gathered, int.vector(0, 0, -1, count)), windows };
}
