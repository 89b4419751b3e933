import { Tensor } from "onnxruntime-node";
import { model, Sketch, tensor } from "../../fixtures/sketch.ts";
import { type Attribute, DataType, GraphTensor } from "../../src/entries/graph.ts";
import type { StepModel } from "../../src/passes/portable/step-model.ts";
import type { Feeds } from "./sharded-parts.ts";

type Shape = readonly number[];

/** Numbers between two, the same each time. */
export const noise = (size: number, seed: number, [from, to]: readonly [number, number] = [-1, 1]): Float32Array =>
  Float32Array.from({ length: size }, (_, at) => from + ((to - from) * (Math.sin(seed * 31 + at * 12.9898) + 1)) / 2);

const sizeOf = (dims: Shape): number => dims.reduce((product, dim) => product * dim, 1);

/** A step of few operators, each of which is told what it reads and says how its output is named. */
export class SmallStep {
  readonly feeds: Record<string, Tensor> = {};
  readonly #sketch = new Sketch("step");
  readonly #inputs: string[] = [];
  readonly #state: string[] = [];
  readonly #opset: number;
  #count = 0;

  constructor(opset = 21) {
    this.#opset = opset;
  }

  /** What the user feeds: float32. */
  fed(shape: Shape, range?: readonly [number, number]): string {
    const name = this.#float(shape, range);
    this.#inputs.push(name);
    return name;
  }

  /** What the user feeds: int64 from 0 on. */
  places(shape: Shape, below: number): string {
    const name = this.#name("places");
    const data = BigInt64Array.from(noise(sizeOf(shape), this.#count, [0, below - 0.01]), (number) =>
      BigInt(Math.floor(number)),
    );
    this.#sketch.input(name, tensor(DataType.int64, shape));
    this.feeds[name] = new Tensor("int64", data, shape);
    this.#inputs.push(name);
    return name;
  }

  /** State that is only read. */
  state(shape: Shape, range?: readonly [number, number]): string {
    const name = this.#float(shape, range);
    this.#state.push(name);
    return name;
  }

  ints(...numbers: readonly number[]): string {
    return this.constant(GraphTensor.ints(numbers));
  }

  /** float32, all of them equal. */
  filled(shape: Shape, number: number): string {
    return this.constant(GraphTensor.floats(shape, Array(sizeOf(shape)).fill(number)));
  }

  constant(tensor: GraphTensor): string {
    const name = this.#name("constant");
    this.#sketch.initializer(name, tensor);
    return name;
  }

  op(type: string, inputs: readonly string[], ...attributes: readonly Attribute[]): string {
    const [made = ""] = this.ops(type, inputs, 1, ...attributes);
    return made;
  }

  ops(
    type: string,
    inputs: readonly string[],
    outputs: number,
    ...attributes: readonly Attribute[]
  ): readonly string[] {
    const names = Array.from({ length: outputs }, () => this.#name(type));
    this.#sketch.node(type, inputs, names, attributes);
    return names;
  }

  /** What goes on inside a node. */
  body(name: string, write: (sketch: Sketch) => void): Sketch["graph"] {
    const inner = new Sketch(name);
    write(inner);
    return inner.graph;
  }

  get sketch(): Sketch {
    return this.#sketch;
  }

  /** @param outputs names and shapes, the loss first */
  step(outputs: Readonly<Record<string, Shape>>): StepModel {
    for (const [name, shape] of Object.entries(outputs)) this.#sketch.output(name, tensor(DataType.float, shape));
    return {
      model: model(this.#sketch.graph, 10, [["", this.#opset]]),
      ...{ inputs: this.#inputs, outputs: Object.keys(outputs), gradients: [] },
      ...{ learningRate: null, step: null, reset: null },
      state: this.#state.map((name) => ({ name, next: null, kind: "frozen" })),
    };
  }

  #float(shape: Shape, range?: readonly [number, number]): string {
    const name = this.#name("x");
    this.#sketch.input(name, tensor(DataType.float, shape));
    this.feeds[name] = new Tensor("float32", noise(sizeOf(shape), this.#count, range), shape);
    return name;
  }

  #name(hint: string): string {
    this.#count += 1;
    return `${hint}_${this.#count}`;
  }
}

export type { Feeds };
