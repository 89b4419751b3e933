import { attribute } from "../graph/attribute.ts";
import { DataType } from "../graph/data-type.ts";
import type { Node, Value } from "../graph/graph.ts";
import type { Model } from "../graph/model.ts";
import { Names } from "../graph/names.ts";
import { constantOf } from "../ops/constants.ts";
import { elementTypeOf } from "../ops/element-type.ts";
import type { Formula } from "../ops/formula.ts";
import { inferTypes } from "../ops/inference/infer-types.ts";
import { NodeView } from "../ops/node-view.ts";
import { dimsOf, known } from "../ops/value-types.ts";
import { Call } from "./lower-training-ops/lowering.ts";
import { replaceByParts } from "./lower-training-ops/replace.ts";

/** Since when there is `Trilu`. */
const OLDEST_OPSET = 14;

/** Matrices of which the part on and above a diagonal is one number. */
interface Masked {
  readonly value: Value;
  readonly mask: Value;
  readonly fill: number;
  /** The first of the diagonals that are masked, counted from the main one. */
  readonly diagonal: number;
}

/**
 * Has `Trilu` mask what `Where` masks by a constant triangle, as attention that looks back alone does, forward and backward: ONNX Runtime's CPU
 * provider takes three passes on one thread for a condition that it stretches. What lies behind the mask is replaced, infinite or not,
 * as before. Changes the model.
 * @returns how many are masked so
 */
export function maskByTriangles(model: Model): number {
  const { graph } = model;
  if (model.opset < OLDEST_OPSET) return 0;
  inferTypes(model);
  const names = new Names(model);
  let count = 0;
  for (const node of graph) {
    const masked = maskedBy(node);
    if (masked === null) continue;
    const lower = (f: Formula): readonly Value[] => [triangleOf(f, masked)];
    replaceByParts(graph, new Call(node), { lower }, { names, opset: model.opset, isInput: () => false });
    count += 1;
  }
  return count;
}

function triangleOf(f: Formula, { value, mask, fill, diagonal }: Masked): Value {
  const last = f.typed(DataType.int64).number(diagonal - 1);
  const kept = f.emit("Trilu", [value, last], { attributes: [attribute.int("upper", 0)] });
  return fill === 0 ? kept : f.add(kept, f.where(mask, fill, 0));
}

function maskedBy(node: Node): Masked | null {
  const [mask, filling, value] = node.inputs;
  if (node.domain !== "" || node.opType !== "Where" || !mask || !filling || !value) return null;
  const fill = constantOf(filling);
  const [size, columns] = known(dimsOf(mask)) ?? [];
  const sizes = dimsOf(value) ?? [];
  const isSquare = dimsOf(mask)?.length === 2 && size === columns && (size ?? 0) > 0;
  if (!isSquare || size === undefined || sizes.at(-1) !== size || sizes.at(-2) !== size) return null;
  if (elementTypeOf(value) !== DataType.float || fill?.dims.length !== 0) return null;
  const diagonal = diagonalOf(mask, size);
  return diagonal === null ? null : { value, mask, fill: Number(fill.values()[0]), diagonal };
}

/** The first diagonal of a constant matrix from which on all is true, where nothing before it is. */
function diagonalOf(mask: Value, size: number): number | null {
  const held = constantOf(mask);
  if (held !== null) {
    const set = [...held.values()].map((each) => Number(each) !== 0);
    const diagonal = set.slice(0, size).indexOf(true);
    const isTriangle = set.every((each, at) => each === (at % size) - Math.floor(at / size) >= diagonal);
    return diagonal >= 0 && isTriangle ? diagonal : null;
  }
  const { producer } = mask;
  const [from, by] = producer?.domain === "" ? producer.inputs : [];
  if (!producer || !from) return null;
  if (producer.opType === "Cast") return diagonalOf(from, size);
  if (producer.opType !== "Trilu" || new NodeView(producer).int("upper") === 0) return null;
  const isFull = [...(constantOf(from)?.values() ?? [0])].every((each) => Number(each) !== 0);
  const diagonal = by ? Number(constantOf(by)?.values()[0] ?? Number.NaN) : 0;
  return isFull && Number.isInteger(diagonal) && diagonal > -size && diagonal < size ? diagonal : null;
}
