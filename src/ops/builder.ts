import { type Attribute, attribute } from "../graph/attribute.ts";
import { Graph, Node, type NodeInit, Value } from "../graph/graph.ts";
import type { GraphFunction } from "../graph/model.ts";
import type { Names } from "../graph/names.ts";
import type { Tensor } from "../graph/tensor.ts";
import { type Several, several } from "../tuples.ts";
import type { OperatorName } from "./operators/index.ts";

export interface BuilderOptions {
  /** Put before the hint of every node and value name, as `prefix/hint`. */
  readonly prefix: string;
  readonly names: Names;
  /** Written on every node; needs IR 10. */
  readonly metadata?: ReadonlyMap<string, string>;
  /** Sees every node as it is made. */
  readonly onEmit?: (node: Node) => void;
}

export interface EmitOptions extends Omit<NodeInit, "domain"> {
  /** Last part of the node's name. Default: the operator. */
  readonly hint?: string;
}

type Called = Pick<Node, "domain" | "opType">;

function splitOperator(operator: OperatorName): Called {
  const end = operator.lastIndexOf(".");
  return { domain: operator.slice(0, Math.max(0, end)), opType: operator.slice(end + 1) };
}

/** Emits nodes into a list, naming each after its place and purpose. */
export class Builder {
  readonly nodes: Node[] = [];
  readonly #options: BuilderOptions;

  constructor(options: BuilderOptions) {
    this.#options = options;
  }

  /** A builder whose names lie below `part` and whose nodes go into their own list. */
  within(part: string): Builder {
    return new Builder({ ...this.#options, prefix: `${this.#options.prefix}/${part}` });
  }

  /** One node with one output. @param operator those of other domains as `domain.operator` */
  emit(operator: OperatorName, inputs: readonly (Value | null)[], options: EmitOptions = {}): Value {
    return this.#one(splitOperator(operator), inputs, options);
  }

  /** One node with `count` outputs. */
  emitAll<N extends number>(
    operator: OperatorName,
    inputs: readonly (Value | null)[],
    count: N,
    options: EmitOptions = {},
  ): Several<Value, N> {
    const outputs = Array.from({ length: count }, () => new Value(""));
    const name = this.#add(splitOperator(operator), inputs, outputs, options);
    for (const [index, output] of outputs.entries()) output.name = `${name}:${index}`;
    return several(outputs, count);
  }

  /** One node of the same operator, with the same attributes, of other inputs. */
  again(
    node: Node,
    inputs: readonly (Value | null)[],
    attributes: readonly Attribute[] = [...node.attributes.values()],
  ): Value {
    return this.#one(node, inputs, { attributes });
  }

  /** One node that calls a function of the model, or an operator of a runtime's own that has no row in the tables. */
  call(
    called: Pick<GraphFunction, "domain" | "name">,
    inputs: readonly (Value | null)[],
    options: EmitOptions = {},
  ): Value {
    return this.#one({ domain: called.domain, opType: called.name }, inputs, options);
  }

  #one(called: Called, inputs: readonly (Value | null)[], options: EmitOptions): Value {
    const output = new Value("");
    output.name = `${this.#add(called, inputs, [output], options)}:out`;
    return output;
  }

  /** @returns the node's name */
  #add(called: Called, inputs: readonly (Value | null)[], outputs: Value[], options: EmitOptions): string {
    const { domain, opType } = called;
    const { hint = opType, ...init } = options;
    const name = this.#options.names.fresh(`${this.#options.prefix}/${hint}`);
    const metadata = this.#options.metadata ?? new Map<string, string>();
    const node = new Node(opType, inputs, outputs, { ...init, domain, name, metadata });
    this.nodes.push(node);
    this.#options.onEmit?.(node);
    return name;
  }

  constant(tensor: Tensor, hint = "Constant"): Value {
    return this.emit("Constant", [], { hint, attributes: [attribute.tensor("value", tensor)] });
  }

  cast(value: Value, to: number): Value {
    return this.emit("Cast", [value], { attributes: [attribute.int("to", to)] });
  }

  /** Sum over `axes` (an int64 vector; null: over all). `axes` became an input in opset 13; older graphs take all axes only. */
  reduceSum(value: Value, axes: Value | null, keepdims: boolean): Value {
    const inputs = axes === null ? [value] : [value, axes];
    return this.emit("ReduceSum", inputs, { attributes: [attribute.int("keepdims", keepdims ? 1 : 0)] });
  }

  /** A graph of its own (a body of If or SequenceMap) that `build` fills; its nodes may read values from outside. */
  graph(name: string, inputs: readonly Value[], build: (body: Builder) => readonly Value[]): Graph {
    const body = this.within(name);
    const graph = new Graph(name);
    graph.inputs.push(...inputs);
    const outputs = build(body);
    graph.append(body.nodes);
    for (const value of outputs) graph.addOutput(value);
    return graph;
  }

  /** A name for a value that no node makes: an input of a body graph. */
  input(hint: string, type: Value["type"]): Value {
    return new Value(this.#options.names.fresh(`${this.#options.prefix}/${hint}`), type);
  }
}
