import { DataType } from "../graph/data-type.ts";
import { Value } from "../graph/graph.ts";
import type { Formula } from "./formula.ts";

/** Sizes or positions, one per axis: numbers where they are known when the graph is written, else an int64 vector. */
export type Sizes = readonly number[] | Value;

const isKnown = (sizes: Sizes): sizes is readonly number[] => !(sizes instanceof Value);

/** Arithmetic on sizes that is done when the graph is written where it can be, and in the graph where it cannot. */
export class SizeMath {
  readonly #int: Formula;

  constructor(f: Formula) {
    this.#int = f.typed(DataType.int64);
  }

  /** The sizes of a tensor's axes from `start` to before `end`. */
  of(value: Value, start = 0, end?: number): Sizes {
    const dims = value.type?.kind === "tensor" ? value.type.shape?.slice(start, end) : undefined;
    const known = dims?.filter((dim) => typeof dim === "number");
    if (known !== undefined && known.length === dims?.length && isWithin(value, start)) return known;
    return this.#int.shape(value, start, end);
  }

  /** What a tensor is reshaped to that is to have this one's shape: -1 stands for a single size that is not known. */
  target(value: Value): Sizes {
    const dims = value.type?.kind === "tensor" ? value.type.shape : null;
    const open = dims?.filter((dim) => typeof dim !== "number").length;
    if (dims === null || open === undefined || open > 1 || dims.includes(0)) return this.of(value);
    return dims.map((dim) => (typeof dim === "number" ? dim : -1));
  }

  add = (a: Sizes, b: Sizes): Sizes => this.#each("Add", a, b, (x, y) => x + y);
  sub = (a: Sizes, b: Sizes): Sizes => this.#each("Sub", a, b, (x, y) => x - y);
  mul = (a: Sizes, b: Sizes): Sizes => this.#each("Mul", a, b, (x, y) => x * y);

  /** One after another. */
  concat(...parts: readonly Sizes[]): Sizes {
    if (parts.every(isKnown)) return parts.flat();
    return this.#int.concat(
      parts.filter((part) => !isKnown(part) || part.length > 0).map((part) => this.value(part)),
      0,
    );
  }

  /** Axes `start` to before `end` of a list of sizes. */
  slice(sizes: Sizes, start: number, end: number): Sizes {
    return isKnown(sizes) ? sizes.slice(start, end) : this.#int.slice(sizes, [start], [end], [0]);
  }

  value(sizes: Sizes): Value {
    return isKnown(sizes) ? this.#int.ints(sizes) : sizes;
  }

  #each(op: "Add" | "Sub" | "Mul", a: Sizes, b: Sizes, known: (x: number, y: number) => number): Sizes {
    if (isKnown(a) && isKnown(b)) return a.map((x, axis) => known(x, b[axis] ?? 0));
    return this.#int.emit(op, [this.value(a), this.value(b)]);
  }
}

/** A negative start counts from the end, which must not reach past the first axis. */
function isWithin(value: Value, start: number): boolean {
  const rank = value.type?.kind === "tensor" ? (value.type.shape?.length ?? 0) : 0;
  return start >= -rank;
}

/** Whether all sizes are known, and each is `size`. */
export function areAll(sizes: Sizes, size: number): boolean {
  return isKnown(sizes) && sizes.every((each) => each === size);
}
