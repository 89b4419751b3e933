import type { Dimension } from "../../graph/value-type.ts";

/** Elements of a small tensor in row-major order, with its shape. */
export interface Content {
  readonly dims: readonly number[];
  readonly elements: readonly Dimension[];
}

/** The positions of a tensor in row-major order. */
function* positionsOf(dims: readonly number[]): Generator<readonly number[]> {
  const size = dims.reduce((product, dim) => product * dim, 1);
  for (let flat = 0; flat < size; flat++) {
    let rest = flat;
    yield dims
      .toReversed()
      .map((dim) => {
        const at = rest % dim;
        rest = Math.floor(rest / dim);
        return at;
      })
      .toReversed();
  }
}

const flatOf = (dims: readonly number[], at: readonly number[]): number =>
  dims.reduce((flat, dim, axis) => flat * dim + (at[axis] ?? 0), 0);

/** A rearrangement: where each element of the result comes from. */
function rearranged(
  { dims, elements }: Content,
  to: readonly number[],
  from: (at: readonly number[]) => readonly number[],
): Content {
  return { dims: to, elements: [...positionsOf(to)].map((at) => elements[flatOf(dims, from(at))] ?? null) };
}

export function transposeContent(content: Content, perm: readonly number[]): Content {
  const to = perm.map((axis) => content.dims[axis] ?? 1);
  return rearranged(content, to, (at) => perm.map((_, axis) => at[perm.indexOf(axis)] ?? 0));
}

export interface Cut {
  readonly axis: number;
  readonly start: number;
  readonly step: number;
  readonly size: number;
}

export function sliceContent(content: Content, cuts: readonly Cut[]): Content {
  const cutAt = (axis: number): Cut | undefined => cuts.find((cut) => cut.axis === axis);
  const to = content.dims.map((dim, axis) => cutAt(axis)?.size ?? dim);
  return rearranged(content, to, (at) =>
    at.map((index, axis) => {
      const cut = cutAt(axis);
      return cut === undefined ? index : cut.start + index * cut.step;
    }),
  );
}

export function concatContent(parts: readonly Content[], axis: number): Content | null {
  const [first] = parts;
  if (first === undefined) return null;
  const sizes = parts.map(({ dims }) => dims[axis] ?? 0);
  const to = first.dims.toSpliced(
    axis,
    1,
    sizes.reduce((sum, size) => sum + size, 0),
  );
  const elements = [...positionsOf(to)].map((at) => {
    let index = at[axis] ?? 0;
    for (const { dims, elements: own } of parts) {
      const size = dims[axis] ?? 0;
      if (index < size) return own[flatOf(dims, at.toSpliced(axis, 1, index))] ?? null;
      index -= size;
    }
    return null;
  });
  return { dims: to, elements };
}
