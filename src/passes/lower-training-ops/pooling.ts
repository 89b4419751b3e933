import { attribute } from "../../graph/attribute.ts";
import { DataType } from "../../graph/data-type.ts";
import type { Value } from "../../graph/graph.ts";
import type { Formula } from "../../ops/formula.ts";
import { type Call, dimsOf, type Lowering } from "./lowering.ts";
import { reach, type Window, windowOf } from "./window.ts";

const SOURCE = "orttraining/core/graph/training_op_defs.cc; ORT-TRAINING 4.7";

/** Adds each dY where its maximum was: ONNX Runtime's indices count through the whole tensor. */
function maxPoolGrad(f: Formula, call: Call): readonly Value[] {
  const pool = call.input(1).producer;
  const x = pool?.opType === "MaxPool" ? pool.inputs[0] : null;
  if (x === null || x === undefined) throw call.refuse("its indices do not come from a MaxPool");
  if (call.int("storage_order", 0) !== 0) throw call.refuse("storage_order is not 0");
  const shape = f.shape(x);
  const size = f.reshape(f.size(x), [1]);
  return [f.reshape(f.scatterAdd(size, f.flat(call.input(1)), f.flat(call.input(0)), { axis: 0 }), shape)];
}

/** The pool's input: ONNX Runtime names a gradient after its tensor, and the node itself does not take that tensor. */
function pooledInput(call: Call): Value | null {
  const name = call.node.outputs[0]?.name ?? "";
  const graph = call.node.graph;
  if (graph === null) return null;
  const values = [...graph.inputs, ...graph.nodes.flatMap(({ outputs }) => outputs)];
  return values.find((value) => value !== null && name === `${value.name}_grad`) ?? null;
}

function averagePoolGrad(f: Formula, call: Call): readonly Value[] {
  const dY = call.input(0);
  const x = pooledInput(call);
  const declared = call.node.outputs[0];
  const dims = (x === null ? null : dimsOf(x)) ?? (declared ? dimsOf(declared) : null);
  if (x === null && dims === null) throw call.refuse("the shape of the pool's input is not known");
  const int = f.typed(DataType.int64);
  const window = windowOf(call, null, dims?.slice(2) ?? null);
  const shape =
    x === null ? int.vector(int.dim(dY, 0), ...(dims ?? []).slice(1).map((dim) => dim ?? -1)) : int.shape(x);
  return [spread(f, call, window, shape, dY)];
}

/** Spreads each dY, divided by its window's number of elements, over its window, and cuts to the image's size. */
function spread(f: Formula, call: Call, window: Window, shape: Value, dY: Value): Value {
  const int = f.typed(DataType.int64);
  const rank = window.kernel.length;
  const ones = f.expand(f.number(1), int.ints([1, 1, ...window.kernel]));
  const image = int.slice(shape, [2], [rank + 2], [0]);
  const outputs = int.shape(dY, 2);
  const reaches = reach(window);
  const full = int.add(int.mul(int.sub(outputs, 1), int.ints(window.strides)), int.ints(reaches));
  const attributes = [
    attribute.ints("kernel_shape", window.kernel),
    attribute.ints("strides", window.strides),
    attribute.ints("dilations", window.dilations),
  ];
  const counted = (): Value => {
    const inside = f.expand(f.number(1), int.vector(1, 1, image));
    const behind = int.sub(int.sub(full, image), int.ints(window.begin));
    const zeros = int.ints([0, 0]);
    const padded = f.emit("Pad", [inside, int.vector(zeros, int.ints(window.begin), zeros, behind)]);
    return f.emit("Conv", [padded, ones], { attributes });
  };
  const all = window.kernel.reduce((product, size) => product * size, 1);
  const share = f.div(dY, call.int("count_include_pad", 0) === 1 ? all : counted());
  const planes = f.reshape(share, int.vector(-1, 1, outputs));
  const made = f.emit("ConvTranspose", [planes, ones], { attributes });
  const behind = int.sub(int.add(image, int.ints(window.begin)), full);
  const front = window.begin.map((pad) => -pad);
  const cut = f.emit("Pad", [made, int.vector(int.ints([0, 0, ...front, 0, 0]), behind)]);
  return f.reshape(cut, shape);
}

export const POOLING: readonly Lowering[] = [
  { domain: "", op: "MaxPoolGrad", source: SOURCE, lower: maxPoolGrad },
  { domain: "", op: "AveragePoolGrad", source: SOURCE, lower: averagePoolGrad },
];
