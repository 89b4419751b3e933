import { attribute } from "../graph/attribute.ts";
import { Graph, Node, type NodeInit, Value } from "../graph/graph.ts";
import type { Names } from "../graph/names.ts";
import type { Tensor } from "../graph/tensor.ts";

export interface BuilderOptions {
  /** Put before the hint of every node and value name, as `prefix/hint`. */
  readonly prefix: string;
  readonly names: Names;
  /** Written on every node; needs IR 10. */
  readonly metadata?: ReadonlyMap<string, string>;
  /** Sees every node as it is made. */
  readonly onEmit?: (node: Node) => void;
}

export interface EmitOptions extends NodeInit {
  /** Last part of the node's name. Default: the operator. */
  readonly hint?: string;
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

  /** One node with one output. */
  emit(opType: string, inputs: readonly (Value | null)[], options: EmitOptions = {}): Value {
    const output = new Value("");
    output.name = `${this.#add(opType, inputs, [output], options)}:out`;
    return output;
  }

  /** One node with `count` outputs. */
  emitAll(opType: string, inputs: readonly (Value | null)[], count: number, options: EmitOptions = {}): Value[] {
    const outputs = Array.from({ length: count }, () => new Value(""));
    const name = this.#add(opType, inputs, outputs, options);
    for (const [index, output] of outputs.entries()) output.name = `${name}:${index}`;
    return outputs;
  }

  /** @returns the node's name */
  #add(opType: string, inputs: readonly (Value | null)[], outputs: Value[], options: EmitOptions): string {
    const { hint = opType, ...init } = options;
    const name = this.#options.names.fresh(`${this.#options.prefix}/${hint}`);
    const metadata = this.#options.metadata ?? new Map<string, string>();
    const node = new Node(opType, inputs, outputs, { ...init, name, metadata });
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
