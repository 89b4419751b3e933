import { Node, type Value } from "../../../graph/graph.ts";
import { constantOf } from "../../../ops/constants.ts";
import type { EdgeLayer } from "../site.ts";
import { knownShape } from "./known-shape.ts";

/** The layers of a parameter that is one vector; or why they cannot be told. */
export type VectorLayers = { readonly layers: readonly EdgeLayer[] } | { readonly reason: string };

/**
 * The parameters of several layers in one vector, as the network cuts it: by Slice and Split with constant places, each piece given its
 * shape by Reshape. The pieces must cover the vector and not overlap.
 * @returns null where the value is no such vector: it is read as a whole, or its pieces are gates of one bias
 */
export function vectorLayers(vector: Value): VectorLayers | null {
  const [size, ...others] = knownShape(vector) ?? [];
  if (size === undefined || others.length > 0) return null;
  const found = piecesOf(vector, 0, size);
  if (found.length < 2 || !found.some(({ value }) => isReshaped(value))) return null;
  const layers = new Map<string, EdgeLayer>();
  for (const { value, start, size: own } of found) {
    if (start === null || own === null)
      return { reason: `"${value.name}" is cut out of it at places that are not constant` };
    const shapes = new Map(reshapedTo(value).map((shape) => [shape.join(), shape]));
    const [shape = null, ...more] = shapes.values();
    if (more.length > 0) return { reason: `its piece "${value.name}" is given several shapes` };
    const key = `${start} ${own}`;
    const known = layers.get(key);
    if (shape === null) layers.set(key, known ?? { start, size: own, shape: [own] });
    else if (known === undefined || known.shape.length === 1) layers.set(key, { start, size: own, shape });
    else if (known.shape.join() !== shape.join())
      return { reason: `its piece "${value.name}" is given several shapes` };
  }
  const sorted = [...layers.values()].toSorted((a, b) => a.start - b.start);
  let end = 0;
  for (const layer of sorted) {
    if (layer.start < end) return { reason: `pieces that it is cut into overlap at element ${layer.start}` };
    if (layer.start > end) return { reason: `its elements from ${end} to ${layer.start - 1} are in no piece` };
    end += layer.size;
  }
  if (end < size) return { reason: `its elements from ${end} to ${size - 1} are in no piece` };
  if (!sorted.some(({ shape }) => shape.filter((dim) => dim > 1).length > 1)) {
    return { reason: "none of the pieces that it is cut into is a matrix: they may be layers, or the gates of one" };
  }
  return { layers: sorted };
}

/** A piece of a vector; null for places that the graph does not tell. */
interface Piece {
  readonly value: Value;
  readonly start: number | null;
  readonly size: number | null;
}

function piecesOf(vector: Value, offset: number, size: number): readonly Piece[] {
  return vector.uses.flatMap(({ user, index }) => {
    if (!(user instanceof Node) || index !== 0 || user.domain !== "") return [];
    const [output] = user.outputs;
    if (user.opType === "Identity") return output ? piecesOf(output, offset, size) : [];
    if (user.opType !== "Slice" && user.opType !== "Split") return [];
    return cut(user, offset, size).flatMap((piece) => {
      if (piece.start === null || piece.size === null) return [piece];
      const inner = piecesOf(piece.value, piece.start, piece.size);
      return inner.length > 0 ? inner : [piece];
    });
  });
}

function cut(node: Node, offset: number, size: number): readonly Piece[] {
  if (node.opType === "Slice") {
    const [value] = node.outputs;
    if (!value) return [];
    const unknown = [{ value, start: null, size: null }];
    const [start, end, step = 1] = [numberAt(node, 1), numberAt(node, 2), node.inputs[4] ? numberAt(node, 4) : 1];
    if (start === null || end === null || step !== 1) return unknown;
    const place = (at: number): number => Math.min(Math.max(at < 0 ? at + size : at, 0), size);
    return [{ value, start: offset + place(start), size: Math.max(place(end) - place(start), 0) }];
  }
  let at: number | null = offset;
  return node.outputs.flatMap((value) => {
    const [own = null] = value === null ? [] : (knownShape(value) ?? []);
    const start = at;
    at = at === null || own === null ? null : at + own;
    return value === null ? [] : [{ value, start, size: start === null ? null : own }];
  });
}

/** The only number of a constant input; null where there is another. */
function numberAt(node: Node, index: number): number | null {
  const value = node.inputs[index];
  const tensor = value ? constantOf(value) : null;
  const [only, ...others] = tensor === null ? [] : Array.from(tensor.values(), Number);
  return only === undefined || others.length > 0 ? null : only;
}

const reshapesOf = (piece: Value): readonly Value[] =>
  piece.uses.flatMap(({ user, index }) => {
    const [made] = user instanceof Node && user.opType === "Reshape" && index === 0 ? user.outputs : [];
    return made ? [made] : [];
  });

const isReshaped = (piece: Value): boolean => reshapesOf(piece).length > 0;

const reshapedTo = (piece: Value): readonly (readonly number[])[] =>
  reshapesOf(piece).flatMap((made) => {
    const shape = knownShape(made);
    return shape === null ? [] : [shape];
  });
