import { attribute } from "../../graph/attribute.ts";
import { DataType } from "../../graph/data-type.ts";
import type { Value } from "../../graph/graph.ts";
import { Tensor } from "../../graph/tensor.ts";
import type { Formula } from "../../ops/formula.ts";
import type { Lowering } from "./lowering.ts";

const SOURCE = "orttraining/core/graph/training_op_defs.cc; ORT-TRAINING 4.13";

const flag = (f: Formula, dims: readonly number[]): Value =>
  f.build.constant(Tensor.from(DataType.bool, dims, Uint8Array.of(1)), "done");

/** Whether all of a bool tensor are true, a bool scalar. */
function all(f: Formula, value: Value): Value {
  const least = f.reduce("ReduceMin", f.cast(value, DataType.int32), null, false);
  return f.cast(least, DataType.bool);
}

const finite = (f: Formula, x: Value): Value => f.and(f.not(f.emit("IsNaN", [x])), f.not(f.emit("IsInf", [x])));

export const ACCUMULATION: readonly Lowering[] = [
  {
    op: "InPlaceAccumulatorV2",
    source: "orttraining/core/graph/training_op_defs.cc; ORT-TRAINING 1.1",
    lower: (f, call) => {
      const [buffer, value, overwrite] = [call.input(0), call.input(1), call.optional(2)];
      const sum = f.add(buffer, value);
      return [flag(f, [1]), overwrite === null ? sum : f.where(f.reshape(overwrite, []), value, sum)];
    },
    renews: [[1, 0]],
  },
  {
    op: "InPlaceAccumulator",
    source: SOURCE,
    lower: (f, call) => {
      const [old, value, signal] = [call.input(0), call.input(1), call.optional(2)];
      const sum = f.add(old, value);
      return [signal === null ? sum : f.where(f.reshape(signal, []), sum, old)];
    },
    renews: [[0, 0]],
  },
  {
    op: "ZeroGradient",
    source: SOURCE,
    lower: (f, call) => [f.zeros(f.shape(call.input(0)))],
    renews: [[0, 0]],
  },
  { op: "Group", source: SOURCE, lower: (f) => [flag(f, [1])] },
  { op: "PassThrough", source: SOURCE, lower: (f, call) => call.inputs.map((value) => f.identity(value)) },
  { op: "IsFinite", source: SOURCE, lower: (f, call) => call.inputs.map((value) => finite(f, value)) },
  {
    op: "IsAllFinite",
    source: SOURCE,
    lower: (f, call) => {
      const [onlyInf, onlyNan] = [call.int("isinf_only") !== 0, call.int("isnan_only") !== 0];
      const fine = (x: Value): Value => {
        if (onlyInf) return f.not(f.emit("IsInf", [x]));
        return onlyNan ? f.not(f.emit("IsNaN", [x])) : finite(f, x);
      };
      return [call.inputs.map((x) => all(f, fine(x))).reduce((a, b) => f.and(a, b))];
    },
  },
  { op: "All", source: SOURCE, lower: (f, call) => [all(f, call.input(0))] },
  {
    op: "MixedPrecisionScale",
    source: SOURCE,
    lower: (f, call) => {
      const scale = f.reshape(call.input(0), []);
      const to = call.int("to");
      const scaled = call.inputs.slice(1).map((x) => f.cast(f.mul(f.cast(x, DataType.float), scale), to));
      if (call.int("fuse_outputs") === 0) return scaled;
      return [
        f.emit(
          "Concat",
          scaled.map((x) => f.flat(x)),
          { attributes: [attribute.int("axis", 0)] },
        ),
      ];
    },
  },
];
