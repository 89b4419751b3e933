import { placesOf, windowOf } from "../../autodiff/formulas/window.ts";
import { DataType } from "../../graph/data-type.ts";
import type { Node, Value } from "../../graph/graph.ts";
import type { Formula } from "../../ops/formula.ts";
import { NodeView } from "../../ops/node-view.ts";
import { axesFrom, dimsOf, shapeOf } from "../../ops/value-types.ts";
import type { Compound } from "../decompose/compound.ts";
import type { Call } from "../lower-training-ops/lowering.ts";
import { flatPlaces, padded, patches, reachOf } from "./windows.ts";

const SOURCE = "ONNX's operators";

/** Sizes of the spatial axes; null where one is not known. */
const spatialOf = (x: Value): readonly (number | null)[] | null =>
  shapeOf(x)
    ?.slice(2)
    .map((size) => (typeof size === "number" ? size : null)) ?? null;

const withBias = (f: Formula, y: Value, bias: Value | null, rank: number): Value =>
  bias === null ? y : f.add(y, f.reshape(bias, [1, -1, ...axesFrom(0, rank).map(() => 1)]));

/** One product of the kernels and the image's patches. */
function conv(f: Formula, call: Call): readonly Value[] {
  const { int, x, w, group, rank, strides, dilations, begin, end } = operandsOf(f, call);
  const image = padded(f, x, begin, end);
  const { patches: all, windows } = patches(f, image, { kernel: int.shape(w, 2), strides, dilations });
  const count = int.reduce("ReduceProd", windows, [0]);
  const kernels = kernelRows(f, w, group);
  const product = f.matmul(kernels, f.reshape(all, int.vector(0, group, -1, count)));
  const y = f.reshape(product, int.vector(int.dim(x, 0), int.dim(w, 0), windows));
  return [withBias(f, y, call.optional(2), rank)];
}

function operandsOf(f: Formula, call: Call) {
  const [x, w] = [call.input(0), call.input(1)];
  const rank = call.rank(1) - 2;
  /** What pads say does not depend on the kernel, which may be as large as the graph finds it. */
  const window = windowOf(call, kernelOf(call) ?? axesFrom(0, rank).map(() => 1), spatialOf(x));
  return { ...window, int: f.typed(DataType.int64), x, w, rank, group: call.int("group") };
}

/** The kernels of each group as the rows of a matrix. */
function kernelRows(f: Formula, w: Value, group: number): Value {
  const int = f.typed(DataType.int64);
  const rows = f.reshape(w, [0, -1]);
  return f.reshape(rows, int.vector(group, -1, int.dim(rows, 1)));
}

/** A kernel's sizes where they are known when the graph is written. */
function kernelOf(node: NodeView): readonly number[] | null {
  const dims = dimsOf(node.input(1))?.slice(2) ?? null;
  const known = dims?.filter((size) => typeof size === "number") ?? [];
  return dims !== null && known.length === dims.length ? known : node.ints("kernel_shape");
}

/** Each pixel's product with the kernels, added up where the windows lie. */
function convTranspose(f: Formula, call: Call): readonly Value[] {
  const { int, x, w, group, rank, strides, dilations, begin, end } = operandsOf(f, call);
  const extra = call.ints("output_padding") ?? begin.map(() => 0);
  const [sizes, windows] = [int.shape(w, 2), int.shape(x, 2)];
  const image = int.add(int.mul(int.sub(windows, 1), int.ints(strides)), reachOf(f, sizes, dilations));
  const at = flatPlaces(f, { image, kernel: sizes, windows, strides, dilations });
  const pixels = int.reduce("ReduceProd", windows, [0]);
  const kernels = f.transpose(kernelRows(f, w, group), [0, 2, 1]);
  const products = f.matmul(kernels, f.reshape(x, int.vector(0, group, -1, pixels)));
  const outputs = int.mul(int.dim(w, 1), group);
  const updates = f.reshape(products, int.vector(int.dim(x, 0), outputs, int.shape(at)));
  const flat = int.vector(int.dim(x, 0), outputs, int.reduce("ReduceProd", image, [0]));
  const sum = f.scatterAdd(flat, int.expand(at, int.shape(updates)), updates, 2);
  const whole = f.reshape(sum, int.vector(int.dim(x, 0), outputs, image));
  const back = (pads: readonly number[]): readonly number[] => pads.map((pad) => -pad);
  const y = padded(
    f,
    whole,
    back(begin),
    end.map((pad, axis) => (extra[axis] ?? 0) - pad),
  );
  return [withBias(f, y, call.optional(2), rank)];
}

/** Means of the windows; pads count where the node says so. */
function averagePool(f: Formula, call: Call): readonly Value[] {
  const int = f.typed(DataType.int64);
  const { all, windows, window, patchesOf } = pooled(f, call);
  const sums = f.sum(all, [2], false);
  const isPadded = [...window.begin, ...window.end].some((pad) => pad !== 0);
  const counts = (): Value => {
    const one = f.expand(f.number(1), int.vector(1, 1, int.shape(call.input(0), 2)));
    return f.sum(patchesOf(one).patches, [2], false);
  };
  const count = isPadded && call.int("count_include_pad") === 0 ? counts() : placesOf(window.kernel);
  return [f.reshape(f.div(sums, count), int.vector(0, 0, windows))];
}

/** The p-norms of the windows. */
function lpPool(f: Formula, call: Call): readonly Value[] {
  const { all, windows } = pooled(f, call);
  return [f.reshape(normOf(f, all, [2], call.int("p"), false), f.typed(DataType.int64).vector(0, 0, windows))];
}

/** The windows of a pool. */
function pooled(f: Formula, call: Call) {
  const window = windowOf(call, null, spatialOf(call.input(0)));
  const { kernel, strides, dilations, begin, end } = window;
  const patchesOf = (image: Value) =>
    patches(f, padded(f, image, begin, end), { kernel: f.ints(kernel), strides, dilations });
  const { patches: all, windows } = patchesOf(call.input(0));
  return { all, windows, window, patchesOf };
}

const normOf = (f: Formula, x: Value, axes: readonly number[], p: number, keepdims: boolean): Value =>
  f.pow(f.sum(f.pow(f.emit("Abs", [x]), p), axes, keepdims), 1 / p);

const spatialAxes = (call: Call): readonly number[] => axesFrom(2, call.rank(0));

/** Pads that follow from a kernel need its sizes. */
const knowsPads = (node: Node): boolean => {
  const view = new NodeView(node);
  return ["NOTSET", "VALID"].includes(view.string("auto_pad")) || kernelOf(view) !== null;
};

/** Windows that reach over the end of the image are left to ONNX Runtime. */
const isWhole = (node: Node): boolean => new NodeView(node).int("ceil_mode") === 0;

/** Sizes that are not told by the pads are left to ONNX Runtime. */
const hasPads = (node: Node): boolean => {
  const view = new NodeView(node);
  return view.string("auto_pad") === "NOTSET" && !view.gives("output_shape");
};

export const CONVOLUTIONS: readonly Compound[] = [
  { domain: "", op: "Conv", source: SOURCE, when: knowsPads, parts: conv },
  { domain: "", op: "ConvTranspose", source: SOURCE, when: hasPads, parts: convTranspose },
  { domain: "", op: "AveragePool", source: SOURCE, when: isWhole, parts: averagePool },
  { domain: "", op: "LpPool", source: SOURCE, when: isWhole, parts: lpPool },
  {
    domain: "",
    op: "GlobalAveragePool",
    source: SOURCE,
    parts: (f, call) => [f.mean(call.input(0), spatialAxes(call))],
  },
  {
    domain: "",
    op: "GlobalMaxPool",
    source: SOURCE,
    parts: (f, call) => [f.reduce("ReduceMax", call.input(0), spatialAxes(call))],
  },
  {
    domain: "",
    op: "GlobalLpPool",
    source: SOURCE,
    parts: (f, call) => [normOf(f, call.input(0), spatialAxes(call), call.int("p"), true)],
  },
];
