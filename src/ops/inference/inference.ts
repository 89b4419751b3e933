import { PassError } from "../../errors.ts";
import { DataType } from "../../graph/data-type.ts";
import { describeNode, type Graph, type Node, type Value } from "../../graph/graph.ts";
import { subgraphsOf } from "../../graph/model.ts";
import type { Dimension, ValueType } from "../../graph/value-type.ts";
import { NodeView } from "../node-view.ts";
import { type OperatorName, operatorOf } from "../operators/index.ts";
import { requireSizes } from "../sizes-that-fit.ts";
import { type Content, MOST_ELEMENTS, sizeOf } from "./content.ts";
import { BODY_INPUTS } from "./control.ts";
import { elementsOf } from "./elements.ts";
import { INFERENCE_RULES } from "./table.ts";

/** What is known of one output: its type, and of small integer tensors (shapes, axes, sizes) the elements. */
export interface Inferred {
  readonly dtype: number;
  /** Null: not even the rank is known. */
  readonly shape: readonly Dimension[] | null;
  /** Elements in row-major order. */
  readonly content?: readonly Dimension[] | null;
}

/** Tells the outputs of one node from its inputs. Null: nothing is known of that output. */
export type InferenceRule = (call: InferenceCall) => readonly (Inferred | null)[];

/** A table of rules by operator. */
export type InferenceRows = readonly (readonly [op: OperatorName, rule: InferenceRule])[];

/** No model has tensors of more axes; one whose shape has more is asking for memory. */
const MOST_AXES = 64;

/** One node, with what is known of its inputs. */
export class InferenceCall extends NodeView {
  readonly #contents: ReadonlyMap<Value, readonly Dimension[]>;

  constructor(node: Node, opset: number, contents: ReadonlyMap<Value, readonly Dimension[]>) {
    super(node, opset);
    this.#contents = contents;
  }

  has = (index: number): boolean => (this.node.inputs[index] ?? null) !== null;

  dtype(index: number): number {
    const value = this.node.inputs[index];
    if (value?.type?.kind === "tensor") return value.type.dtype;
    return value?.tensor?.dtype ?? DataType.undefined;
  }

  rank = (index: number): number | null => this.shape(index)?.length ?? null;

  /** The elements of an integer input, where they are known. */
  content(index: number): readonly Dimension[] | null {
    const value = this.node.inputs[index];
    return value ? (this.#contents.get(value) ?? elementsOf(value.tensor)) : null;
  }

  /** The same with the shape, where both are known. */
  shaped(index: number): Content | null {
    const [elements, shape] = [this.content(index), this.shape(index)];
    const dims = shape?.filter((dim) => typeof dim === "number") ?? [];
    if (elements === null || shape === null || dims.length < shape.length) return null;
    return elements.length === sizeOf(dims) ? { dims, elements } : null;
  }

  /** The same; where the shape alone is known, with elements that are not. */
  shapedOrOpen(index: number): Content | null {
    const shape = this.shape(index);
    const dims = shape?.filter((dim) => typeof dim === "number") ?? [];
    if (shape === null || dims.length < shape.length) return null;
    return this.shaped(index) ?? { dims, elements: [] };
  }

  /** The elements of an input where every one is a number. */
  numbers(index: number): readonly number[] | null {
    const content = this.content(index);
    const numbers = content?.filter((each) => typeof each === "number") ?? [];
    return content !== null && numbers.length === content.length ? numbers : null;
  }

  /** The first input's type and shape. */
  same = (index = 0): Inferred => ({ dtype: this.dtype(index), shape: this.shape(index) });

  /**
   * A tensor of which the number of axes is known alone, or not even that.
   * @throws PassError `E_BUDGET` for more axes than a tensor can have
   */
  open(dtype: number, rank: number | null): Inferred {
    if (rank === null) return { dtype, shape: null };
    if (rank > MOST_AXES) throw this.#tooManyAxes(rank);
    return { dtype, shape: Array.from({ length: rank }, () => null) };
  }

  #tooManyAxes(rank: number): PassError {
    return new PassError(
      "E_BUDGET",
      `${describeNode(this.node)}: its result would have ${rank} axes, and no more than ${MOST_AXES} are taken`,
      { field: this.node.name, hint: "Correct the input that gives the shape." },
    );
  }

  /** The axes that an attribute (older opsets) or an input gives, none negative; null where they are not known. */
  axes(inputIndex: number, rank: number): readonly number[] | null {
    const given = this.ints("axes") ?? (this.has(inputIndex) ? this.numbers(inputIndex) : []);
    return given?.map((axis) => (axis < 0 ? axis + rank : axis)) ?? null;
  }
}

/**
 * Infers the types of a graph's values, where they are not declared, and follows shapes that the graph computes. Whatever it
 * cannot tell it leaves open: nothing is ever guessed.
 */
export class TypeInference {
  readonly #opset: number;
  readonly #contents = new Map<Value, readonly Dimension[]>();
  /** Names of sizes that the model's inputs leave open. */
  readonly #open = new Set<string>();

  constructor(opset: number) {
    this.#opset = opset;
  }

  /** The types of a model's graph. */
  graph(graph: Graph): void {
    for (const { type } of graph.inputs) {
      const sizes = type?.kind === "tensor" ? (type.shape ?? []) : [];
      for (const size of sizes) if (typeof size === "string") this.#open.add(size);
    }
    this.#within(graph);
  }

  #within(graph: Graph): void {
    this.initializers(graph);
    for (const node of graph) this.node(node);
  }

  /** The types of a graph's constants, for callers that go through its nodes themselves. */
  initializers(graph: Graph): void {
    for (const value of graph.initializers) {
      const { tensor } = value;
      if (tensor !== null) value.type ??= { kind: "tensor", dtype: tensor.dtype, shape: tensor.dims };
    }
    for (const { value, tensor } of graph.sparseInitializers) {
      if (tensor.values !== null) {
        value.type ??= { kind: "tensor", dtype: tensor.values.dtype, shape: tensor.dims };
      }
    }
  }

  node(node: Node): void {
    for (const inner of subgraphsOf(node)) {
      this.#enter(node, inner);
      this.#within(inner);
    }
    const rule = INFERENCE_RULES.get(operatorOf(node));
    const results = rule?.(new InferenceCall(node, this.#opset, this.#contents)) ?? [];
    for (const [index, output] of node.outputs.entries()) {
      const inferred = results[index];
      if (output === null || !inferred) continue;
      requireSizes(node, inferred.shape ?? []);
      output.type = merged(output.type, inferred, (size) => this.#isOfInputs(size));
      const { content } = inferred;
      if (content && content.length <= MOST_ELEMENTS) this.#contents.set(output, content);
    }
  }

  /** Whether a size is made of those that the inputs leave open, and of nothing else. */
  #isOfInputs(size: Dimension): boolean {
    const names = typeof size === "string" ? (size.match(/[A-Za-z_][\w.:]*\b(?!\()/g) ?? []) : [];
    return names.length > 0 && names.every((name) => this.#open.has(name));
  }

  /** Tells the inputs of a graph inside a node. */
  #enter(node: Node, inner: Graph): void {
    const rule = node.domain === "" ? BODY_INPUTS.get(node.opType) : undefined;
    const fed = rule?.(new InferenceCall(node, this.#opset, this.#contents)) ?? [];
    for (const [index, input] of inner.inputs.entries()) {
      const known = fed[index];
      if (known) input.type = merged(input.type, known, () => false);
    }
  }

  /** The elements of a shape that the graph computes, as far as they are known. */
  content(value: Value): readonly Dimension[] | null {
    return this.#contents.get(value) ?? elementsOf(value.tensor);
  }
}

/**
 * What is declared, with sizes filled in that were left open, and those that follow from open ones of the inputs: exporters write down what
 * they are for their example.
 */
function merged(
  declared: ValueType | null,
  { dtype, shape }: Inferred,
  isOfInputs: (size: Dimension) => boolean,
): ValueType | null {
  if (declared === null) return dtype === DataType.undefined ? null : { kind: "tensor", dtype, shape };
  if (declared.kind !== "tensor" || shape === null) return declared;
  if (declared.shape === null) return { ...declared, shape };
  if (declared.shape.length !== shape.length) return declared;
  const filled = declared.shape.map((dim, axis) =>
    typeof dim === "number" && !isOfInputs(shape[axis] ?? null) ? dim : (shape[axis] ?? dim),
  );
  return filled.every((dim, axis) => dim === declared.shape?.[axis]) ? declared : { ...declared, shape: filled };
}
