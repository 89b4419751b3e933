import type { Graph, Node, Use, Value } from "../../graph/graph.ts";
import type { Model } from "../../graph/model.ts";

/** The parameter an edge belongs to. Its shape is null where the graph does not tell it. */
export interface EdgeParameter {
  readonly name: string;
  readonly shape: readonly number[] | null;
}

/** A layer's part of a parameter that is one vector of all layers. */
export interface EdgeLayer {
  /** Its first element. */
  readonly start: number;
  readonly size: number;
  readonly shape: readonly number[];
}

/** What is added to a parameter, or (`sign` -1) taken from it, but for a factor that all terms share. */
export interface UpdateTerm {
  readonly value: Value;
  /** Where it is read on its way to the parameter. */
  readonly use: Use;
  readonly sign: 1 | -1;
}

/** What an optimizer does to one parameter, apart from weight decay; or why that is not known. */
export type Update =
  | {
      /** The last that is added first. */
      readonly terms: readonly UpdateTerm[];
      /** The renewed parameter, before it is made float16. */
      readonly renewal: Value;
    }
  | {
      readonly reason: string;
      /** The update is the gradient itself, but for factors. */
      readonly isGradient?: true;
    };

/** A gradient on its way into an optimizer: one tensor, or a sequence of all of them. */
export interface GradientEdge {
  readonly value: Value;
  /** What reads it in order to update the parameter; whoever else reads it is not the optimizer. */
  readonly uses: readonly Use[];
  readonly kind: "sequence" | "tensor";
  /** Element type of the gradient or gradients. */
  readonly dtype: number;
  /** Null for a sequence: its elements' parameters are not known. */
  readonly parameter: EdgeParameter | null;
  /** Where the parameter is one vector: the layers in it, which cover it, in their order. Each is regularized by itself. */
  readonly layers?: readonly EdgeLayer[];
  /** Looks for the update that the gradient leads to. Absent where an operator holds it. */
  readonly update?: () => Update;
}

/** An optimizer found in a model. */
export interface OptimizerSite {
  /** The dialect that recognised it. */
  readonly dialect: string;
  readonly graph: Graph;
  /** The name to select it by. */
  readonly name: string;
  /** Operator type, as `com.microsoft.AdamWOptimizer`. */
  readonly optimizer: string;
  readonly edges: readonly GradientEdge[];
  /** The input that takes the learning rate, as float[1], where the dialect has such an input. */
  readonly learningRate: { readonly node: Node; readonly input: number } | null;
}

/** Why a node that looked like an optimizer was not taken for one. */
export interface Refusal {
  readonly dialect: string;
  readonly node: Node | null;
  /** What it is about, for people. */
  readonly at: string;
  readonly reason: string;
  /** The parameter that stays without its optimizer, where that is what it is about. */
  readonly parameter?: EdgeParameter;
}

export interface Found {
  readonly sites: readonly OptimizerSite[];
  readonly refusals: readonly Refusal[];
}

/** What a person can say about a graph that does not tell it itself. Only `plain-step` asks. */
export interface FindOptions {
  /** `input=output`: which output renews which state input. */
  readonly state?: readonly string[];
  /** `tensor=parameter`: which tensor is a parameter's gradient. */
  readonly gradient?: readonly string[];
  /** Which state inputs are parameters. Default: those that the loss depends on. */
  readonly trainable?: readonly string[];
  /** Whether gradients that are outputs for the user become g' too. Default `raw`. */
  readonly reported?: "raw" | "regularized";
}

/** One way optimizers are exported. */
export interface Dialect {
  readonly name: string;
  /** What it looks for, for people: printed when nothing was found. */
  readonly looksFor: string;
  readonly find: (model: Model, options: FindOptions) => Found;
}

/** The node's name, or its first output's where it has none. */
export function nodeName(node: Node): string {
  return node.name || (node.outputs.find((output) => output !== null)?.name ?? node.opType);
}
