import { GradientError, type OnnxAgrError } from "../errors.ts";
import { DataType, isGradientType } from "../graph/data-type.ts";
import { describeNode, type Graph, type Node, type Value } from "../graph/graph.ts";
import { valuesReadBy } from "../graph/model.ts";
import type { Names } from "../graph/names.ts";
import { Builder } from "../ops/builder.ts";
import { elementTypeOf } from "../ops/element-type.ts";
import { Formula } from "../ops/formula.ts";
import type { TypeInference } from "../ops/inference/inference.ts";
import { operatorOf } from "../ops/operators/index.ts";
import { requireSizesOf } from "../ops/sizes-that-fit.ts";
import { shapeOf } from "../ops/value-types.ts";
import { unknownAttribute } from "./attributes.ts";
import { unbroadcast } from "./broadcast.ts";
import { Backward, type GradientEntry, type GradientRule, type Inner, type Successor } from "./rule.ts";
import { GRADIENT_RULES } from "./table.ts";

export interface DifferentiateOptions {
  readonly names: Names;
  readonly opset: number;
  /** Has seen the graph; sees every node that is added. */
  readonly types: TypeInference;
  /** Values whose gradient is not followed to what they are made of. Default: none. */
  readonly constants?: ReadonlySet<Value>;
  /** Goes back through operators that round, by straight-through estimation. Default false: they are refused. */
  readonly straightThrough?: boolean;
  /** Default: all rules there are. */
  /** Why nodes without a rule were not written in operators that have one. */
  readonly refusals?: ReadonlyMap<Node, OnnxAgrError>;
  readonly table?: ReadonlyMap<string, GradientEntry>;
}

/**
 * Reverse-mode differentiation: appends to the graph what computes the gradient of a scalar with respect to some values. Nodes
 * are named after the forward node whose gradient they are part of.
 * @param of a value of one element
 * @param wrt inputs, initializers or intermediate values
 * @returns their gradients, of their shapes; nothing for those that `of` does not depend on
 * @throws GradientError `E_NO_GRADIENT_RULE` where a rule is missing on the way, naming the way; `E_NO_GRADIENT` where a node
 *   has a rule but not with its attributes; `E_NO_SHAPE` where a rank must be known
 */
export function differentiate(
  graph: Graph,
  of: Value,
  wrt: readonly Value[],
  options: DifferentiateOptions,
): ReadonlyMap<Value, Value> {
  return new Differentiation(graph, wrt, options).run(new Map([[of, null]]));
}

const isReal = (value: Value): boolean => isGradientType(elementTypeOf(value));

/** What is made of whole numbers, also by an operator whose results have no known type. */
const isWhole = (value: Value): boolean => !isReal(value);

/** A gradient that were left out would be wrong in silence. */
const unruled = (index: number, { name }: Value): string =>
  `there is no rule for its input ${index}, "${name}", which depends on what is trained`;

class Differentiation {
  readonly #graph: Graph;
  readonly #options: DifferentiateOptions;
  readonly #table: ReadonlyMap<string, GradientEntry>;
  /** What depends on the values asked for, and is of a type that gradients have. */
  readonly #dependent: ReadonlySet<Value>;
  readonly #wrt: readonly Value[];
  readonly #contributions = new Map<Value, Value[]>();
  readonly #emitted: Node[] = [];

  constructor(graph: Graph, wrt: readonly Value[], options: DifferentiateOptions) {
    this.#graph = graph;
    this.#wrt = wrt;
    this.#options = options;
    this.#table = options.table ?? GRADIENT_RULES;
    this.#dependent = this.#findDependent();
  }

  #findDependent(): ReadonlySet<Value> {
    const dependent = new Set<Value>(this.#wrt);
    for (const node of this.#graph) {
      if (this.#entryOf(node) === "zero" || !valuesReadBy(node).some((value) => dependent.has(value))) continue;
      const carries = this.#carries(node, dependent);
      for (const [index, output] of node.outputs.entries()) {
        if (output === null || this.#options.constants?.has(output)) continue;
        /** What has no type may be a number: a gradient that were left out would be wrong in silence. */
        if (output.type === null || carries(output, index)) dependent.add(output);
      }
    }
    return dependent;
  }

  /** Which outputs of a node have a gradient: reals, and integers that stand for them. */
  #carries(node: Node, dependent: ReadonlySet<Value>): (output: Value, index: number) => boolean {
    const entry = this.#entryOf(node);
    /** The scale that a quantization finds is taken for a constant. */
    if (entry !== "zero" && entry?.isEstimate === true) return (_, index) => index === 0;
    const readsIntegers = valuesReadBy(node).some((value) => dependent.has(value) && isWhole(value));
    return (output) => readsIntegers || isReal(output);
  }

  #entryOf(node: Node): GradientEntry | undefined {
    return this.#table.get(operatorOf(node));
  }

  /** @param seeds values with their gradients; null stands for one */
  run(seeds: ReadonlyMap<Value, Value | null>): ReadonlyMap<Value, Value> {
    const forward = this.#graph.nodes;
    for (const [value, seed] of seeds) {
      if (this.#dependent.has(value)) this.#contributions.set(value, [seed ?? this.#one(value)]);
    }
    for (const node of forward.toReversed()) this.#visit(node);
    const results = this.#wrt.flatMap((value): [Value, Value][] => {
      const gradient = this.#gradientOf(value);
      return gradient === null ? [] : [[value, gradient]];
    });
    this.#graph.append(this.#emitted);
    return new Map(results);
  }

  #one(value: Value): Value {
    return this.#write(`${value.name}/grad`, elementTypeOf(value), (f) => {
      const one = f.number(1);
      const dims = value.type?.kind === "tensor" ? value.type.shape : null;
      return dims !== null && dims.length > 0 ? f.expand(one, f.shape(value)) : one;
    });
  }

  /** The sum of what flowed back to a value; it is added up once. */
  #gradientOf(value: Value): Value | null {
    const parts = this.#contributions.get(value) ?? [];
    const [first] = parts;
    if (first === undefined) return null;
    if (parts.length === 1) return first;
    const sum = this.#write(`${value.name}/grad`, elementTypeOf(isReal(value) ? value : first), (f) =>
      parts.length === 2 ? f.emit("Add", parts) : f.emit("Sum", parts),
    );
    sum.type = isReal(value) ? value.type : first.type;
    this.#contributions.set(value, [sum]);
    return sum;
  }

  #visit(node: Node): void {
    const gradients = node.outputs.map((output) => (output === null ? null : this.#gradientOf(output)));
    if (gradients.every((gradient) => gradient === null)) return;
    if (!valuesReadBy(node).some((value) => this.#dependent.has(value))) return;
    const entry = this.#entryOf(node);
    if (entry === "zero") return;
    if (entry === undefined) {
      this.#refuseIntegers(node);
      throw this.#missing(node);
    }
    if (entry.isEstimate !== true) this.#refuseIntegers(node);
    this.#apply(node, entry, gradients);
  }

  #apply(node: Node, rule: GradientRule, gradients: readonly (Value | null)[]): void {
    const [first = null] = node.outputs;
    const name = node.name || first?.name || node.opType;
    const reference = gradients.find((gradient) => gradient !== null) ?? null;
    const output = reference === null ? null : (node.outputs[gradients.indexOf(reference)] ?? reference);
    const typed = output !== null && isReal(output) ? output : reference;
    const dtype = typed === null ? DataType.float : elementTypeOf(typed);
    this.#write(`${name}/grad`, dtype, (f) => {
      const isWanted = (value: Value): boolean => this.#dependent.has(value);
      const backward = new Backward(f, node, gradients, isWanted, this.#options.types, (make) =>
        this.#giveWay(node, name, dtype, make),
      );
      const unknown = unknownAttribute(node);
      if (unknown !== null) throw backward.refuse(unknown);
      if (rule.isEstimate === true) this.#requireEstimates(node);
      const results = requireSizesOf(node, () => rule.gradient(backward));
      for (const [index, input] of node.inputs.entries()) {
        if (input === null || !isWanted(input)) continue;
        const gradient = results[index];
        if (gradient === undefined && rule.captured === undefined && isReal(input))
          throw backward.refuse(unruled(index, input));
        if (!gradient) continue;
        const fitted =
          rule.broadcasts === true ? unbroadcast(f, gradient, shapeOf(first ?? gradient), input) : gradient;
        this.#contribute(input, fitted);
      }
      for (const [value, gradient] of rule.captured?.(backward, this.#inner) ?? []) this.#contribute(value, gradient);
      return null;
    });
  }

  #giveWay<Made>(node: Node, prefix: string, dtype: number, make: (f: Formula) => Successor<Made>): Made {
    const { names, opset, types } = this.#options;
    const build = new Builder({ prefix, names, onEmit: (each) => types.node(each) });
    const { made, outputs } = make(new Formula(build, opset, dtype));
    this.#graph.insertBefore(node, build.nodes);
    for (const [index, old] of node.outputs.entries()) {
      const next = outputs[index];
      if (old === null || next === undefined) continue;
      next.type = old.type ?? next.type;
      old.replaceAllUsesWith(next);
      const { name } = old;
      old.name = names.fresh(name);
      next.name = name;
    }
    return made;
  }

  #requireEstimates(node: Node): void {
    if (this.#options.straightThrough === true) return;
    throw new GradientError("E_NO_GRADIENT", `${describeNode(node)} has no gradient: it is of a quantization`, {
      field: node.name,
      hint: "Train through the quantization with --qat (straight-through estimation), or freeze the parameters before it.",
    });
  }

  #refuseIntegers(node: Node): void {
    const read = valuesReadBy(node).find((value) => this.#dependent.has(value) && isWhole(value));
    if (read === undefined) return;
    throw new GradientError(
      "E_NO_GRADIENT",
      `${describeNode(node)} has no gradient: it reads quantized numbers, which DequantizeLinear alone may`,
      {
        field: read.name,
        hint: "Quantize the model with pairs of QuantizeLinear and DequantizeLinear (QuantFormat.QDQ of onnxruntime.quantization), or train the model as it was before, and quantize it again.",
      },
    );
  }

  #contribute(value: Value, gradient: Value): void {
    if (isReal(value)) gradient.type ??= value.type;
    const parts = this.#contributions.get(value);
    if (parts === undefined) this.#contributions.set(value, [gradient]);
    else parts.push(gradient);
  }

  get #inner(): Inner {
    const { names, types } = this.#options;
    return {
      names,
      differentiate: (graph, seeds, wrt) => {
        /** The graph is a copy, of whose constants nothing is known yet. */
        types.graph(graph);
        return new Differentiation(graph, wrt, this.#options).run(seeds);
      },
    };
  }

  /** Runs `emit` with a formula whose nodes are named below `prefix`; they are appended at the end. */
  #write<T extends Value | null>(prefix: string, dtype: number, emit: (f: Formula) => T): T {
    const { names, opset, types } = this.#options;
    const build = new Builder({ prefix, names, onEmit: (node) => types.node(node) });
    const result = emit(new Formula(build, opset, dtype));
    for (const node of build.nodes) this.#emitted.push(node);
    return result;
  }

  #missing(node: Node): OnnxAgrError {
    const refusal = this.#options.refusals?.get(node);
    if (refusal !== undefined) return refusal;
    const way = [node, ...this.#wayToSource(node)];
    const source = this.#wrt.find((value) => way.at(-1)?.inputs.includes(value) ?? false);
    const op = operatorOf(node);
    return new GradientError(
      "E_NO_GRADIENT_RULE",
      `there is no gradient rule for ${op} (${describeNode(node)}), on the way from the loss to "${source?.name ?? "?"}": ` +
        way.map(({ opType, name }) => name || opType).join(" <- "),
      {
        field: node.name,
        hint: `Freeze ${source === undefined ? "the parameters before it" : `"${source.name}"`}, or export the model without ${op}.`,
      },
    );
  }

  /** Nodes from one back to a value that gradients were asked for. */
  #wayToSource(from: Node): readonly Node[] {
    const way: Node[] = [];
    for (let node: Node | null = from; node !== null; ) {
      const read: readonly Value[] = valuesReadBy(node).filter((value) => this.#dependent.has(value));
      if (read.some((value) => this.#wrt.includes(value))) break;
      node = read.find(({ producer }) => producer !== null)?.producer ?? null;
      if (node !== null) way.push(node);
    }
    return way;
  }
}
