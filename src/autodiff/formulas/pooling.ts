import { attribute } from "../../graph/attribute.ts";
import { DataType } from "../../graph/data-type.ts";
import type { Value } from "../../graph/graph.ts";
import type { Formula } from "../../ops/formula.ts";
import { areAll, SizeMath, type Sizes } from "../../ops/sizes.ts";
import { axesFrom } from "../../ops/value-types.ts";
import { placeKernels } from "./place-kernels.ts";
import { placesOf, positions, reach, type Window } from "./window.ts";

/** Below every float32 that is not minus infinity, and not infinite itself: what pads compare with. */
const LOWEST = -3.4028234663852886e38;

/** A pool with its result and the result's gradient. */
export interface Pooled {
  readonly x: Value;
  readonly y: Value;
  readonly dY: Value;
  /** The error for a window that is too large. */
  readonly refuse: (reason: string) => Error;
}

/**
 * The gradient of a max pool's image: each dY goes to the first place of its window where the maximum is, found by
 * comparing, since not every execution provider gives indices. Window by window this is what ONNX Runtime's indices say.
 */
export function maxPoolGrad(f: Formula, window: Window, pooled: Pooled): Value {
  const { kernel, strides } = window;
  const overlaps = reach(window).some((size, axis) => size > (strides[axis] ?? 1));
  const count = placesOf(kernel);
  if (overlaps && count <= MOST_PATCHES) return byPatches(f, window, pooled);
  const isTiling = kernel.every((size, axis) => size === strides[axis]) && areAll(window.dilations, 1);
  if (isTiling && count <= MOST_PARTS) return byParts(f, window, pooled);
  if (Math.max(count, placesOf(strides)) <= MOST_PHASES) return byPhases(f, window, pooled);
  throw pooled.refuse(
    `its window [${kernel.join(",")}] or its stride [${strides.join(",")}] has more than ${MOST_PHASES} places`,
  );
}

/** Windows that overlap in larger kernels than this are gone through place by place. */
const MOST_PATCHES = 49;
/** Windows that tile the image are taken apart into no more parts than this. */
const MOST_PARTS = 64;
/** Some nodes are written for each place of a window and of a stride: no more than these. */
const MOST_PHASES = 4096;

/**
 * Windows that overlap: a convolution lays the places of each window side by side, the first that holds the maximum is
 * chosen, and the transposed convolution adds up what each place got.
 */
function byPatches(f: Formula, window: Window, { x, y, dY }: Pooled): Value {
  const { kernel, strides, dilations, begin } = window;
  const sizes = new SizeMath(f);
  const count = placesOf(kernel);
  const places = placeKernels(f, kernel);
  const attributes = [
    attribute.ints("kernel_shape", kernel),
    attribute.ints("strides", strides),
    attribute.ints("dilations", dilations),
  ];
  const [image, outputs] = [sizes.of(x, 2), sizes.of(y, 2)];
  const covered = sizes.add(
    sizes.mul(
      sizes.sub(
        outputs,
        kernel.map(() => 1),
      ),
      strides,
    ),
    reach(window),
  );
  const behind = sizes.sub(sizes.sub(covered, image), begin);
  const plane = (value: Value, size: Sizes): Value => f.reshape(value, sizes.concat([-1, 1], size));
  const patches = (value: Value): Value =>
    f.emit("Conv", [pad(f, plane(value, image), begin, behind, 0), places], { attributes });
  const isLargest = f.equal(patches(x), plane(y, outputs));
  const isPadded = !areAll(begin, 0) || !areAll(behind, 0);
  /** Pads are zeros here, and no place of the image. */
  const inside = (): Value => {
    const ones = f.expand(f.number(1), sizes.value(sizes.concat([1, 1], image)));
    return f.greater(patches(ones), 0);
  };
  const hits = isPadded ? f.and(isLargest, inside()) : isLargest;
  const first = f.emit("ArgMax", [f.cast(hits, f.dtype)], { attributes: [attribute.int("axis", 1)] });
  const all = f.reshape(f.ints(axesFrom(0, count)), [1, count, ...kernel.map(() => 1)]);
  const routed = masked(f, f.equal(first, all), plane(dY, outputs));
  const spread = f.emit("ConvTranspose", [routed, places], { attributes });
  return f.reshape(cut(f, spread, begin, image), sizes.target(x));
}

/**
 * Windows that lie side by side: the image is split by the places along its last axis, these along the axis before, and so on. So each
 * part has one place of all windows, and what is left of dY goes to the first that is largest.
 */
function byParts(f: Formula, { kernel, strides, begin }: Window, { x, y, dY }: Pooled): Value {
  const sizes = new SizeMath(f);
  const rank = kernel.length;
  const [image, outputs] = [sizes.of(x, 2), sizes.of(y, 2)];
  const covered = sizes.mul(outputs, strides);
  const outermost = kernel.findIndex((size) => size > 1);
  if (outermost < 0) return dY;
  const shaped = (value: Value, ...spatial: readonly Sizes[]): Value =>
    f.reshape(value, sizes.value(sizes.concat([0, 0], ...spatial)));
  /** The spatial axes where those behind `axis` are split, and there is one more of this size behind it. */
  const splitAt = (axis: number, size: number): readonly Sizes[] => [
    sizes.slice(covered, 0, axis),
    sizes.slice(outputs, axis, axis + 1),
    [size],
    sizes.slice(outputs, axis + 1, rank),
  ];
  const parts = new Map<string, Value>();
  const split = (value: Value, axis: number, place: readonly number[]): void => {
    const size = kernel[axis];
    if (size === undefined) parts.set(place.join(), value);
    else if (size === 1) split(value, axis - 1, [0, ...place]);
    else {
      const ones = f.ints(axesFrom(0, size).map(() => 1));
      const apart = f.build.emitAll("Split", [shaped(value, ...splitAt(axis, size)), ones], size, {
        attributes: [attribute.int("axis", axis + 3)],
      });
      for (const [at, part] of apart.entries()) split(part, axis - 1, [at, ...place]);
    }
  };
  const join = (axis: number, place: readonly number[]): Value => {
    const size = kernel[axis];
    if (size === undefined) return parts.get(place.join()) ?? dY;
    if (size === 1) return join(axis - 1, [0, ...place]);
    const joined = axesFrom(0, size).map((at) => join(axis - 1, [at, ...place]));
    const alike = axis === outermost ? joined : joined.map((part) => shaped(part, ...splitAt(axis, 1)));
    return f.concat(alike, axis + 3);
  };
  split(pad(f, x, begin, sizes.sub(sizes.sub(covered, image), begin), LOWEST), rank - 1, []);
  const [largest, gradient] = [y, dY].map((value) => shaped(value, ...splitAt(outermost, 1)));
  if (largest !== undefined && gradient !== undefined) route(f, parts, positions(kernel), largest, gradient);
  return cut(f, shaped(join(rank - 1, []), covered), begin, image);
}

/** `value` where the condition holds, else zero. `Where` with a number goes element by element where the last axis has one element. */
const masked = (f: Formula, condition: Value, value: Value): Value => f.mul(f.cast(condition, f.dtype), value);

/** Puts what each part gets of the gradient in its place: what is left where it is the largest, and all that is left at last. */
function route(
  f: Formula,
  parts: Map<string, Value>,
  places: readonly (readonly number[])[],
  largest: Value,
  gradient: Value,
): void {
  let rest = gradient;
  for (const [index, place] of places.entries()) {
    const part = parts.get(place.join());
    const own = part === undefined || index === places.length - 1 ? rest : masked(f, f.equal(part, largest), rest);
    if (own !== rest) rest = f.sub(rest, own);
    parts.set(place.join(), own);
  }
}

/** Windows with gaps between, or large ones: place by place. */
function byPhases(f: Formula, window: Window, { x, y, dY }: Pooled): Value {
  const { kernel, strides, dilations, begin } = window;
  const sizes = new SizeMath(f);
  const axes = axesFrom(2, kernel.length + 2);
  const [image, outputs] = [sizes.of(x, 2), sizes.of(y, 2)];
  const covered = sizes.mul(outputs, strides);
  /** As far as the last window reaches; slices end there where their last stride would go further. */
  const whole = sizes.add(sizes.sub(covered, strides), reach(window));
  const padded = pad(f, x, begin, sizes.sub(sizes.sub(whole, image), begin), LOWEST);
  const phases = new Phases(f, strides, reach(window));
  let open: Value | null = null;
  for (const position of positions(kernel)) {
    const starts = position.map((at, axis) => at * (dilations[axis] ?? 1));
    const step = areAll(strides, 1) ? null : strides;
    const isLargest = f.equal(f.slice(padded, starts, sizes.add(covered, starts), axes, step), y);
    const isFirst: Value = open === null ? isLargest : f.and(open, isLargest);
    const left = f.not(isLargest);
    open = open === null ? left : f.and(open, left);
    phases.add(masked(f, isFirst, dY), starts);
  }
  return cut(f, phases.join(), begin, image);
}

function pad(f: Formula, value: Value, begin: readonly number[], end: Sizes, filling: number): Value {
  if (areAll(begin, 0) && areAll(end, 0)) return value;
  const sizes = new SizeMath(f);
  const pads = sizes.value(sizes.concat([0, 0], begin, [0, 0], end));
  return f.emit("Pad", filling === 0 ? [value, pads] : [value, pads, filling]);
}

/** The part of `value` that begins at `begin` and is as large as the image; zeros where `value` ends before. */
function cut(f: Formula, value: Value, begin: readonly number[], image: Sizes): Value {
  const sizes = new SizeMath(f);
  const behind = sizes.sub(sizes.add(image, begin), sizes.of(value, 2));
  return pad(
    f,
    value,
    begin.map((each) => -each),
    behind,
    0,
  );
}

/**
 * Adds up tensors [N, C, o...] whose elements lie `strides` apart, each from its own start on. Those that begin at the same
 * place within a stride are added without the gaps between, and the phases are put together at the end: that is much less
 * work than filling each with zeros first.
 */
class Phases {
  readonly #f: Formula;
  readonly #strides: readonly number[];
  readonly #shifts: readonly number[];
  readonly #sums = new Map<string, Value>();

  /** @param reaches one more than the largest start, per axis */
  constructor(f: Formula, strides: readonly number[], reaches: readonly number[]) {
    this.#f = f;
    this.#strides = strides;
    this.#shifts = reaches.map((size, axis) => Math.floor((size - 1) / (strides[axis] ?? 1)));
  }

  add(part: Value, starts: readonly number[]): void {
    const shift = starts.map((start, axis) => Math.floor(start / (this.#strides[axis] ?? 1)));
    const key = starts.map((start, axis) => start % (this.#strides[axis] ?? 1)).join();
    const rest = shift.map((each, axis) => (this.#shifts[axis] ?? 0) - each);
    const placed = pad(this.#f, part, shift, rest, 0);
    const sum = this.#sums.get(key);
    this.#sums.set(key, sum === undefined ? placed : this.#f.add(sum, placed));
  }

  join(): Value {
    return this.#joined(0, []);
  }

  /** All phases that agree on the first axes, with the axes from there on put together. */
  #joined(axis: number, phase: readonly number[]): Value {
    const stride = this.#strides[axis];
    if (stride === undefined) return this.#sums.get(phase.join()) ?? this.#nothing();
    const parts = axesFrom(0, stride).map((offset) => this.#joined(axis + 1, [...phase, offset]));
    const [only] = parts;
    if (only !== undefined && parts.length === 1) return only;
    const f = this.#f;
    const at = axis + 3;
    const stacked = f.concat(
      parts.map((part) => f.unsqueeze(part, [at])),
      at,
    );
    const rank = this.#strides.length + 2;
    if (at === rank) return f.reshape(stacked, [...axesFrom(0, rank - 1).map(() => 0), -1]);
    const sizes = new SizeMath(f);
    const front = axesFrom(0, axis + 2).map(() => 0);
    return f.reshape(stacked, sizes.value(sizes.concat(front, [-1], f.typed(DataType.int64).shape(stacked, at + 1))));
  }

  /** A place within the stride that no window covers. */
  #nothing(): Value {
    const [any] = this.#sums.values();
    if (any === undefined) throw new RangeError("there is nothing to put together");
    return this.#f.mul(any, 0);
  }
}
