import { averagePoolGrad, countsOf } from "../../autodiff/formulas/average-pool.ts";
import { maxPoolGrad } from "../../autodiff/formulas/pooling.ts";
import { windowOf } from "../../autodiff/formulas/window.ts";
import { DataType } from "../../graph/data-type.ts";
import type { Value } from "../../graph/graph.ts";
import { gradientName } from "../../onnxruntime/training-names.ts";
import type { Formula } from "../../ops/formula.ts";
import { dimsOf } from "../../ops/value-types.ts";
import type { Call, Lowering } from "./lowering.ts";

const SOURCE = "orttraining/core/graph/training_op_defs.cc; ORT-TRAINING 4.7";

function maxPool(f: Formula, call: Call): readonly Value[] {
  const pool = call.input(1).producer;
  const x = pool?.opType === "MaxPool" ? pool.inputs[0] : null;
  const y = pool?.outputs[0];
  if (!pool || !x || !y) throw call.refuse("its indices do not come from a MaxPool");
  const window = windowOf(call, null, dimsOf(x)?.slice(2) ?? null);
  return [maxPoolGrad(f, window, { x, y, dY: call.input(0), refuse: call.refuse })];
}

/** The pool's input: ONNX Runtime names a gradient after its tensor, and the node itself does not take that tensor. */
function pooledInput(call: Call): Value | null {
  const name = call.node.outputs[0]?.name ?? "";
  const graph = call.node.graph;
  if (graph === null) return null;
  const values = [...graph.inputs, ...graph.nodes.flatMap(({ outputs }) => outputs)];
  return values.find((value) => value !== null && name === gradientName(value.name)) ?? null;
}

function averagePool(f: Formula, call: Call): readonly Value[] {
  const dY = call.input(0);
  const x = pooledInput(call);
  const declared = call.node.outputs[0];
  const dims = (x === null ? null : dimsOf(x)) ?? (declared ? dimsOf(declared) : null);
  if (x === null && dims === null) throw call.refuse("the shape of the pool's input is not known");
  const int = f.typed(DataType.int64);
  const shape =
    x === null ? int.vector(int.dim(dY, 0), ...(dims ?? []).slice(1).map((dim) => dim ?? -1)) : int.shape(x);
  const window = windowOf(call, null, dims?.slice(2) ?? null);
  return [averagePoolGrad(f, window, { dY, shape, counts: countsOf(call) })];
}

export const POOLING: readonly Lowering[] = [
  { domain: "", op: "MaxPoolGrad", source: SOURCE, lower: maxPool },
  { domain: "", op: "AveragePoolGrad", source: SOURCE, lower: averagePool },
];
