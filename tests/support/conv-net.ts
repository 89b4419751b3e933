import { float, model, Sketch } from "../../fixtures/sketch.ts";
import { attribute, DataType, GraphTensor } from "../../src/entries/graph.ts";
import { type BuildOptions, type Model, Tensor as OrtTensor } from "../../src/index.ts";

export const wave = (size: number, seed: number): Float32Array =>
  Float32Array.from({ length: size }, (_, index) => Math.sin(seed * 31 + index * 12.9898) * 0.5);

/** conv, batch norm, ReLU, pool, linear. */
export function convNet({ opset = 17, batch = "batch" as string | number } = {}): Model {
  const sketch = new Sketch("net");
  sketch.input("image", float([batch, 1, 6, 6]));
  const weights: readonly (readonly [string, readonly number[], Float32Array])[] = [
    ["conv.weight", [4, 1, 3, 3], wave(36, 1)],
    ["bn.weight", [4], Float32Array.of(1, 1.5, 0.5, 2)],
    ["bn.bias", [4], wave(4, 2)],
    ["bn.mean", [4], wave(4, 3)],
    ["bn.var", [4], Float32Array.of(1, 2, 0.5, 1)],
    ["fc.weight", [3, 36], wave(108, 4)],
    ["fc.bias", [3], wave(3, 5)],
    ["scale", [1], Float32Array.of(2)],
  ];
  for (const [name, dims, values] of weights) sketch.initializer(name, GraphTensor.from(DataType.float, dims, values));
  sketch.node("Conv", ["image", "conv.weight"], ["conv"], [attribute.ints("pads", [1, 1, 1, 1])]);
  sketch.node("BatchNormalization", ["conv", "bn.weight", "bn.bias", "bn.mean", "bn.var"], ["bn"]);
  sketch.node("Relu", ["bn"], ["relu"]);
  sketch.node(
    "MaxPool",
    ["relu"],
    ["pool"],
    [attribute.ints("kernel_shape", [2, 2]), attribute.ints("strides", [2, 2])],
  );
  sketch.node("Flatten", ["pool"], ["flat"]);
  sketch.node("Gemm", ["flat", "fc.weight", "fc.bias"], ["linear"], [attribute.int("transB", 1)]);
  sketch.node("Mul", ["linear", "scale"], ["logits"]);
  sketch.output("logits", float([batch, 3]));
  return model(sketch.graph, 8, [["", opset]]);
}

export const images = (count: number, seed = 9) => ({
  image: new OrtTensor("float32", wave(count * 36, seed), [count, 1, 6, 6]),
  labels: new OrtTensor(
    "int64",
    BigInt64Array.from({ length: count }, (_, index) => BigInt(index % 3)),
    [count],
  ),
});

export const CE: BuildOptions = { loss: { kind: "cross-entropy" } };
