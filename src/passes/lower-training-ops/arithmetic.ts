import { attribute } from "../../graph/attribute.ts";
import { DataType } from "../../graph/data-type.ts";
import type { Value } from "../../graph/graph.ts";
import type { Formula } from "../../ops/formula.ts";
import { axesFrom, rankOf } from "../../ops/value-types.ts";
import type { Call, Lowering } from "./lowering.ts";

const SOURCE = "orttraining/core/graph/training_op_defs.cc; ORT-TRAINING 4.9";

/** Moves the axes of the last two dimensions; Einsum does it where the rank is not known. */
function permuted(f: Formula, value: Value, perm: (rank: number) => readonly number[], equation: string): Value {
  const rank = rankOf(value);
  if (rank !== null) return f.transpose(value, perm(rank));
  return f.emit("Einsum", [value], { attributes: [attribute.string("equation", equation)] });
}

/** What the flags of a fused product make of one operand: the first axis to the rows, then rows and columns exchanged. */
function operand(f: Formula, call: Call, index: number, side: "A" | "B"): Value {
  const value = call.input(index);
  const [batch, matrix] = [call.int(`transBatch${side}`) !== 0, call.int(`trans${side}`) !== 0];
  if (batch && matrix) return permuted(f, value, (rank) => [...axesFrom(1, rank), 0], "i...j->...ji");
  if (batch) return permuted(f, value, (rank) => [...axesFrom(1, rank - 1), 0, rank - 1], "i...j->...ij");
  if (matrix) return permuted(f, value, (rank) => [...axesFrom(0, rank - 2), rank - 1, rank - 2], "...ij->...ji");
  return value;
}

const scalarOf = (f: Formula, value: Value): Value => f.reshape(f.cast(value, f.dtype), []);

const total = (f: Formula, values: readonly Value[]): Value => {
  const [only] = values;
  return only !== undefined && values.length === 1 ? only : f.emit("Sum", values);
};

const SCALES = ["scale_0", "scale_1", "scale_2"] as const;

function scaleOf(call: Call, index: number): number {
  const name = SCALES[index];
  if (name === undefined) throw call.refuse(`it has more than ${SCALES.length} of them`);
  return call.float(name);
}

export const ARITHMETIC: readonly Lowering[] = [
  {
    op: "FusedMatMul",
    source: "onnxruntime/core/graph/contrib_ops/contrib_defs.cc",
    lower: (f, call) => {
      const product = f.matmul(operand(f, call, 0, "A"), operand(f, call, 1, "B"));
      const alpha = call.float("alpha");
      return [alpha === 1 ? product : f.mul(product, alpha)];
    },
  },
  {
    op: "BroadcastGradientArgs",
    source: SOURCE,
    lower: (f, call) => f.broadcastAxes(call.input(0), call.input(1)),
  },
  {
    op: "DivGrad",
    source: SOURCE,
    lower: (f, call) => {
      const [dY, a, b] = [call.input(0), call.input(1), call.input(2)];
      const dB = (): Value => f.neg(f.div(f.mul(dY, a), f.square(b)));
      return [
        call.wants(0) ? f.sumTo(f.div(dY, b), f.shape(a)) : null,
        call.wants(1) ? f.sumTo(dB(), f.shape(b)) : null,
      ];
    },
  },
  {
    op: "ReduceSumTraining",
    source: SOURCE,
    lower: (f, call) => [
      f.emit("ReduceSum", [call.input(0), call.input(1)], {
        attributes: [
          attribute.int("keepdims", call.int("keepdims")),
          attribute.int("noop_with_empty_axes", call.int("noop_with_empty_axes")),
        ],
      }),
    ],
  },
  {
    op: "ReduceAllL2",
    source: SOURCE,
    lower: (f, call) => {
      const sums = call.inputs.map((x) => f.sum(f.square(f.cast(x, DataType.float)), null, false));
      return [f.sqrt(total(f, sums))];
    },
  },
  {
    op: "Scale",
    source: SOURCE,
    lower: (f, call) => {
      const scale = scalarOf(f, call.input(1));
      return [call.int("scale_down") === 0 ? f.mul(call.input(0), scale) : f.div(call.input(0), scale)];
    },
  },
  {
    op: "ScaledSum",
    source: SOURCE,
    lower: (f, call) => [
      total(
        f,
        call.inputs.map((x, index) => f.mul(x, scaleOf(call, index))),
      ),
    ],
  },
  {
    op: "BatchScale",
    source: SOURCE,
    lower: (f, call) => call.node.outputs.map((_, index) => f.mul(call.input(0), scaleOf(call, index))),
  },
  {
    op: "ConcatTraining",
    source: SOURCE,
    lower: (f, call) => {
      const axis = call.int("axis");
      const lengths = (): Value =>
        f.concat(
          call.inputs.map((x) => f.dim(x, axis)),
          0,
        );
      return [f.concat(call.inputs, axis), call.wants(1) ? lengths() : null];
    },
  },
  {
    op: "SplitTraining",
    source: SOURCE,
    lower: (f, call) =>
      f.build.emitAll("Split", [call.input(0), call.input(1)], call.node.outputs.length, {
        attributes: [attribute.int("axis", call.int("axis"))],
      }),
  },
  {
    op: "Trilu",
    source: "onnxruntime/core/graph/contrib_ops/contrib_defs.cc",
    lower: (f, call) => {
      const k = call.optional(1);
      return [
        f.emit("Trilu", k === null ? [call.input(0)] : [call.input(0), k], {
          attributes: [attribute.int("upper", call.int("upper"))],
        }),
      ];
    },
  },
];
