import { MICROSOFT } from "../../../fixtures/sketch.ts";
import { type Attribute, attribute, DataType, GraphTensor } from "../../../src/entries/graph.ts";

export interface CaseNode {
  readonly op: string;
  /** Default `com.microsoft`. */
  readonly domain?: string;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly attributes?: readonly Attribute[];
}

/** A small graph of training operators with the values it is run on. */
export interface Case {
  readonly name: string;
  readonly inputs: Readonly<Record<string, GraphTensor>>;
  readonly nodes: readonly CaseNode[];
  readonly outputs: readonly string[];
  /** Shapes to declare, for kernels of the training build that take a shape from there. */
  readonly shapes?: Readonly<Record<string, readonly number[]>>;
  /** Of the graph; default 17. */
  readonly opset?: number;
  /** The values of an output may come in any order. */
  readonly unordered?: boolean;
}

let seed = 1;
/** Values between -1 and 1 that look random and are the same every time. */
export function floats(dims: readonly number[], scale = 1, offset = 0): GraphTensor {
  seed += 1;
  const start = seed * 17.31;
  const size = dims.reduce((product, dim) => product * dim, 1);
  return GraphTensor.floats(
    dims,
    Array.from({ length: size }, (_, index) => offset + scale * Math.sin(start + index * index * 0.37 + index * 1.7)),
  );
}

export const positive = (dims: readonly number[]): GraphTensor => floats(dims, 0.4, 0.6);
export const ints = (dims: readonly number[], values: readonly number[]): GraphTensor =>
  GraphTensor.from(DataType.int64, dims, BigInt64Array.from(values, BigInt));
export const int32s = (dims: readonly number[], values: readonly number[]): GraphTensor =>
  GraphTensor.from(DataType.int32, dims, Int32Array.from(values));
export const bools = (dims: readonly number[], values: readonly number[]): GraphTensor =>
  GraphTensor.from(DataType.bool, dims, Uint8Array.from(values));
const scalar = (value: number): GraphTensor => GraphTensor.floats([], [value]);
const { int, float, ints: intList, string } = attribute;

/** One node whose inputs and outputs are the graph's. */
function single(
  op: string,
  tensors: readonly (GraphTensor | null)[],
  outputs: number,
  attributes: readonly Attribute[] = [],
  extra: Partial<Case> & { readonly domain?: string; readonly title?: string } = {},
): Case {
  const names = tensors.map((tensor, index) => (tensor === null ? "" : `in${index}`));
  const made = Array.from({ length: outputs }, (_, index) => `out${index}`);
  const { domain = MICROSOFT, title = op, ...rest } = extra;
  return {
    name: title,
    inputs: Object.fromEntries(
      tensors.flatMap((tensor, index) => (tensor === null ? [] : [[`in${index}`, tensor] as const])),
    ),
    nodes: [{ op, domain, inputs: names, outputs: made, attributes }],
    outputs: made,
    ...rest,
  };
}

const activations: readonly Case[] = [
  ...["ReluGrad", "GeluGrad", "FastGeluGrad", "QuickGeluGrad", "LeakyReluGrad"].map((op) =>
    single(op, [floats([2, 5]), floats([2, 5], 2)], 1),
  ),
  single("LeakyReluGrad", [floats([7]), floats([7])], 1, [float("alpha", 0.2)], { title: "LeakyReluGrad, alpha" }),
  single("QuickGeluGrad", [floats([7]), floats([7])], 1, [float("alpha", 1)], { title: "QuickGeluGrad, alpha" }),
  single("SigmoidGrad", [floats([2, 5]), positive([2, 5])], 1),
  single("TanhGrad", [floats([2, 5]), floats([2, 5])], 1),
  single("BiasGeluGrad_dX", [floats([2, 5]), floats([2, 5]), floats([5])], 1),
  single("BiasFastGeluGrad_dX", [floats([2, 5]), floats([2, 5]), floats([5])], 1),
  single("Gelu", [floats([2, 5], 2)], 1),
  single("QuickGelu", [floats([2, 5], 2)], 1, [float("alpha", 1.702)]),
  single("FastGelu", [floats([2, 5], 2)], 1),
  single("FastGelu", [floats([2, 5], 2), floats([5])], 1, [], { title: "FastGelu with bias" }),
  single("BiasGelu", [floats([2, 5], 2), floats([5])], 1),
];

const softmaxes: readonly Case[] = [
  ...["SoftmaxGrad_13", "LogSoftmaxGrad_13"].flatMap((op) => [
    single(op, [floats([2, 3, 4]), floats([2, 3, 4])], 1, [int("axis", -1)]),
    single(op, [floats([2, 3, 4]), floats([2, 3, 4])], 1, [int("axis", 1)], { title: `${op}, axis 1` }),
  ]),
  ...["SoftmaxGrad", "LogSoftmaxGrad"].map((op) =>
    single(op, [floats([2, 3, 4]), floats([2, 3, 4])], 1, [int("axis", 1)]),
  ),
];

const labels = ints([4], [1, 0, 2, 1]);
const scores = (): GraphTensor => floats([4, 3], 2);
const logProbs = (dims: readonly number[]): GraphTensor => floats(dims, 0.5, -1);
const losses: readonly Case[] = [
  ...["mean", "sum"].flatMap((reduction) => [
    single(
      "SoftmaxCrossEntropyLossGrad",
      [scalar(0.7), logProbs([4, 3]), labels],
      1,
      [string("reduction", reduction)],
      {
        title: `SoftmaxCrossEntropyLossGrad, ${reduction}`,
      },
    ),
    single(
      "SoftmaxCrossEntropyLossGrad",
      [scalar(0.7), logProbs([4, 3]), labels, positive([3])],
      1,
      [string("reduction", reduction), int("ignore_index", 0)],
      { title: `SoftmaxCrossEntropyLossGrad, ${reduction}, weights, ignored` },
    ),
    single(
      "SoftmaxCrossEntropyLossInternal",
      [scores(), labels, positive([3]), ints([], [2])],
      2,
      [string("reduction", reduction)],
      { title: `SoftmaxCrossEntropyLossInternal, ${reduction}` },
    ),
    ...[[], [positive([3])]].map((weight) =>
      single("SoftmaxCrossEntropyLoss", [scores(), labels, ...weight], 2, [string("reduction", reduction)], {
        ...{ domain: "", title: `SoftmaxCrossEntropyLoss, ${reduction}${weight.length === 0 ? "" : ", weights"}` },
      }),
    ),
    single(
      "SoftmaxCrossEntropyLoss",
      [floats([2, 3, 2, 2], 2), ints([2, 2, 2], [0, 1, 2, 0, 1, 2, 0, 1])],
      2,
      [string("reduction", reduction), int("ignore_index", 1)],
      { domain: "", title: `SoftmaxCrossEntropyLoss of images, ${reduction}, ignored` },
    ),
    single("SoftmaxCrossEntropy", [scores(), positive([4, 3])], 2, [string("reduction", reduction)], {
      title: `SoftmaxCrossEntropy, ${reduction}`,
    }),
    single(
      "SoftmaxCrossEntropyGrad",
      [scalar(0.7), logProbs([4, 3]), positive([4, 3])],
      1,
      [string("reduction", reduction)],
      { title: `SoftmaxCrossEntropyGrad, ${reduction}` },
    ),
    ...[null, positive([4])].flatMap((weight) => {
      const kind = { domain: "", opset: 9 };
      const title = `${reduction}${weight === null ? "" : ", weights"}`;
      const tensors = weight === null ? [] : [weight];
      return [
        single("SparseSoftmaxCrossEntropy", [scores(), labels, ...tensors], 2, [string("reduction", reduction)], {
          ...kind,
          opset: 17,
          title: `SparseSoftmaxCrossEntropy, ${title}`,
        }),
        single(
          "SparseSoftmaxCrossEntropyGrad",
          [scalar(0.7), logProbs([4, 3]), labels, ...tensors],
          1,
          [string("reduction", reduction)],
          { ...kind, opset: 17, title: `SparseSoftmaxCrossEntropyGrad, ${title}` },
        ),
      ];
    }),
  ]),
  single(
    "SoftmaxCrossEntropyLossGrad",
    [floats([4]), logProbs([4, 3]), int32s([4], [1, 0, 2, 1])],
    1,
    [string("reduction", "none")],
    { title: "SoftmaxCrossEntropyLossGrad, none, int32 labels" },
  ),
  single(
    "SoftmaxCrossEntropyLossGrad",
    [scalar(1), logProbs([2, 3, 2, 2]), ints([2, 2, 2], [0, 1, 2, 0, 1, 2, 0, 1])],
    1,
    [string("reduction", "mean")],
    { title: "SoftmaxCrossEntropyLossGrad of images" },
  ),
  single("SoftmaxCrossEntropyLoss", [scores(), int32s([4], [1, 0, 2, 1])], 2, [string("reduction", "none")], {
    ...{ domain: "", title: "SoftmaxCrossEntropyLoss, none, int32 labels" },
  }),
  single("SoftmaxCrossEntropyLossGrad", [scalar(1), logProbs([2, 3]), ints([2], [1, 1])], 1, [int("ignore_index", 1)], {
    title: "SoftmaxCrossEntropyLossGrad, all ignored",
  }),
  single(
    "SoftmaxCrossEntropyLossInternalGrad",
    [scalar(0.7), logProbs([4, 3]), labels, positive([3]), ints([], [2]), floats([4, 3])],
    1,
    [string("reduction", "mean")],
  ),
];

const layerInputs = (): GraphTensor[] => [
  floats([2, 3, 4]),
  floats([2, 3, 4]),
  positive([4]),
  floats([2, 3, 1], 0.1),
  positive([2, 3, 1]),
];
const norms: readonly Case[] = [
  single("LayerNormalizationGrad", layerInputs(), 3, [int("axis", -1)]),
  single("LayerNormalizationGrad", layerInputs(), 3, [int("axis", 2)], { title: "LayerNormalizationGrad, axis 2" }),
  single("SimplifiedLayerNormalizationGrad", [...layerInputs().slice(0, 3), positive([2, 3, 1])], 2, [int("axis", -1)]),
  single(
    "SimplifiedLayerNormalization",
    [floats([2, 3, 4]), positive([4])],
    1,
    [int("axis", -1), float("epsilon", 1e-5)],
    { domain: "" },
  ),
  single("SkipLayerNormalization", [floats([2, 3, 4]), floats([2, 3, 4]), positive([4]), floats([4]), floats([4])], 1, [
    float("epsilon", 1e-5),
  ]),
  single(
    "BatchNormInternal",
    [floats([3, 2, 4, 4]), positive([2]), floats([2]), floats([2]), positive([2])],
    5,
    [float("epsilon", 1e-5), float("momentum", 0.8), int("training_mode", 1)],
    { opset: 14 },
  ),
  single(
    "BatchNormalizationGrad",
    [floats([3, 2, 4, 4]), floats([3, 2, 4, 4]), positive([2]), floats([2], 0.1), positive([2])],
    3,
    [float("epsilon", 1e-5)],
  ),
];

interface Conv {
  readonly title: string;
  readonly image: readonly number[];
  readonly weight: readonly number[];
  readonly out: readonly number[];
  readonly attributes: readonly Attribute[];
}

const CONVS: readonly Conv[] = [
  { title: "1-D", image: [2, 3, 9], weight: [4, 3, 3], out: [7], attributes: [intList("pads", [0, 0])] },
  {
    title: "2-D, pads",
    image: [2, 3, 6, 5],
    weight: [4, 3, 3, 3],
    out: [6, 5],
    attributes: [intList("pads", [1, 1, 1, 1])],
  },
  {
    title: "2-D, many channels, strides that leave rows over, uneven pads",
    image: [2, 6, 8, 7],
    weight: [5, 6, 3, 2],
    out: [4, 4],
    attributes: [intList("pads", [1, 0, 0, 1]), intList("strides", [2, 2])],
  },
  {
    title: "2-D, few channels, strides",
    image: [2, 2, 7, 7],
    weight: [5, 2, 3, 3],
    out: [3, 3],
    attributes: [intList("strides", [2, 2])],
  },
  {
    title: "2-D, dilations",
    image: [2, 4, 8, 8],
    weight: [3, 4, 3, 3],
    out: [6, 6],
    attributes: [intList("dilations", [2, 2]), intList("pads", [1, 1, 1, 1])],
  },
  {
    title: "2-D, groups",
    image: [2, 4, 6, 6],
    weight: [6, 2, 3, 3],
    out: [6, 6],
    attributes: [int("group", 2), intList("pads", [1, 1, 1, 1])],
  },
  {
    title: "2-D, one channel per group, strides",
    image: [2, 4, 6, 6],
    weight: [4, 1, 3, 3],
    out: [3, 3],
    attributes: [int("group", 4), intList("pads", [1, 1, 1, 1]), intList("strides", [2, 2])],
  },
  {
    title: "2-D, a kernel of one",
    image: [2, 5, 4, 4],
    weight: [3, 5, 1, 1],
    out: [4, 4],
    attributes: [],
  },
  {
    title: "2-D, more pads than a kernel reaches",
    image: [1, 4, 4, 4],
    weight: [3, 4, 2, 2],
    out: [7, 7],
    attributes: [intList("pads", [2, 2, 2, 2])],
  },
  {
    title: "3-D",
    image: [1, 2, 4, 4, 4],
    weight: [3, 2, 2, 2, 2],
    out: [3, 3, 3],
    attributes: [],
  },
];

const convolutions: readonly Case[] = CONVS.map(({ title, image, weight, out, attributes }) => {
  const [batch = 1] = image;
  const [outputs = 1] = weight;
  return single(
    "ConvGrad",
    [floats([batch, outputs, ...out]), floats(image), floats(weight)],
    3,
    [intList("kernel_shape", weight.slice(2)), ...withDefaults(attributes, weight.length - 2)],
    { title: `ConvGrad, ${title}` },
  );
});

function withDefaults(given: readonly Attribute[], axes: number): Attribute[] {
  const all = (value: number, count = axes): number[] => Array.from({ length: count }, () => value);
  const defaults = [
    intList("strides", all(1)),
    intList("dilations", all(1)),
    intList("pads", all(0, 2 * axes)),
    int("group", 1),
  ];
  return [...defaults.filter(({ name }) => !given.some((each) => each.name === name)), ...given];
}

function maxPool(
  title: string,
  attributes: readonly Attribute[],
  image: readonly number[],
  out: readonly number[],
  x = floats(image),
): Case {
  return {
    name: `MaxPoolGrad, ${title}`,
    inputs: { x, dY: floats([...image.slice(0, 2), ...out]) },
    nodes: [
      { op: "MaxPool", domain: "", inputs: ["x"], outputs: ["y", "indices"], attributes },
      { op: "MaxPoolGrad", domain: "", inputs: ["dY", "indices"], outputs: ["dX"], attributes },
    ],
    outputs: ["y", "dX"],
    shapes: { dX: image },
    opset: 17,
  };
}

function averagePool(title: string, attributes: readonly Attribute[], out: readonly number[]): Case {
  return {
    name: `AveragePoolGrad, ${title}`,
    inputs: { x_grad_in: floats([2, 3, ...out]) },
    nodes: [{ op: "AveragePoolGrad", domain: "", inputs: ["x_grad_in"], outputs: ["dX"], attributes }],
    outputs: ["dX"],
    shapes: { dX: [2, 3, 6, 6] },
  };
}

const TWO = [intList("kernel_shape", [2, 2]), intList("strides", [2, 2])];
const OVERLAPPING = [intList("kernel_shape", [3, 3]), intList("strides", [2, 2]), intList("pads", [1, 1, 1, 1])];
const pools: readonly Case[] = [
  maxPool("2x2", TWO, [2, 3, 6, 6], [3, 3]),
  maxPool("overlapping windows, pads", OVERLAPPING, [2, 3, 6, 6], [3, 3]),
  maxPool("windows past the end", [...TWO, int("ceil_mode", 1)], [2, 3, 5, 5], [3, 3]),
  maxPool("dilations", [intList("kernel_shape", [2, 2]), intList("dilations", [2, 2])], [2, 3, 5, 5], [3, 3]),
  maxPool("1-D", [intList("kernel_shape", [3]), intList("strides", [2])], [2, 3, 7], [3]),
  maxPool(
    "ties",
    TWO,
    [1, 2, 4, 4],
    [2, 2],
    GraphTensor.floats(
      [1, 2, 4, 4],
      Array.from({ length: 32 }, (_, i) => i % 3),
    ),
  ),
  averagePool("2x2", TWO, [3, 3]),
  averagePool("overlapping windows, pads that do not count", OVERLAPPING, [3, 3]),
  averagePool("overlapping windows, pads that count", [...OVERLAPPING, int("count_include_pad", 1)], [3, 3]),
];

const indexing: readonly Case[] = [
  single("GatherGrad", [ints([2], [5, 3]), ints([2, 2], [0, 4, 4, -1]), floats([2, 2, 3])], 1, [int("axis", 0)]),
  single("GatherGrad", [ints([2], [3, 5]), ints([4], [0, 4, 4, 1]), floats([3, 4])], 1, [int("axis", 1)], {
    title: "GatherGrad, axis 1",
  }),
  single("GatherElementsGrad", [floats([2, 3]), ints([2], [4, 3]), ints([2, 3], [0, 1, 1, 0, 3, 1])], 1, [
    int("axis", 0),
  ]),
  single(
    "SliceGrad",
    [floats([2, 2]), ints([2], [4, 5]), ints([2], [1, 0]), ints([2], [3, 4]), ints([2], [0, 1]), ints([2], [1, 2])],
    1,
  ),
  single("SliceGrad", [floats([2, 5]), ints([2], [4, 5]), ints([1], [-2]), ints([1], [4])], 1, [], {
    title: "SliceGrad without axes and steps",
  }),
];

const arithmetic: readonly Case[] = [
  single("FusedMatMul", [floats([2, 3, 4]), floats([2, 4, 5])], 1, [float("alpha", 0.5)]),
  single("FusedMatMul", [floats([2, 4, 3]), floats([2, 5, 4])], 1, [int("transA", 1), int("transB", 1)], {
    title: "FusedMatMul, transposed",
  }),
  single("FusedMatMul", [floats([3, 2, 4]), floats([4, 2, 5])], 1, [int("transBatchA", 1), int("transBatchB", 1)], {
    title: "FusedMatMul, batches transposed",
  }),
  single(
    "FusedMatMul",
    [floats([4, 2, 3]), floats([5, 2, 4])],
    1,
    [int("transBatchA", 1), int("transA", 1), int("transBatchB", 1), int("transB", 1)],
    { title: "FusedMatMul, everything transposed" },
  ),
  ...(
    [
      [
        [2, 3, 4],
        [3, 1],
      ],
      [
        [3, 1],
        [2, 1, 4],
      ],
      [[], [2, 2]],
      [
        [2, 2],
        [2, 2],
      ],
    ] as const
  ).map(([a, b]) =>
    single("BroadcastGradientArgs", [ints([a.length], a), ints([b.length], b)], 2, [], {
      unordered: true,
      title: `BroadcastGradientArgs of [${a.join()}] and [${b.join()}]`,
    }),
  ),
  single("DivGrad", [floats([2, 3]), floats([2, 3]), positive([3])], 2),
  single("DivGrad", [floats([2, 3]), floats([3]), positive([2, 1])], 2, [], { title: "DivGrad, both stretched" }),
  single("ReduceSumTraining", [floats([2, 3, 4]), ints([1], [1])], 1, [int("keepdims", 0)]),
  single("ReduceSumTraining", [floats([2, 3]), ints([0], [])], 1, [int("noop_with_empty_axes", 1)], {
    title: "ReduceSumTraining over nothing",
  }),
  single("Scale", [floats([2, 3]), scalar(4)], 1, [int("scale_down", 1)]),
  single("Scale", [scalar(3), ints([1], [4])], 1, [int("scale_down", 0)], { title: "Scale of a scalar by a vector" }),
  single("ConcatTraining", [floats([2, 3]), floats([2, 1])], 2, [int("axis", 1)]),
  single("ConcatTraining", [floats([2, 3]), floats([2, 1])], 1, [int("axis", -1)], {
    title: "ConcatTraining, last axis",
  }),
  single("SplitTraining", [floats([2, 5]), ints([2], [2, 3])], 2, [int("axis", 1)]),
  single("Trilu", [floats([4, 4])], 1, [int("upper", 0)]),
  single("Trilu", [floats([4, 4]), ints([], [1])], 1, [int("upper", 1)], { title: "Trilu, k" }),
];

const mask = bools([2, 3], [1, 0, 1, 1, 1, 0]);
const dropouts: readonly Case[] = [
  single("DropoutGrad", [floats([2, 3]), mask, scalar(0.3), bools([], [1])], 1),
  single("DropoutGrad", [floats([2, 3]), mask], 1, [], { title: "DropoutGrad, no ratio" }),
  single("DropoutGrad", [floats([2, 3]), bools([2, 3], [1, 1, 1, 1, 1, 1]), scalar(0), bools([], [1])], 1, [], {
    title: "DropoutGrad, ratio 0",
  }),
];

const [T, N, I, H] = [3, 2, 4, 5];
const lstmWeights = {
  x: floats([T, N, I]),
  w: floats([1, 4 * H, I], 0.5),
  r: floats([1, 4 * H, H], 0.5),
  b: floats([1, 8 * H], 0.3),
  h0: floats([1, N, H]),
  c0: floats([1, N, H]),
};
const gruWeights = {
  x: floats([T, N, I]),
  w: floats([1, 3 * H, I], 0.5),
  r: floats([1, 3 * H, H], 0.5),
  b: floats([1, 6 * H], 0.3),
  h0: floats([1, N, H]),
};
const hidden = int("hidden_size", H);
const recurrent: readonly Case[] = [
  {
    name: "LSTMTraining and LSTMGrad",
    inputs: {
      ...lstmWeights,
      dHs: floats([T, 1, N, H]),
      dH: floats([1, N, H]),
      dC: floats([1, N, H]),
    },
    nodes: [
      {
        op: "LSTMTraining",
        inputs: ["x", "w", "r", "b", "", "h0", "c0"],
        outputs: ["hs", "h", "c", "cs", "gates"],
        attributes: [hidden],
      },
      {
        op: "LSTMGrad",
        inputs: ["x", "w", "r", "", "h0", "c0", "hs", "cs", "gates", "dHs", "dH", "dC"],
        outputs: ["dx", "dw", "dr", "db", "dh0", "dc0"],
        attributes: [hidden],
      },
    ],
    outputs: ["hs", "h", "c", "cs", "gates", "dx", "dw", "dr", "db", "dh0", "dc0"],
  },
  ...[0, 1].map(
    (before): Case => ({
      name: `GRUTraining and GRUGrad, linear_before_reset ${before}`,
      inputs: { ...gruWeights, dHs: floats([T, 1, N, H]), dH: floats([1, N, H]) },
      nodes: [
        {
          op: "GRUTraining",
          inputs: ["x", "w", "r", "b", "", "h0"],
          outputs: ["hs", "h", "gates"],
          attributes: [hidden, int("linear_before_reset", before)],
        },
        {
          op: "GRUGrad",
          inputs: ["x", "w", "r", "b", "", "h0", "hs", "gates", "dHs", "dH"],
          outputs: ["dx", "dw", "dr", "db", "dh0"],
          attributes: [hidden, int("linear_before_reset", before)],
        },
      ],
      outputs: ["hs", "h", "gates", "dx", "dw", "dr", "db", "dh0"],
    }),
  ),
];

const others: readonly Case[] = [
  single("FakeQuant", [floats([2, 3], 3), scalar(0.1), scalar(7)], 2, [int("quant_min", 0), int("quant_max", 20)]),
  single("FakeQuantGrad", [floats([2, 3]), mask], 1),
  single("ZeroGradient", [floats([2, 3]), floats([1])], 1),
  single("InPlaceAccumulator", [floats([2, 3]), floats([2, 3])], 1),
  single("InPlaceAccumulator", [floats([2, 3]), floats([2, 3]), bools([1], [0])], 1, [], {
    title: "InPlaceAccumulator, not updated",
  }),
  single("InPlaceAccumulatorV2", [floats([2, 3]), floats([2, 3]), bools([1], [0])], 2),
  single("InPlaceAccumulatorV2", [floats([2, 3]), floats([2, 3]), bools([1], [1])], 2, [], {
    title: "InPlaceAccumulatorV2, overwritten",
  }),
  single("InPlaceAccumulatorV2", [scalar(2), scalar(3), bools([1], [0])], 2, [], {
    title: "InPlaceAccumulatorV2 of scalars",
  }),
  single("Group", [floats([2]), floats([3])], 1),
];

const adamInputs = (): GraphTensor[] => [
  GraphTensor.floats([1], [0.01]),
  ints([1], [3]),
  floats([2, 3]),
  floats([2, 3]),
  floats([2, 3], 0.1),
  positive([2, 3]),
];
const optimizers: readonly Case[] = [
  ...[0, 1].flatMap((mode) =>
    [0, 1].map((corrects) =>
      single(
        "AdamOptimizer",
        adamInputs(),
        5,
        [int("weight_decay_mode", mode), int("do_bias_correction", corrects), float("lambda", 0.1)],
        { title: `AdamOptimizer, weight decay mode ${mode}${corrects === 1 ? ", bias correction" : ""}` },
      ),
    ),
  ),
  single("SGDOptimizer", [GraphTensor.floats([1], [0.01]), floats([2, 3]), floats([2, 3])], 2),
];

/** Cases that the training build runs itself: its results are the reference. */
export const KERNEL_CASES: readonly Case[] = [
  ...activations,
  ...softmaxes,
  ...losses,
  ...norms,
  ...convolutions,
  ...pools,
  ...indexing,
  ...arithmetic,
  ...dropouts,
  ...recurrent,
  ...others,
  ...optimizers,
];

interface ReferenceTensor {
  readonly dtype: "float" | "int64" | "bool";
  readonly dims: readonly number[];
  readonly data: readonly (number | boolean | string)[];
}

export interface Reference {
  readonly inputs: readonly (ReferenceTensor | null)[];
  readonly outputs: readonly (ReferenceTensor | null)[];
}

const RESIZE = [string("mode", "linear"), string("coordinate_transformation_mode", "half_pixel")];
const PREVIEW = "ai.onnx.preview.training";
const momentum = (mode: string): readonly Attribute[] => [
  float("alpha", 0.8),
  float("beta", 0.5),
  float("norm_coefficient", 0.01),
  string("mode", mode),
];
const adam = [
  float("alpha", 0.8),
  float("beta", 0.9),
  float("norm_coefficient", 0.01),
  float("norm_coefficient_post", 0.02),
  float("epsilon", 1e-5),
];
const adagrad = [float("decay_factor", 0.1), float("epsilon", 1e-5), float("norm_coefficient", 0.01)];

/** The nodes of the cases in pytorch.json: operators whose kernels need a GPU, or that the training build cannot run. */
export const REFERENCE_NODES: Readonly<
  Record<string, { readonly attributes?: readonly Attribute[]; readonly domain?: string }>
> = {
  ConvTransposeGrad: { attributes: [intList("strides", [2, 2]), intList("pads", [1, 1, 1, 1])] },
  "ConvTransposeGrad, groups": { attributes: [int("group", 2)] },
  "ConvTransposeGrad, output padding": { attributes: [intList("strides", [2, 2]), intList("output_padding", [1, 1])] },
  "ResizeGrad, nearest": {
    attributes: [
      string("mode", "nearest"),
      string("coordinate_transformation_mode", "asymmetric"),
      string("nearest_mode", "floor"),
    ],
  },
  "ResizeGrad, linear": { attributes: RESIZE },
  "ResizeGrad, align_corners": {
    attributes: [string("mode", "linear"), string("coordinate_transformation_mode", "align_corners")],
  },
  "ResizeGrad, cubic": {
    attributes: [
      string("mode", "cubic"),
      string("coordinate_transformation_mode", "half_pixel"),
      float("cubic_coeff_a", -0.75),
    ],
  },
  ScaledSum: { attributes: [float("scale_0", 0.5), float("scale_1", 2)] },
  BatchScale: { attributes: [float("scale_0", 0.5), float("scale_1", 2)] },
  IsFinite: {},
  IsAllFinite: {},
  "IsAllFinite, all are": {},
  "IsAllFinite, isnan_only": { attributes: [int("isnan_only", 1)] },
  "IsAllFinite, isinf_only": { attributes: [int("isinf_only", 1)] },
  All: {},
  MixedPrecisionScale: { attributes: [int("to", DataType.float)] },
  "MixedPrecisionScale, fused": { attributes: [int("to", DataType.float), int("fuse_outputs", 1)] },
  PassThrough: {},
  View: {},
  PadAndUnflatten: {},
  FlattenAndUnpad: {},
  ShrunkenGather: { attributes: [int("axis", 0)] },
  BiasSoftmax: { attributes: [int("axis", 3), int("is_inner_broadcast", 0)] },
  "BiasSoftmax, outer": { attributes: [int("axis", 3), int("is_inner_broadcast", 0)] },
  SoftmaxDropoutGrad: { attributes: [int("axis", -1)] },
  BitmaskDropoutGrad: {},
  BitmaskDropout: {},
  BiasDropout: {},
  BitmaskBiasDropout: {},
  "GatherNDGrad, batch_dims 1": { attributes: [int("batch_dims", 1)] },
  GatherNDGrad: { attributes: [int("batch_dims", 0)] },
  InvertibleLayerNormalizationGrad: { attributes: [int("axis", -1)] },
  ReduceAllL2: {},
  LambOptimizer: { attributes: [attribute.floats("lambda", [0.01, 0.01])] },
  ...Object.fromEntries(
    [0, 2].flatMap((update) => [
      [`Adam, update ${update}`, { domain: PREVIEW, attributes: adam }],
      [`Adagrad, update ${update}`, { domain: PREVIEW, attributes: adagrad }],
      [`Momentum, standard, update ${update}`, { domain: PREVIEW, attributes: momentum("standard") }],
      [`Momentum, nesterov, update ${update}`, { domain: PREVIEW, attributes: momentum("nesterov") }],
    ]),
  ),
};

const TENSORS: Readonly<Record<ReferenceTensor["dtype"], (tensor: ReferenceTensor) => GraphTensor>> = {
  float: ({ dims, data }) => GraphTensor.floats(dims, data.map(Number)),
  int64: ({ dims, data }) => ints(dims, data.map(Number)),
  bool: ({ dims, data }) => bools(dims, data.map(Number)),
};

/** The case of a reference, and what its outputs must be. */
export function referenceCase(
  name: string,
  { inputs, outputs }: Reference,
): { readonly testCase: Case; readonly expected: Readonly<Record<string, GraphTensor>> } {
  const [op = ""] = name.split(",");
  const { attributes = [], domain = MICROSOFT } = REFERENCE_NODES[name] ?? {};
  const tensors = inputs.map((each) => (each === null ? null : TENSORS[each.dtype](each)));
  const testCase = single(op, tensors, outputs.length, attributes, { domain, title: name });
  const wanted = outputs.flatMap((each, index) =>
    each === null ? [] : [[`out${index}`, TENSORS[each.dtype](each)] as const],
  );
  return { testCase: { ...testCase, outputs: wanted.map(([output]) => output) }, expected: Object.fromEntries(wanted) };
}
