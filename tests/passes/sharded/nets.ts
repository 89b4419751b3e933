import { float, model, Sketch, tensor } from "../../../fixtures/sketch.ts";
import { type Attribute, attribute, DataType, GraphTensor } from "../../../src/entries/graph.ts";
import type { Model } from "../../../src/index.ts";
import { noise } from "../../support/small-steps.ts";

type Shape = readonly number[];

/** Samples, steps of a sequence, numbers of a step, classes. */
export const SIZES = { batch: 12, steps: 5, width: 8, classes: 3 } as const;
const { batch, steps, width, classes } = SIZES;

const int = attribute.int;
const ints = attribute.ints;

/** A forward model: parameters are drawn where they are read. */
class Net {
  readonly sketch = new Sketch("net");
  #count = 0;

  parameter(shape: Shape, range?: readonly [number, number]): string {
    const size = shape.reduce((product, dim) => product * dim, 1);
    const scale = shape.length > 1 ? Math.sqrt(shape.at(-1) ?? 1) : 2;
    const name = this.#name("w");
    const values = noise(size, this.#count, range ?? [-1 / scale, 1 / scale]);
    this.sketch.initializer(name, GraphTensor.from(DataType.float, shape, values));
    return name;
  }

  ints(...numbers: readonly number[]): string {
    const name = this.#name("ints");
    this.sketch.initializer(name, GraphTensor.ints(numbers));
    return name;
  }

  op(type: string, inputs: readonly string[], ...attributes: readonly Attribute[]): string {
    const [name] = this.ops(type, inputs, 1, ...attributes);
    return name ?? "";
  }

  ops(type: string, inputs: readonly string[], outputs: number, ...attributes: readonly Attribute[]): string[] {
    const names = Array.from({ length: outputs }, () => this.#name(type));
    this.sketch.node(type, inputs, names, attributes);
    return names;
  }

  linear(x: string, from: number, to: number): string {
    return this.op("Add", [this.op("MatMul", [x, this.parameter([from, to])]), this.parameter([to])]);
  }

  convolve(x: string, kernels: Shape, ...attributes: readonly Attribute[]): string {
    return this.op("Conv", [x, this.parameter(kernels), this.parameter(kernels.slice(0, 1))], ...attributes);
  }

  /** @returns the model, whose output is this value */
  model(value: string, shape: Shape): Model {
    this.sketch.output(value, float(shape));
    return model(this.sketch.graph, 8, [["", 18]]);
  }

  #name(hint: string): string {
    this.#count += 1;
    return `${hint}_${this.#count}`;
  }
}

/** Of images [12, 4, 8, 8], to scores [12, 3]. */
const images = (layers: (net: Net, x: string) => readonly [value: string, features: number]) => (): Model => {
  const net = new Net();
  net.sketch.input("x", float([batch, 4, 8, 8]));
  const [value, features] = layers(net, "x");
  const flat = net.op("Flatten", [value]);
  return net.model(net.linear(flat, features, classes), [batch, classes]);
};

const pads = ints("pads", [1, 1, 1, 1]);
const halves = [ints("kernel_shape", [2, 2]), ints("strides", [2, 2])];

/** Of sequences [12, 5, 8], to scores [12, 3]. */
const sequences =
  (layers: (net: Net, x: string) => string, sizes: { readonly batch: number; readonly width: number } = SIZES) =>
  (): Model => {
    const net = new Net();
    net.sketch.input("x", float([sizes.batch, steps, sizes.width]));
    const last = net.op("Gather", [layers(net, "x"), net.op("Squeeze", [net.ints(-1), net.ints(0)])], int("axis", 1));
    return net.model(net.linear(last, sizes.width, classes), [sizes.batch, classes]);
  };

/** More multiplications a step than are written out: a loop takes their place. */
const LARGE = { batch: 24, width: 64 };

const recurrent =
  (op: "GRU" | "LSTM" | "RNN") =>
  (net: Net, x: string, size: number = width): string => {
    const gates = { GRU: 3, LSTM: 4, RNN: 1 }[op];
    const turned = net.op("Transpose", [x], ints("perm", [1, 0, 2]));
    const weights = [net.parameter([1, gates * size, size]), net.parameter([1, gates * size, size])];
    const states = net.op(op, [turned, ...weights, net.parameter([1, 2 * gates * size])], int("hidden_size", size));
    return net.op("Transpose", [net.op("Squeeze", [states, net.ints(1)])], ints("perm", [1, 0, 2]));
  };

/** One layer of attention of two heads, which sees what was before. */
function attend(net: Net, x: string): string {
  const heads = (value: string): string =>
    net.op("Transpose", [net.op("Reshape", [value, net.ints(0, steps, 2, width / 2)])], ints("perm", [0, 2, 1, 3]));
  const [q = "", k = "", v = ""] = ["q", "k", "v"].map(() => heads(net.linear(x, width, width)));
  const scores = net.op("MatMul", [q, net.op("Transpose", [k], ints("perm", [0, 1, 3, 2]))]);
  net.sketch.initializer(
    "mask",
    GraphTensor.floats(
      [steps, steps],
      Array.from({ length: steps * steps }, (_, at) => (at % steps > Math.floor(at / steps) ? -1e9 : 0)),
    ),
  );
  const shares = net.op("Softmax", [net.op("Add", [scores, "mask"])], int("axis", -1));
  const mixed = net.op("Transpose", [net.op("MatMul", [shares, v])], ints("perm", [0, 2, 1, 3]));
  return net.linear(net.op("Reshape", [mixed, net.ints(0, steps, width)]), width, width);
}

const normalized = (net: Net, x: string): string =>
  net.op("LayerNormalization", [x, net.parameter([width], [0.5, 1.5]), net.parameter([width])], int("axis", -1));

function block(net: Net, x: string): string {
  const seen = net.op("Add", [x, attend(net, normalized(net, x))]);
  const wide = net.op("Erf", [net.linear(normalized(net, seen), width, 2 * width)]);
  return net.op("Add", [seen, net.linear(wide, 2 * width, width)]);
}

/** Of words [12, 5], to scores of words [12, 5, 9]. */
function language(): Model {
  const net = new Net();
  net.sketch.input("x", tensor(DataType.int64, [batch, steps]));
  const words = net.op("Gather", [net.parameter([9, width]), "x"]);
  const read = block(net, net.op("Add", [words, net.parameter([steps, width])]));
  return net.model(net.linear(normalized(net, read), width, 9), [batch, steps, 9]);
}

/** Of images, with a token that is spread over samples. */
function tokens(): Model {
  const net = new Net();
  net.sketch.input("x", float([batch, steps - 1, width]));
  const spread = net.op("Expand", [net.parameter([1, 1, width]), net.ints(batch, 1, width)]);
  const all = net.op("Concat", [spread, "x"], int("axis", 1));
  const read = block(net, net.op("Add", [all, net.parameter([1, steps, width])]));
  const first = net.op("Squeeze", [net.op("Slice", [read, net.ints(0), net.ints(1), net.ints(1)]), net.ints(1)]);
  return net.model(net.linear(first, width, classes), [batch, classes]);
}

export const NETS: Readonly<Record<string, () => Model>> = {
  "convolutions and pools": images((net, x) => {
    const first = net.op("MaxPool", [net.op("Relu", [net.convolve(x, [6, 4, 3, 3], pads)])], ...halves);
    const second = net.op("AveragePool", [net.op("Tanh", [net.convolve(first, [5, 6, 3, 3], pads)])], ...halves);
    return [second, 5 * 4];
  }),
  "strides, dilations, pools of all places": images((net, x) => {
    const first = net.convolve(x, [6, 4, 3, 3], ints("strides", [2, 2]), ints("pads", [1, 1, 0, 0]));
    const second = net.convolve(net.op("Sigmoid", [first]), [5, 6, 2, 2], ints("dilations", [2, 1]));
    return [net.op("Add", [net.op("GlobalMaxPool", [second]), net.op("GlobalAveragePool", [second])]), 5];
  }),
  "groups and a kernel per channel": images((net, x) => {
    const first = net.convolve(x, [8, 2, 3, 3], int("group", 2));
    const second = net.convolve(net.op("Elu", [first]), [8, 1, 3, 3], int("group", 8), pads);
    return [net.convolve(second, [4, 8, 1, 1]), 4 * 36];
  }),
  "transposed convolutions": images((net, x) => {
    const small = net.op("Tanh", [net.convolve(x, [4, 4, 2, 2], ints("strides", [2, 2]))]);
    const w = net.parameter([4, 3, 2, 2]);
    const large = net.op("ConvTranspose", [small, w, net.parameter([3])], ints("strides", [2, 2]));
    return [large, 3 * 64];
  }),
  "norms of groups, samples and channels": images((net, x) => {
    const one = net.op("InstanceNormalization", [x, net.parameter([4], [0.5, 1.5]), net.parameter([4])]);
    const shaped = net.op("Reshape", [net.convolve(one, [4, 4, 3, 3], pads), net.ints(0, 2, -1)]);
    const groups = net.op("InstanceNormalization", [shaped, net.parameter([2], [0.5, 1.5]), net.parameter([2])]);
    return [net.op("Reshape", [groups, net.ints(-1, 4, 8, 8)]), 4 * 64];
  }),
  "channels apart, together and with a border": images((net, x) => {
    const both = net.op("Concat", [net.op("Sigmoid", [net.convolve(x, [4, 4, 3, 3], pads)]), x], int("axis", 1));
    const [first = "", second = ""] = net.ops("Split", [both, net.ints(3, 5)], 2, int("axis", 1));
    const padded = net.op("Pad", [second, net.ints(0, 0, 1, 0, 0, 0, 0, 1)]);
    const features = [net.op("Flatten", [first]), net.op("Flatten", [padded])];
    return [net.op("Concat", features, int("axis", 1)), 3 * 64 + 5 * 81];
  }),
  "attention that sees what was before": sequences(block),
  "a language": language,
  "a token that is spread": tokens,
  "a few steps of an LSTM": sequences(recurrent("LSTM")),
  "a few steps of a GRU": sequences(recurrent("GRU")),
  "a few steps of an RNN": sequences(recurrent("RNN")),
  "a loop of an LSTM": sequences((net, x) => recurrent("LSTM")(net, x, LARGE.width), LARGE),
  "a loop of a GRU": sequences((net, x) => recurrent("GRU")(net, x, LARGE.width), LARGE),
};

/** Two layers, to scores [12, 3]. */
export const layers = (): Model => {
  const net = new Net();
  net.sketch.input("x", float([batch, width]));
  return net.model(net.linear(net.op("Tanh", [net.linear("x", width, 7)]), 7, classes), [batch, classes]);
};
