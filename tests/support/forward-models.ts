import { float, model, Sketch } from "../../fixtures/sketch.ts";
import { DataType, GraphTensor } from "../../src/entries/graph.ts";
import { type BuildOptions, buildTrainingArtifacts, type Model } from "../../src/index.ts";

const wave = (size: number, seed = 1): Float32Array =>
  Float32Array.from({ length: size }, (_, index) => Math.sin(seed * 31 + index * 12.9898) * 0.5);

export const weights = (dims: readonly number[], seed = 1): GraphTensor =>
  GraphTensor.from(
    DataType.float,
    dims,
    wave(
      dims.reduce((product, dim) => product * dim, 1),
      seed,
    ),
  );

/** A linear layer. */
export function linear(change: (tensor: GraphTensor) => GraphTensor = (tensor) => tensor): Model {
  const sketch = new Sketch("linear");
  sketch.input("x", float(["N", 4]));
  sketch.initializer("w", change(weights([4, 3])));
  sketch.initializer("b", change(weights([3], 2)));
  sketch.node("Gemm", ["x", "w", "b"], ["y"]);
  sketch.output("y", float(["N", 3]));
  return model(sketch.graph, 8, [["", 17]]);
}

/** A hidden layer whose first product is read by `use`, which makes "h" of it, and a linear layer of one output. */
export function around(
  use: (sketch: Sketch) => void,
  constants: Readonly<Record<string, GraphTensor>>,
  from = "raw" as "raw" | "hidden",
): Model {
  const sketch = new Sketch("around");
  sketch.input("x", float(["N", 4]));
  sketch.initializer("w1", weights([4, 4]));
  sketch.initializer("w2", weights([4, 1], 3));
  for (const [name, tensor] of Object.entries(constants)) sketch.initializer(name, tensor);
  if (from === "hidden") sketch.node("MatMul", ["x", "w1"], ["p"]);
  use(sketch);
  if (from === "raw") {
    sketch.node("MatMul", ["h", "w1"], ["q"]);
    sketch.node("MatMul", ["q", "w2"], ["y"]);
  } else sketch.node("MatMul", ["h", "w2"], ["y"]);
  sketch.output("y", float(["N", 1]));
  return model(sketch.graph, 8, [["", 17]]);
}

export const number = (value: number, dims: readonly number[] = []): GraphTensor => GraphTensor.floats(dims, [value]);

export async function choice(forward: Model, options: Partial<BuildOptions> = {}) {
  const { report } = await buildTrainingArtifacts(forward, {
    loss: { kind: "mse" },
    targets: ["portable"],
    ...options,
  });
  return {
    trained: report.trainable.map(({ name }) => name).filter((name) => name !== "w1" && name !== "w2"),
    constants: Object.fromEntries(report.skipped.map(({ at, reason }) => [at, reason])),
  };
}

const angle = (at: number): number => Math.floor(at / 4) * 0.1 ** (at % 2);
export const table = (of: (angle: number) => number): GraphTensor =>
  GraphTensor.floats(
    [4, 4],
    Array.from({ length: 16 }, (_, at) => of(angle(at))),
  );
