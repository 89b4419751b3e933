import type { Attribute } from "../../graph/attribute.ts";
import { isGradientType } from "../../graph/data-type.ts";
import type { Graph, Node, Value } from "../../graph/graph.ts";
import { elementTypeOf } from "../../ops/element-type.ts";
import type { TypeInference } from "../../ops/inference/inference.ts";
import { NodeView } from "../../ops/node-view.ts";
import { dimsOf, known } from "../../ops/value-types.ts";
import { isReplicated, isSharded, type Placement, piece, type Sharded } from "./placement.ts";

/** What a node does in a part of a batch. */
export interface Placed {
  readonly outputs: readonly Placement[];
  /** Where inputs have to lie that every part has all of, for a node to work on pieces. Null, or left out: as they do. */
  readonly inputs?: readonly (Placement | null)[];
  /** Inputs that say sizes, as they are for a piece. */
  readonly sizes?: ReadonlyMap<number, readonly number[]>;
  readonly attributes?: readonly Attribute[];
  /** What else has to be done. */
  readonly edit?: () => void;
}

/** Says what a node does with its inputs where they lie; null where a part of them does not do. */
export type ShardingRule = (call: ShardCall) => Placed | null;

/** How a graph inside a node lies, and what makes it so. */
export interface PlacedBody {
  readonly outputs: readonly Placement[];
  readonly edit: () => void;
}

export interface ShardCallInit {
  readonly opset: number;
  readonly count: number;
  readonly placements: readonly Placement[];
  readonly types: TypeInference;
  readonly body: (graph: Graph, inputs: readonly Placement[]) => PlacedBody | null;
}

/** A node whose inputs lie somewhere. */
export class ShardCall extends NodeView {
  /** How many parts there are. */
  readonly count: number;
  /** Of each input; what is left out is replicated. */
  readonly placements: readonly Placement[];
  readonly body: ShardCallInit["body"];
  readonly #types: TypeInference;

  constructor(node: Node, { opset, count, placements, types, body }: ShardCallInit) {
    super(node, opset);
    this.#types = types;
    this.count = count;
    this.placements = placements;
    this.body = body;
  }

  placement = (index: number): Placement | null => this.placements[index] ?? null;

  /** Where an input lies, if it lies in pieces. */
  sharded(index: number): Sharded | null {
    const found = this.placement(index);
    return found !== null && isSharded(found) ? found : null;
  }

  /** Whether an input is left out, or every part has all of it. */
  isReplicated(index: number): boolean {
    const found = this.placement(index);
    return found === null || isReplicated(found);
  }

  /** Whether every input from this one on is left out or replicated. */
  areReplicatedFrom = (index: number): boolean => this.placements.slice(index).every(isReplicated);

  /** The whole sizes of an input; null where they are not known. */
  dims(index: number): readonly number[] | null {
    const value = this.optional(index);
    return value === null ? null : dimsOfValue(value);
  }

  /** Null also where the node leaves the output out. */
  outputDims(index = 0): readonly number[] | null {
    const value = this.node.outputs[index] ?? null;
    return value === null ? null : dimsOfValue(value);
  }

  /** Whether the first output has numbers with a point. */
  isFloating = (): boolean => isGradientType(elementTypeOf(this.output(0)));

  /** The sizes of a piece of an output; null where there are no equal pieces. */
  pieceOf(placement: Placement, index = 0): readonly number[] | null {
    const dims = this.outputDims(index);
    return dims === null ? null : piece(dims, placement, this.count);
  }

  /** The elements of an input that is a constant, or of few whole numbers that are told from sizes. */
  numbers(index: number): readonly number[] | null {
    const value = this.optional(index);
    const constant = this.constant(index);
    if (value === null) return null;
    if (constant !== null) return Array.from(constant.values(), Number);
    const content = this.#types.content(value);
    return content?.every((each) => typeof each === "number") ? content : null;
  }

  /** Axes that an attribute or a constant input gives, none negative; null where they are not known or not given. */
  axesGiven(index: number, rank: number): readonly number[] | null {
    const given = this.ints("axes") ?? this.numbers(index);
    return given?.map((axis) => (axis < 0 ? axis + rank : axis)) ?? null;
  }

  /** An axis that an attribute gives, not negative. */
  axis = (rank: number): number => axisOf(this, rank);
}

/** The axis that an attribute of a node gives, not negative. */
export function axisOf(view: NodeView, rank: number): number {
  const axis = view.int("axis");
  return axis < 0 ? axis + rank : axis;
}

export const dimsOfValue = (value: Value): readonly number[] | null => value.tensor?.dims ?? known(dimsOf(value));

/** One output that lies somewhere. */
export const lies = (placement: Placement | null, more: Omit<Placed, "outputs"> = {}): Placed | null =>
  placement === null ? null : { outputs: [placement], ...more };
