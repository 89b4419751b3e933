import { float, model, Sketch } from "../fixtures/sketch.ts";
import { attribute, DataType, GraphTensor } from "../src/entries/graph.ts";
import type { Model } from "../src/index.ts";

const STAGES = [16, 32, 64] as const;

/** Residual blocks of 16, 32 and 64 channels on images of 32 x 32, with batch normalization, for ten classes. */
export function smallResNet(): Model {
  const sketch = new Sketch("resnet");
  sketch.input("input", float(["batch", 3, 32, 32]));
  let seed = 0;
  const weight = (name: string, dims: readonly number[], scale: number): string => {
    const size = dims.reduce((product, dim) => product * dim, 1);
    const values = Float32Array.from(
      { length: size },
      (_, index) => scale * Math.sin(++seed * 0.731 + index * 12.9898),
    );
    sketch.initializer(name, GraphTensor.from(DataType.float, dims, values));
    return name;
  };
  const constant = (name: string, size: number, value: number): string => {
    sketch.initializer(name, GraphTensor.from(DataType.float, [size], new Float32Array(size).fill(value)));
    return name;
  };
  /** Convolution and batch normalization. */
  const layer = (
    name: string,
    from: string,
    [inside, out]: readonly [number, number],
    kernel: number,
    stride: number,
  ): string => {
    const filters = weight(`${name}.weight`, [out, inside, kernel, kernel], Math.sqrt(2 / (inside * kernel * kernel)));
    const pad = (kernel - 1) / 2;
    sketch.node(
      "Conv",
      [from, filters],
      [`${name}.conv`],
      [attribute.ints("strides", [stride, stride]), attribute.ints("pads", [pad, pad, pad, pad])],
    );
    const norms = [constant(`${name}.scale`, out, 1), constant(`${name}.bias`, out, 0)];
    const statistics = [constant(`${name}.mean`, out, 0), constant(`${name}.var`, out, 1)];
    sketch.node("BatchNormalization", [`${name}.conv`, ...norms, ...statistics], [`${name}.out`]);
    return `${name}.out`;
  };
  const relu = (from: string): string => {
    sketch.node("Relu", [from], [`${from}.relu`]);
    return `${from}.relu`;
  };
  let last = relu(layer("stem", "input", [3, STAGES[0]], 3, 1));
  let inside: number = STAGES[0];
  for (const [index, out] of STAGES.entries()) {
    const stride = index === 0 ? 1 : 2;
    const first = relu(layer(`block${index}.a`, last, [inside, out], 3, stride));
    const second = layer(`block${index}.b`, first, [out, out], 3, 1);
    const shortcut = index === 0 ? last : layer(`block${index}.s`, last, [inside, out], 1, stride);
    sketch.node("Add", [second, shortcut], [`block${index}.sum`]);
    last = relu(`block${index}.sum`);
    inside = out;
  }
  sketch.node("GlobalAveragePool", [last], ["pooled"]);
  sketch.node("Flatten", ["pooled"], ["flat"]);
  sketch.node(
    "Gemm",
    ["flat", weight("head.weight", [10, inside], 0.1), constant("head.bias", 10, 0)],
    ["logits"],
    [attribute.int("transB", 1)],
  );
  sketch.output("logits", float(["batch", 10]));
  return model(sketch.graph, 8, [["", 17]]);
}
