import { type Graph, type Node, Value } from "../../graph/graph.ts";
import type { Names } from "../../graph/names.ts";
import type { Tensor } from "../../graph/tensor.ts";
import { tensorType } from "../../graph/value-type.ts";
import { Builder } from "../../ops/builder.ts";

/** The initializers of a graph while they are given back the form they had in the program. */
export class GraphParameters {
  readonly graph: Graph;
  readonly #names: Names;
  readonly #byName: Map<string, Value>;
  readonly #first: Node | undefined;

  constructor(graph: Graph, names: Names) {
    this.graph = graph;
    this.#names = names;
    this.#byName = new Map(graph.initializers.map((value) => [value.name, value]));
    [this.#first] = graph.nodes;
  }

  find(name: string): Value | undefined {
    return this.#byName.get(name);
  }

  /** A parameter of the name, made where there is none; null where the name is that of another tensor. */
  ensure(name: string, tensor: Tensor): Value | null {
    const known = this.#byName.get(name);
    if (known !== undefined) return known.tensor !== null && isEqual(known.tensor, tensor) ? known : null;
    if (this.#names.fresh(name) !== name) return null;
    return this.#add(name, tensor);
  }

  /** A constant of the same elements as a parameter. */
  constant(name: string, tensor: Tensor): Value {
    return this.#add(this.#names.fresh(`${name}/constant`), tensor);
  }

  #add(name: string, tensor: Tensor): Value {
    const made = new Value(name, tensorType(tensor.dtype, tensor.dims));
    made.tensor = tensor;
    this.graph.initializers.push(made);
    this.#byName.set(name, made);
    return made;
  }

  /** What is computed from parameters alone, ahead of everything else. */
  compute(prefix: string, make: (build: Builder) => Value, like: Tensor): Value {
    const build = new Builder({ prefix, names: this.#names });
    const made = make(build);
    made.type = tensorType(like.dtype, like.dims);
    if (this.#first === undefined) this.graph.append(build.nodes);
    else this.graph.insertBefore(this.#first, build.nodes);
    return made;
  }

  /** Takes out initializers that nothing reads any more. */
  sweep(values: Iterable<Value>): void {
    const idle = new Set([...values].filter(({ isUsed }) => !isUsed));
    if (idle.size > 0) this.graph.replaceInitializers(this.graph.initializers.filter((value) => !idle.has(value)));
  }
}

function isEqual(a: Tensor, b: Tensor): boolean {
  if (a === b) return true;
  if (a.dtype !== b.dtype || a.dims.join() !== b.dims.join()) return false;
  const others = b.values();
  return a.values().every((value: number | bigint, index: number) => value === others[index]);
}
