import { GradientError } from "../errors.ts";
import { describeNode, type Graph, type Node, type Value } from "../graph/graph.ts";
import type { Names } from "../graph/names.ts";
import type { Formula } from "../ops/formula.ts";
import type { TypeInference } from "../ops/inference/inference.ts";
import { NodeView } from "../ops/node-view.ts";
import type { OperatorName } from "../ops/operators/index.ts";
import { SizeMath } from "../ops/sizes.ts";
import { unknownShapeOf } from "../ops/unknown-shape.ts";
import { shapeOf } from "../ops/value-types.ts";

/**
 * Gradients of a node's inputs, one entry per input. null: none flows there. An input that is left out has no rule: where it depends on
 * what is trained, the node is refused.
 */
export type InputGradients = readonly (Value | null)[];

/** How the gradient of one operator is written in standard operators. */
export interface GradientRule {
  /** Where the formula comes from, where it does not follow from the operator's definition by calculus. */
  readonly source?: string;
  /** The operator broadcasts its inputs: gradients come in the output's shape, and the engine sums them to each input's. */
  readonly broadcasts?: true;
  /** The operator rounds, and the gradient is that of what it rounds, which must be asked for. What it gives carries one whatever its type. */
  readonly isEstimate?: true;
  readonly gradient: (b: Backward) => InputGradients;
  /** Gradients of what the graphs inside the node read from around it. */
  readonly captured?: (b: Backward, inner: Inner) => ReadonlyMap<Value, Value>;
}

/** How a rule goes back through a graph inside its node. */
export interface Inner {
  readonly names: Names;
  /**
   * Appends to the graph what computes the gradients of some values.
   * @param seeds the gradients of the graph's outputs
   */
  readonly differentiate: (
    graph: Graph,
    seeds: ReadonlyMap<Value, Value>,
    wrt: readonly Value[],
  ) => ReadonlyMap<Value, Value>;
}

/** Nodes in the place of a forward node: what they make, and what takes the place of the node's outputs. */
export interface Successor<Made> {
  readonly made: Made;
  /** One per output of the node, in their order. */
  readonly outputs: readonly Value[];
}

/** Puts what is emitted before the node, and its outputs in the place of the node's. */
export type GiveWay = <Made>(make: (f: Formula) => Successor<Made>) => Made;

/** `zero`: the operator is flat or makes no number of its inputs, so that no gradient passes. */
export type GradientEntry = GradientRule | "zero";

/** Rules by operator; those of other domains as `domain.operator`. */
export type GradientTable = Readonly<Partial<Record<OperatorName, GradientEntry>>>;

/** A node with the gradients of its outputs, and what rules write their formulas with. */
export class Backward extends NodeView {
  readonly f: Formula;
  readonly sizes: SizeMath;
  readonly #gradients: readonly (Value | null)[];
  readonly #wanted: (value: Value) => boolean;
  readonly #types: TypeInference;
  /** Lets other nodes compute the node's outputs, where these make what the gradient needs. The node is left without uses. */
  readonly giveWay: GiveWay;

  constructor(
    f: Formula,
    node: Node,
    gradients: readonly (Value | null)[],
    wanted: (value: Value) => boolean,
    types: TypeInference,
    giveWay: GiveWay,
  ) {
    super(node, f.opset);
    this.f = f;
    this.sizes = new SizeMath(f);
    this.#gradients = gradients;
    this.#wanted = wanted;
    this.#types = types;
    this.giveWay = giveWay;
  }

  /** The gradient of the first output; zeros where only others have one. */
  get dy(): Value {
    return this.#gradients[0] ?? this.f.zeros(this.f.shape(this.output(0)));
  }

  /** The gradient of an output; null where it has none. */
  dyOf = (index: number): Value | null => this.#gradients[index] ?? null;

  /** Whether a gradient of this value is of use. */
  isWanted = (value: Value): boolean => this.#wanted(value);

  /** Whether a gradient of this input is of use. Only worth asking where one is costly or impossible. */
  wants(index: number): boolean {
    const value = this.node.inputs[index];
    return value !== undefined && value !== null && this.#wanted(value);
  }

  /** The number of axes of an input. @throws GradientError `E_NO_SHAPE` where the model does not tell it */
  rank(index: number): number {
    const rank = shapeOf(this.input(index))?.length;
    if (rank !== undefined) return rank;
    const { reason, hint } = unknownShapeOf(this.input(index));
    throw new GradientError("E_NO_SHAPE", `${describeNode(this.node)}: ${reason}`, {
      field: this.input(index).name,
      hint,
    });
  }

  /** The elements of an integer input (axes, pads, ...), where they are constant; null where it is left out. */
  constants(index: number): readonly number[] | null {
    const value = this.optional(index);
    if (value === null) return null;
    const content = this.#types.content(value);
    const numbers = content?.filter((each) => typeof each === "number") ?? [];
    if (content !== null && numbers.length === content.length) return numbers;
    throw this.refuse(`its input ${index}, "${value.name}", is not a constant`);
  }

  /** The same, or null where it is not constant. */
  constantsOrNull(index: number): readonly number[] | null {
    const content = this.#types.content(this.input(index));
    const numbers = content?.filter((each) => typeof each === "number") ?? [];
    return numbers.length === content?.length ? numbers : null;
  }

  /** An axis, not negative. */
  axis(rank = this.rank(0)): number {
    const axis = this.int("axis");
    return axis < 0 ? axis + rank : axis;
  }

  /** Axes that an attribute (older opsets) or an input gives, not negative; null where none are given. */
  axes(input: number, rank: number): readonly number[] | null {
    const given = this.ints("axes") ?? this.constants(input);
    return given?.map((axis) => (axis < 0 ? axis + rank : axis)) ?? null;
  }

  refuse = (reason: string): GradientError =>
    new GradientError("E_NO_GRADIENT", `${describeNode(this.node)} has no gradient: ${reason}`, {
      field: this.node.name,
      hint: "Freeze the parameters before it, or export the model without it.",
    });
}
