import { attribute } from "../../graph/attribute.ts";
import { DataType } from "../../graph/data-type.ts";
import type { Value } from "../../graph/graph.ts";
import type { Formula } from "../../ops/formula.ts";
import { axesFrom, type Call, dimsOf, type Lowering } from "./lowering.ts";
import { positions, reach, type Window, windowOf } from "./window.ts";

const SOURCE = "orttraining/core/graph/training_op_defs.cc; ORT-TRAINING 4.7";

/** Below every float32 that is not minus infinity, and not infinite itself: what pads compare with. */
const LOWEST = -3.4028234663852886e38;

/**
 * Gives each dY to the first place of its window where the maximum is, found by comparing: not every execution provider
 * gives indices. Window by window this is what ONNX Runtime's indices say.
 */
function maxPoolGrad(f: Formula, call: Call): readonly Value[] {
  const pool = call.input(1).producer;
  const x = pool?.opType === "MaxPool" ? pool.inputs[0] : null;
  const y = pool?.outputs[0];
  if (!x || !y) throw call.refuse("its indices do not come from a MaxPool");
  const window = windowOf(call, null, dimsOf(x)?.slice(2) ?? null);
  return [routed(f, window, { x, y, dY: call.input(0) })];
}

interface Pooled {
  readonly x: Value;
  readonly y: Value;
  readonly dY: Value;
}

function routed(f: Formula, window: Window, { x, y, dY }: Pooled): Value {
  const { kernel, strides, dilations, begin } = window;
  const int = f.typed(DataType.int64);
  const axes = axesFrom(2, kernel.length + 2);
  const [image, outputs] = [int.shape(x, 2), int.shape(y, 2)];
  const zeros = int.ints([0, 0]);
  /** As far as the last window reaches, strides included, so that every slice has whole strides. */
  const whole = int.add(int.mul(outputs, int.ints(strides)), int.ints(reach(window)));
  const behind = int.sub(int.sub(whole, image), int.ints(begin));
  const padded = f.emit("Pad", [x, int.vector(zeros, int.ints(begin), zeros, behind), f.number(LOWEST)]);
  const covered = int.mul(outputs, int.ints(strides));
  const isUnit = strides.every((stride) => stride === 1);
  let open: Value | null = null;
  let total: Value | null = null;
  for (const position of positions(kernel)) {
    const starts = position.map((at, axis) => at * (dilations[axis] ?? 1));
    const here = f.slice(padded, starts, int.add(covered, int.ints(starts)), axes, isUnit ? null : strides);
    const isLargest = f.equal(here, y);
    const isFirst: Value = open === null ? isLargest : f.and(open, isLargest);
    const left = f.not(isLargest);
    open = open === null ? left : f.and(open, left);
    const part = f.where(isFirst, dY, 0);
    const placed = spreadOut(f, part, { strides, starts, whole, covered, outputs });
    total = total === null ? placed : f.add(total, placed);
  }
  if (total === null) return dY;
  return f.slice(total, begin, int.add(image, int.ints(begin)), axes);
}

interface Places {
  readonly strides: readonly number[];
  readonly starts: readonly number[];
  readonly whole: Value;
  readonly covered: Value;
  readonly outputs: Value;
}

/** Puts [N, C, o...] at every stride-th place from `starts` on of [N, C, whole...], zeros between. */
function spreadOut(f: Formula, part: Value, { strides, starts, whole, covered, outputs }: Places): Value {
  const int = f.typed(DataType.int64);
  const front = int.shape(part, 0, 2);
  const isUnit = strides.every((stride) => stride === 1);
  const between = strides.flatMap((stride) => [0, stride - 1]);
  const sizes = strides.flatMap((_, axis) => [int.slice(outputs, [axis], [axis + 1], [0]), 1]);
  const apart = f.reshape(part, int.vector(front, ...sizes));
  const wide = isUnit
    ? part
    : f.reshape(
        f.emit("Pad", [apart, int.ints([0, 0, ...strides.flatMap(() => [0, 0]), 0, 0, ...between])]),
        int.vector(front, covered),
      );
  const rest = int.sub(int.sub(whole, covered), int.ints(starts));
  const zeros = int.ints([0, 0]);
  return f.emit("Pad", [wide, int.vector(zeros, int.ints(starts), zeros, rest)]);
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
