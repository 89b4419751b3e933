import type { Dimension } from "../../graph/value-type.ts";

/** Elements of a small tensor in row-major order, with its shape. */
export interface Content {
  readonly dims: readonly number[];
  readonly elements: readonly Dimension[];
}

/** More elements than a shape could have are not followed. */
export const MOST_ELEMENTS = 64;

export const sizeOf = (dims: readonly number[]): number => dims.reduce((product, dim) => product * dim, 1);

/** The positions of a tensor in row-major order. */
function* positionsOf(dims: readonly number[]): Generator<readonly number[]> {
  const size = sizeOf(dims);
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

/** A tensor whose elements are told by their positions; null where there are too many. */
function filled(dims: readonly number[], element: (at: readonly number[]) => Dimension): Content | null {
  if (!(sizeOf(dims) <= MOST_ELEMENTS)) return null;
  return { dims, elements: [...positionsOf(dims)].map(element) };
}

const elementAt = ({ dims, elements }: Content, at: readonly number[]): Dimension => elements[flatOf(dims, at)] ?? null;

export const transposeContent = (content: Content, perm: readonly number[]): Content | null =>
  filled(
    perm.map((axis) => content.dims[axis] ?? 1),
    (at) =>
      elementAt(
        content,
        perm.map((_, axis) => at[perm.indexOf(axis)] ?? 0),
      ),
  );

export interface Cut {
  readonly axis: number;
  readonly start: number;
  readonly step: number;
  readonly size: number;
}

export function sliceContent(content: Content, cuts: readonly Cut[]): Content | null {
  const cutAt = (axis: number): Cut | undefined => cuts.find((cut) => cut.axis === axis);
  return filled(
    content.dims.map((dim, axis) => cutAt(axis)?.size ?? dim),
    (at) =>
      elementAt(
        content,
        at.map((index, axis) => {
          const cut = cutAt(axis);
          return cut === undefined ? index : cut.start + index * cut.step;
        }),
      ),
  );
}

export function concatContent(parts: readonly Content[], axis: number): Content | null {
  const [first] = parts;
  if (first === undefined) return null;
  const total = parts.reduce((sum, { dims }) => sum + (dims[axis] ?? 0), 0);
  return filled(first.dims.toSpliced(axis, 1, total), (at) => {
    let index = at[axis] ?? 0;
    for (const part of parts) {
      const size = part.dims[axis] ?? 0;
      if (index < size) return elementAt(part, at.toSpliced(axis, 1, index));
      index -= size;
    }
    return null;
  });
}

/** The elements of tensors that are broadcast to one shape, put together; null where they do not fit. */
export function broadcastContent(
  parts: readonly Content[],
  combine: (elements: readonly Dimension[]) => Dimension,
): Content | null {
  const rank = parts.reduce((most, { dims }) => Math.max(most, dims.length), 0);
  const dims = Array.from({ length: rank }, (_, axis) =>
    parts.reduce((size, part) => {
      const own = part.dims[axis - rank + part.dims.length] ?? 1;
      return size === 1 ? own : size;
    }, 1),
  );
  const fits = parts.every((part) =>
    part.dims.every((dim, axis) => dim === 1 || dim === dims[axis + rank - part.dims.length]),
  );
  if (!fits) return null;
  return filled(dims, (at) =>
    combine(
      parts.map((part) =>
        elementAt(
          part,
          part.dims.map((dim, axis) => (dim === 1 ? 0 : (at[axis + rank - part.dims.length] ?? 0))),
        ),
      ),
    ),
  );
}

export const expandContent = (content: Content, to: readonly number[]): Content | null =>
  broadcastContent([content, { dims: to, elements: [] }], ([element = null]) => element);

export const tileContent = (content: Content, repeats: readonly number[]): Content | null =>
  filled(
    content.dims.map((dim, axis) => dim * (repeats[axis] ?? 1)),
    (at) =>
      elementAt(
        content,
        at.map((index, axis) => index % (content.dims[axis] ?? 1)),
      ),
  );

export function gatherContent(content: Content, indices: Content, axis: number): Content | null {
  const { dims } = content;
  const size = dims[axis] ?? 0;
  const rank = indices.dims.length;
  return filled([...dims.slice(0, axis), ...indices.dims, ...dims.slice(axis + 1)], (at) => {
    const given = elementAt(indices, at.slice(axis, axis + rank));
    if (typeof given !== "number") return null;
    const index = given < 0 ? given + size : given;
    if (index < 0 || index >= size) return null;
    return elementAt(content, [...at.slice(0, axis), index, ...at.slice(axis + rank)]);
  });
}

/** Folds the elements along some axes, which are kept with size 1. */
export function reduceContent(
  content: Content,
  axes: readonly number[],
  fold: (a: Dimension, b: Dimension) => Dimension,
): Content | null {
  const to = content.dims.map((dim, axis) => (axes.includes(axis) ? 1 : dim));
  const results = new Map<number, Dimension>();
  for (const at of positionsOf(content.dims)) {
    const place = flatOf(
      to,
      at.map((index, axis) => (axes.includes(axis) ? 0 : index)),
    );
    const before = results.get(place);
    const element = elementAt(content, at);
    results.set(place, before === undefined ? element : fold(before, element));
  }
  const size = sizeOf(to);
  return results.size === size
    ? { dims: to, elements: Array.from({ length: size }, (_, at) => results.get(at) ?? null) }
    : null;
}
