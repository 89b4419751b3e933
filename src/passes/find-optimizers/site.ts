import type { Graph, Node, Value } from "../../graph/graph.ts";
import type { Model } from "../../graph/model.ts";

/** The edge AGR goes on: input `input` of an optimizer node, as a whole sequence of gradients or as one tensor. */
export interface GradientEdge {
  readonly node: Node;
  readonly input: number;
  readonly value: Value;
  readonly form: "sequence" | "tensor";
  /** Element type of the gradients. */
  readonly dtype: number;
}

/** An optimizer found in a model. */
export interface OptimizerSite {
  /** The dialect that recognised it. */
  readonly dialect: string;
  readonly graph: Graph;
  /** The name to select it by: the optimizer node's name, or its first output's where it has none. */
  readonly name: string;
  /** Operator type, as `com.microsoft.AdamWOptimizer`. */
  readonly optimizer: string;
  readonly edges: readonly GradientEdge[];
}

/** Why a node that looked like an optimizer was not taken for one. */
export interface Refusal {
  readonly dialect: string;
  readonly at: string;
  readonly reason: string;
}

export interface Found {
  readonly sites: readonly OptimizerSite[];
  readonly refusals: readonly Refusal[];
}

/** One way optimizers are exported. */
export interface Dialect {
  readonly name: string;
  /** What it looks for, for people: printed when nothing was found. */
  readonly looksFor: string;
  readonly find: (model: Model) => Found;
}
