import { attribute } from "../graph/attribute.ts";
import { DataType } from "../graph/data-type.ts";
import { type Graph, Value } from "../graph/graph.ts";
import { Tensor } from "../graph/tensor.ts";
import type { ValueType } from "../graph/value-type.ts";
import { mapTuple } from "../tuples.ts";
import type { Builder, EmitOptions } from "./builder.ts";
import { NodeView } from "./node-view.ts";
import type { OperatorName, StandardOperator } from "./operators/index.ts";

/** A value of the graph, or a number, which becomes a scalar constant of the formula's element type. */
export type Operand = Value | number;

/** ReduceSum, ReduceMean, ... */
export type Reduction = Extract<StandardOperator, `Reduce${string}`>;

/** The opset from which on all reductions take their axes as an input; ReduceSum does since 13. */
const AXES_INPUT = 18;

/** What a value is the transposition of, and the axes; null where it is none, or none that says its axes. */
export function transposedFrom({ producer }: Value): readonly [from: Value, axes: readonly number[]] | null {
  if (producer?.domain !== "" || producer.opType !== "Transpose") return null;
  const [from, axes] = [producer.inputs[0] ?? null, new NodeView(producer).ints("perm")];
  return from === null || axes === null ? null : [from, axes];
}

/**
 * Formulas in ONNX's standard operators, written as they read: `f.mul(x, f.sub(1, y))`. Needs opset 15 or later.
 *
 * Axes are numbers where they are known when the graph is written; shapes and sizes are values, so that they may be unknown
 * until the graph runs. ONNX Runtime folds those it can infer.
 */
export class Formula {
  readonly build: Builder;
  readonly opset: number;
  readonly dtype: number;
  readonly #constants: Map<string, Value>;

  /** @param dtype element type of number operands: float, double, float16 (those are cast from float) or an integer type */
  constructor(build: Builder, opset: number, dtype: number = DataType.float) {
    this.build = build;
    this.opset = opset;
    this.dtype = dtype;
    this.#constants = new Map();
  }

  /** The same builder, with numbers of another element type. */
  typed(dtype: number): Formula {
    return dtype === this.dtype ? this : new Formula(this.build, this.opset, dtype);
  }

  emit(op: OperatorName, inputs: readonly (Operand | null)[], options?: EmitOptions): Value {
    const values = inputs.map((each) => (typeof each === "number" ? this.number(each) : each));
    return this.build.emit(op, values, options);
  }

  /** A scalar constant; one per number. */
  number(value: number): Value {
    return this.#once(`scalar ${value}`, () => {
      const { dtype } = this;
      if (dtype === DataType.double || dtype === DataType.int64 || dtype === DataType.int32) {
        return this.build.constant(Tensor.scalar(dtype, value));
      }
      const constant = this.build.constant(Tensor.scalar(DataType.float, value));
      return dtype === DataType.float ? constant : this.build.cast(constant, dtype);
    });
  }

  /** An int64 vector. */
  ints(values: readonly number[]): Value {
    return this.#once(`ints ${values.join()}`, () => this.build.constant(Tensor.ints(values)));
  }

  #once(key: string, make: () => Value): Value {
    const known = this.#constants.get(key) ?? make();
    this.#constants.set(key, known);
    return known;
  }

  add = (a: Operand, b: Operand): Value => this.emit("Add", [a, b]);
  sub = (a: Operand, b: Operand): Value => this.emit("Sub", [a, b]);
  mul = (a: Operand, b: Operand): Value => this.emit("Mul", [a, b]);
  div = (a: Operand, b: Operand): Value => this.emit("Div", [a, b]);
  pow = (a: Operand, b: Operand): Value => this.emit("Pow", [a, b]);
  max = (a: Operand, b: Operand): Value => this.emit("Max", [a, b]);
  min = (a: Operand, b: Operand): Value => this.emit("Min", [a, b]);
  neg = (a: Value): Value => this.emit("Neg", [a]);
  exp = (a: Value): Value => this.emit("Exp", [a]);
  sqrt = (a: Value): Value => this.emit("Sqrt", [a]);
  tanh = (a: Value): Value => this.emit("Tanh", [a]);
  sigmoid = (a: Value): Value => this.emit("Sigmoid", [a]);
  erf = (a: Value): Value => this.emit("Erf", [a]);
  round = (a: Value): Value => this.emit("Round", [a]);
  identity = (a: Value): Value => this.emit("Identity", [a]);
  equal = (a: Operand, b: Operand): Value => this.emit("Equal", [a, b]);
  greater = (a: Operand, b: Operand): Value => this.emit("Greater", [a, b]);
  and = (a: Value, b: Value): Value => this.emit("And", [a, b]);
  not = (a: Value): Value => this.emit("Not", [a]);
  where = (condition: Value, a: Operand, b: Operand): Value => this.emit("Where", [condition, a, b]);
  square = (a: Value): Value => this.mul(a, a);
  matmul = (a: Value, b: Value): Value => this.emit("MatMul", [a, b]);

  cast = (a: Value, dtype: number): Value => this.build.cast(a, dtype);

  /** Sum over `axes`; over nothing where they are an empty vector at run time. `null`: over all. */
  sum(a: Value, axes: readonly number[] | Value | null, keepdims = true): Value {
    const attributes = [attribute.int("keepdims", keepdims ? 1 : 0)];
    if (axes === null) return this.emit("ReduceSum", [a], { attributes });
    if (axes instanceof Value) attributes.push(attribute.int("noop_with_empty_axes", 1));
    return this.emit("ReduceSum", [a, axes instanceof Value ? axes : this.ints(axes)], { attributes });
  }

  /** ReduceMean, ReduceMax and their like. `null`: over all axes. */
  reduce(op: Reduction, a: Value, axes: readonly number[] | null, keepdims = true): Value {
    const attributes = [attribute.int("keepdims", keepdims ? 1 : 0)];
    if (axes === null) return this.emit(op, [a], { attributes });
    if (this.opset >= AXES_INPUT) return this.emit(op, [a, this.ints(axes)], { attributes });
    return this.emit(op, [a], { attributes: [...attributes, attribute.ints("axes", axes)] });
  }

  mean = (a: Value, axes: readonly number[] | null, keepdims = true): Value =>
    this.reduce("ReduceMean", a, axes, keepdims);

  /** Shape from axis `start` to before axis `end`, an int64 vector. */
  shape(a: Value, start?: number, end?: number): Value {
    const attributes = [
      ...(start === undefined ? [] : [attribute.int("start", start)]),
      ...(end === undefined ? [] : [attribute.int("end", end)]),
    ];
    return this.emit("Shape", [a], { attributes });
  }

  /** Size of one axis, int64 [1]. */
  dim = (a: Value, axis: number): Value => this.shape(a, axis, axis === -1 ? undefined : axis + 1);

  /** Number of elements, an int64 scalar. */
  size = (a: Value): Value => this.emit("Size", [a]);

  reshape = (a: Value, shape: readonly number[] | Value): Value => this.emit("Reshape", [a, this.#axes(shape)]);
  /** Like reshape, but a size of 0 means 0, not the size the tensor has there. */
  reshapeTo = (a: Value, shape: Value): Value =>
    this.emit("Reshape", [a, shape], { attributes: [attribute.int("allowzero", 1)] });
  flat = (a: Value): Value => this.reshape(a, [-1]);
  expand = (a: Value, shape: Value): Value => this.emit("Expand", [a, shape]);
  squeeze = (a: Value, axes: readonly number[]): Value => this.emit("Squeeze", [a, this.ints(axes)]);
  unsqueeze = (a: Value, axes: readonly number[]): Value => this.emit("Unsqueeze", [a, this.ints(axes)]);
  /** What was transposed before is transposed once, from what it was. */
  transpose(a: Value, perm: readonly number[]): Value {
    const [from, axes] = transposedFrom(a) ?? [a, null];
    const whole = axes === null ? perm : perm.map((axis) => axes[axis] ?? axis);
    if (whole.every((axis, index) => axis === index)) return from;
    return this.emit("Transpose", [from], { attributes: [attribute.ints("perm", whole)] });
  }
  concat(values: readonly Value[], axis: number): Value {
    const [only] = values;
    if (only !== undefined && values.length === 1) return only;
    return this.emit("Concat", values, { attributes: [attribute.int("axis", axis)] });
  }
  /** A vector out of parts: numbers and int64 vectors. */
  vector(...parts: readonly (number | Value)[]): Value {
    return this.concat(
      parts.map((part) => (typeof part === "number" ? this.ints([part]) : part)),
      0,
    );
  }
  gather = (a: Value, indices: Value, axis: number): Value =>
    this.emit("Gather", [a, indices], { attributes: [attribute.int("axis", axis)] });
  gatherElements = (a: Value, indices: Value, axis: number): Value =>
    this.emit("GatherElements", [a, indices], { attributes: [attribute.int("axis", axis)] });

  /** `starts`, `ends` and `steps` are lists of one per axis of `axes`, or int64 vectors. */
  slice(
    a: Value,
    starts: readonly number[] | Value,
    ends: readonly number[] | Value,
    axes: readonly number[] | Value,
    steps: readonly number[] | Value | null = null,
  ): Value {
    const inputs = [a, this.#axes(starts), this.#axes(ends), this.#axes(axes)];
    return this.emit("Slice", steps === null ? inputs : [...inputs, this.#axes(steps)]);
  }

  /** Zeros of a shape. */
  zeros(shape: Value): Value {
    const { dtype } = this;
    const direct = dtype === DataType.double || dtype === DataType.int64 || dtype === DataType.int32;
    const zero = Tensor.scalar(direct ? dtype : DataType.float, 0);
    const value = new Tensor(zero.dtype, [1], zero.data);
    const made = this.emit("ConstantOfShape", [shape], { attributes: [attribute.tensor("value", value)] });
    return direct || dtype === DataType.float ? made : this.cast(made, dtype);
  }

  /** 0, 1, ..., limit - 1 as an int64 vector. @param limit an int64 scalar */
  range(limit: Value): Value {
    const int = this.typed(DataType.int64);
    return this.emit("Range", [int.number(0), limit, int.number(1)]);
  }

  /** Adds `updates` to zeros of `shape` where `indices` say along an axis; float16 goes through float32, which the operator needs. */
  scatterAdd(shape: Value, indices: Value, updates: Value, axis: number): Value {
    const isHalf = this.dtype === DataType.float16 || this.dtype === DataType.bfloat16;
    const wide = isHalf ? this.typed(DataType.float) : this;
    const added = wide.emit(
      "ScatterElements",
      [wide.zeros(shape), indices, isHalf ? this.cast(updates, DataType.float) : updates],
      { attributes: [attribute.string("reduction", "add"), attribute.int("axis", axis)] },
    );
    return isHalf ? this.cast(added, this.dtype) : added;
  }

  /**
   * Adds rows to zeros of `shape` along its first axis. Not by ScatterND: where an index comes twice, ONNX Runtime's CPU provider
   * loses sums on several threads.
   * @param indices int64, of any rank
   * @param rows their shape is that of `indices` and `shape` without its first axis
   */
  addRows(shape: Value, indices: Value, rows: Value): Value {
    const int = this.typed(DataType.int64);
    const count = int.slice(shape, [0], [1], [0]);
    const width = int.div(int.reduce("ReduceProd", shape, null), int.max(count, 1));
    const column = this.reshape(indices, [-1, 1]);
    const sizes = this.vector(this.dim(column, 0), width);
    const sum = this.scatterAdd(this.vector(count, width), this.expand(column, sizes), this.reshapeTo(rows, sizes), 0);
    return this.reshapeTo(sum, shape);
  }

  /** Sums `a` over the axes that broadcasting from `shape` to `a`'s shape added or stretched. */
  sumTo(a: Value, shape: Value): Value {
    const [axes] = this.broadcastAxes(shape, this.shape(a));
    return this.reshape(this.sum(a, axes), shape);
  }

  /** The axes over which gradients of operands of these shapes are summed, each an int64 vector. */
  broadcastAxes(a: Value, b: Value): readonly [Value, Value] {
    const int = this.typed(DataType.int64);
    const ranks = [int.shape(a), int.shape(b)] as const;
    const rank = int.max(...ranks);
    const [left, right] = mapTuple([a, b], (shape, index) => {
      const missing = int.sub(rank, ranks[index] ?? rank);
      return int.concat([int.expand(int.ints([1]), missing), shape], 0);
    });
    const differ = int.not(int.equal(left, right));
    const axesOf = (own: Value): Value => int.reshape(int.emit("NonZero", [int.and(int.equal(own, 1), differ)]), [-1]);
    return [axesOf(left), axesOf(right)];
  }

  /** A body for Scan or Loop: `make` gets its inputs. */
  body(
    name: string,
    inputs: readonly (readonly [hint: string, type: ValueType])[],
    make: (f: Formula, inputs: readonly Value[]) => readonly Value[],
  ): Graph {
    const values = inputs.map(([hint, type]) => this.build.input(`${name}/${hint}`, type));
    return this.build.graph(name, values, (build) => make(new Formula(build, this.opset, this.dtype), values));
  }

  #axes(values: readonly number[] | Value): Value {
    return values instanceof Value ? values : this.ints(values);
  }
}
