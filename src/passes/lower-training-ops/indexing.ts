import { attribute } from "../../graph/attribute.ts";
import { DataType } from "../../graph/data-type.ts";
import type { Value } from "../../graph/graph.ts";
import type { Formula } from "../../ops/formula.ts";
import type { Lowering } from "./lowering.ts";

const SOURCE = "orttraining/core/graph/training_op_defs.cc; ORT-TRAINING 4.8";
const PADDING_SOURCE = "orttraining/core/graph/training_op_defs.cc; ORT-TRAINING 4.12";

/**
 * The gradient of any operator that only moves elements: `move` moves the elements' numbers, which then say where each dY
 * belongs. Elements that were taken several times get the sum.
 */
function scatterBack(f: Formula, shape: Value, dY: Value, move: (numbers: Value) => Value): Value {
  const int = f.typed(DataType.int64);
  const count = int.emit("ReduceProd", [shape], { attributes: [attribute.int("keepdims", 0)] });
  const numbers = int.reshapeTo(int.range(count), shape);
  const moved = move(numbers);
  const sum = f.scatterAdd(int.reshape(count, [1]), int.flat(moved), f.flat(dY), 0);
  return f.reshapeTo(sum, shape);
}

export const INDEXING: readonly Lowering[] = [
  {
    op: "GatherGrad",
    source: SOURCE,
    lower: (f, call) => {
      const [shape, indices, dY] = [call.input(0), call.input(1), call.input(2)];
      const axis = call.int("axis");
      if (axis === 0) return [f.addRows(shape, f.cast(indices, DataType.int64), dY)];
      return [scatterBack(f, shape, dY, (numbers) => f.gather(numbers, indices, axis))];
    },
  },
  {
    op: "GatherElementsGrad",
    source: SOURCE,
    lower: (f, call) => [f.scatterAdd(call.input(1), call.input(2), call.input(0), call.int("axis"))],
  },
  {
    op: "GatherNDGrad",
    source: SOURCE,
    lower: (f, call) => {
      const [shape, indices, dY] = [call.input(0), call.input(1), call.input(2)];
      const batch = attribute.int("batch_dims", call.int("batch_dims"));
      const gather = (numbers: Value): Value => f.emit("GatherND", [numbers, indices], { attributes: [batch] });
      return [scatterBack(f, shape, dY, gather)];
    },
  },
  {
    op: "SliceGrad",
    source: SOURCE,
    lower: (f, call) => {
      const [dY, shape, ...range] = call.node.inputs;
      if (!dY || !shape) throw call.refuse("it has no gradient or no shape");
      return [scatterBack(f, shape, dY, (numbers) => f.emit("Slice", [numbers, ...range]))];
    },
  },
  {
    op: "ShrunkenGather",
    source: SOURCE,
    lower: (f, call) => [f.gather(call.input(0), call.input(1), call.int("axis"))],
  },
  {
    op: "PadAndUnflatten",
    source: PADDING_SOURCE,
    lower: (f, call) => {
      const [x, indices, dims] = [call.input(0), call.input(1), call.input(2)];
      const rest = f.shape(x, 1);
      const rows = f.emit("ReduceProd", [dims], { attributes: [attribute.int("keepdims", 1)] });
      return [f.reshapeTo(f.addRows(f.vector(rows, rest), indices, x), f.vector(dims, rest))];
    },
  },
  {
    op: "FlattenAndUnpad",
    source: PADDING_SOURCE,
    lower: (f, call) => {
      const x = call.input(0);
      const rows = f.reshape(x, f.vector(-1, f.shape(x, 2)));
      return [f.gather(rows, call.input(1), 0), call.wants(1) ? f.shape(x, 0, 2) : null];
    },
  },
];
