import { type Attribute, attribute, DataType, GraphTensor } from "../../src/entries/graph.ts";

/** An input: a constant, or a tensor that is fed and of which the shape alone is known when the types are inferred. */
export interface Given {
  readonly tensor: GraphTensor;
  readonly isFed: boolean;
}

/** One node. What is inferred of its outputs must be what ONNX Runtime makes. */
export interface InferenceCase {
  /** As the table of rules has it: `MatMul`, `com.microsoft.Gelu`. */
  readonly op: string;
  readonly inputs: readonly (Given | null)[];
  readonly attributes: readonly Attribute[];
  readonly outputs: number;
  readonly opset: number;
  /** `elements`: every element is told. `shape`: every size is. `type`: the element type alone must be. */
  readonly tells: "elements" | "shape" | "type";
}

type Options = Partial<Omit<InferenceCase, "op" | "inputs">>;

const ARRAYS = new Map<number, (values: readonly number[]) => Parameters<typeof GraphTensor.from>[2]>([
  [DataType.float, (values) => Float32Array.from(values)],
  [DataType.double, (values) => Float64Array.from(values)],
  [DataType.int64, (values) => BigInt64Array.from(values, BigInt)],
  [DataType.int32, (values) => Int32Array.from(values)],
  [DataType.uint8, (values) => Uint8Array.from(values)],
  [DataType.int8, (values) => Int8Array.from(values)],
  [DataType.bool, (values) => Uint8Array.from(values)],
]);

const given =
  (dtype: number, isFed: boolean) =>
  (dims: readonly number[], values?: readonly number[]): Given => {
    const size = dims.reduce((product, dim) => product * dim, 1);
    const elements = values ?? Array.from({ length: size }, (_, index) => ((index % 5) + 1) / (dtype === 1 ? 4 : 1));
    return {
      isFed,
      tensor: GraphTensor.from(dtype, dims, ARRAYS.get(dtype)?.(elements) ?? Float32Array.from(elements)),
    };
  };

export const i64 = given(DataType.int64, false);
export const i32 = given(DataType.int32, false);
export const u8 = given(DataType.uint8, false);
export const i8 = given(DataType.int8, false);
export const f32 = given(DataType.float, false);
const f64 = given(DataType.double, false);
export const bool = given(DataType.bool, false);
export const x = given(DataType.float, true);
export const fedInts = given(DataType.int64, true);
const fedBool = given(DataType.bool, true);

const { int, ints, string } = attribute;

const make =
  (tells: InferenceCase["tells"]) =>
  (op: string, inputs: InferenceCase["inputs"], options: Options | readonly Attribute[] = {}): InferenceCase => {
    const given: Options = Array.isArray(options) ? { attributes: options } : (options as Options);
    return { op, inputs, attributes: [], outputs: 1, opset: 17, tells, ...given };
  };
const elements = make("elements");
export const shape = make("shape");
export const type = make("type");

/** Operands of one arithmetic operator: types, signs, broadcasting. */
const operands = (op: string): readonly InferenceCase[] => [
  elements(op, [i64([4], [7, -7, 7, -7]), i64([4], [2, 2, -2, -2])]),
  elements(op, [i32([4], [9, -9, 1, 5]), i32([1], [4])]),
  elements(op, [i64([2, 1], [3, -8]), i64([3], [1, 2, 5])]),
  elements(op, [i64([], [6]), i64([1, 1], [4])]),
  elements(op, [i64([0], []), i64([1], [4])]),
  shape(op, [fedInts([2, 1]), fedInts([1, 3])]),
];

const floats = (op: string): readonly InferenceCase[] => [
  elements(op, [f32([4], [7, -7, 0.5, 2.5]), f32([4], [2, 2, -2, 0.1])]),
  elements(op, [f64([2], [1, 10]), f64([], [3])]),
  shape(op, [x([2, 1, 4]), x([3, 1])]),
];

const several = (op: string): readonly InferenceCase[] => [
  elements(op, [i64([3], [2, 1, 1]), i64([3], [1, 3, 1]), i64([3], [1, 1, 4])], { opset: op === "Sum" ? 13 : 17 }),
  elements(op, [i64([3, 1], [2, -1, 1]), i64([1, 2], [0, 3]), i64([], [1]), i64([1], [2])]),
  elements(op, [i64([2], [2, -1])]),
];

const COMPARED = ["Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual"];
const LOGICAL = ["And", "Or", "Xor"];

const ARITHMETIC: readonly InferenceCase[] = [
  ...["Add", "Sub", "Mul", "Div"].flatMap((op) => [...operands(op), ...floats(op)]),
  ...["Max", "Min"].flatMap((op) => [...operands(op), ...floats(op), ...several(op)]),
  ...operands("Mod"),
  elements("Mod", [i64([3], [-2, 3, 4]), i64([3], [4, 6, 8])]),
  elements("Mod", [i64([4], [7, -7, 7, -7]), i64([4], [3, 3, -3, -3])], [int("fmod", 1)]),
  elements("Mod", [f32([4], [7, -7, 7.5, -7.5]), f32([4], [3, 3, -3, -3])], [int("fmod", 1)]),
  elements("Mod", [i32([2], [-9, 9]), i32([2], [4, -4])]),
  elements("Pow", [i64([3], [2, -3, 5]), i64([3], [3, 2, 0])]),
  shape("Pow", [f32([3], [2, 4, 9]), i64([], [2])]),
  elements("Sum", [f32([3], [1, 2, 3]), f32([1], [0.5]), f32([2, 1], [1, -1])]),
  shape("Sum", [x([2, 3]), x([3])]),
  shape("Mean", [x([2, 1]), x([3]), x([1, 3])]),
  ...COMPARED.flatMap((op) => [
    elements(op, [i64([4], [1, -2, 3, 3]), i64([4], [1, 2, -3, 4])]),
    elements(op, [f32([2, 1], [0.5, 1.5]), f32([2], [0.5, 1])]),
    elements(op, [i32([3], [1, 2, 3]), i32([], [2])]),
    shape(op, [x([2, 1]), x([3])]),
  ]),
  elements("Equal", [bool([2], [0, 1]), bool([1], [1])]),
  ...LOGICAL.flatMap((op) => [
    elements(op, [bool([4], [0, 0, 1, 1]), bool([4], [0, 1, 0, 1])]),
    elements(op, [bool([2, 1], [0, 1]), bool([3], [1, 0, 1])]),
    shape(op, [fedBool([2, 1], [0, 1]), fedBool([3], [1, 0, 1])]),
  ]),
  elements("Not", [bool([3], [1, 0, 1])]),
  elements("Identity", [i64([2, 2], [1, -2, 3, 4])]),
  elements("Identity", [f32([2], [0.25, -1])]),
  ...["Abs", "Neg", "Sign"].flatMap((op) => [
    elements(op, [i64([3], [-3, 0, 5])]),
    elements(op, [i32([2], [-3, 5])]),
    elements(op, [f32([3], [-1.5, 0, 2.5])]),
  ]),
  elements("Abs", [i8([2], [-3, 5])]),
  ...["Floor", "Ceil", "Round"].flatMap((op) => [
    elements(op, [f32([7], [0.5, 1.5, 2.5, -0.5, -1.5, 2.4, -2.6])]),
    elements(op, [f64([2], [3.5, -3.5])]),
    shape(op, [x([2, 3])]),
  ]),
  elements("Relu", [f32([3], [-1, 0.5, 2])]),
  elements("Relu", [i32([3], [-1, 0, 2])]),
  elements("Where", [bool([1], [1]), i64([3], [2, 3, 4]), i64([3], [24, 1, 1])]),
  elements("Where", [bool([], [0]), i64([3], [2, 3, 4]), i64([1], [24])]),
  elements("Where", [bool([2, 1], [0, 1]), i64([3], [2, 3, 4]), i64([], [9])]),
  elements("Where", [bool([3], [0, 1, 1]), f32([3], [2, 3, 4]), f32([1], [0.5])]),
  shape("Where", [fedBool([2, 1], [1, 0]), x([3]), x([1])]),
  ...[DataType.int64, DataType.int32, DataType.float, DataType.double, DataType.bool].map((to) =>
    elements("Cast", [f32([4], [1.75, -1.75, 0, 3])], [int("to", to)]),
  ),
  elements("Cast", [i64([4], [-3, 0, 1, 200])], [int("to", DataType.float)]),
  elements("Cast", [i64([3], [0, 1, -2])], [int("to", DataType.bool)]),
  elements("Cast", [bool([2], [0, 1])], [int("to", DataType.int64)]),
  elements("Cast", [i32([2], [0, 255])], [int("to", DataType.uint8)]),
  shape("Cast", [i32([2], [-1, 300])], [int("to", DataType.uint8)]),
  elements("Cast", [u8([2], [7, 255])], [int("to", DataType.int32)]),
  shape("Cast", [f32([2], [0.1, 16777217])], [int("to", DataType.float16)]),
  elements("CastLike", [f32([3], [1.5, -2.5, 4]), i64([1], [0])]),
];

const KEPT = [0, 1].map((keep) => int("keepdims", keep));
const REDUCED = ["ReduceProd", "ReduceSum", "ReduceMax", "ReduceMin"];
const matrix = i64([2, 3], [2, -3, 4, 1, 5, -6]);

const reductions = (op: string): readonly InferenceCase[] => [
  ...KEPT.flatMap((keep) => [
    elements(op, [matrix, i64([1], [1])], { opset: 18, attributes: [keep] }),
    elements(op, [matrix, i64([1], [-2])], { opset: 18, attributes: [keep] }),
    elements(op, [matrix, i64([2], [0, 1])], { opset: 18, attributes: [keep] }),
    elements(op, [matrix], { opset: 18, attributes: [keep] }),
  ]),
  elements(op, [f32([3], [1, 2, 3]), i64([1], [0])], { opset: 18 }),
  elements(op, [matrix], { opset: 18, attributes: [int("noop_with_empty_axes", 1)] }),
  shape(op, [x([2, 3, 4]), i64([2], [-1, 0])], { opset: 18, attributes: [int("keepdims", 0)] }),
];

const OTHER_REDUCTIONS = ["ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceMean", "ReduceSumSquare"];

const slice = (data: Given, starts: number[], ends: number[], axes?: number[], steps?: number[]): InferenceCase => {
  const list = (values: number[]): Given => i64([values.length], values);
  const optional = axes === undefined ? [] : [list(axes), ...(steps === undefined ? [] : [list(steps)])];
  return elements("Slice", [data, list(starts), list(ends), ...optional]);
};
const row = i64([5], [10, 11, 12, 13, 14]);
const cube = i64([2, 3, 2], [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);

const ARRANGED: readonly InferenceCase[] = [
  elements("Constant", [], [attribute.tensor("value", i64([2, 1], [5, -6]).tensor)]),
  elements("Constant", [], [attribute.tensor("value", f32([2], [0.5, 1]).tensor)]),
  elements("Constant", [], [attribute.tensor("value", bool([2], [1, 0]).tensor)]),
  elements("Constant", [], [ints("value_ints", [1, 2, -3])]),
  elements("Constant", [], [int("value_int", -4)]),
  elements("Constant", [], [attribute.float("value_float", 0.5)]),
  elements("Constant", [], [attribute.floats("value_floats", [0.5, 2])]),
  elements("Shape", [x([2, 3, 4])]),
  elements("Shape", [x([2, 3, 4])], [int("start", 1)]),
  elements("Shape", [x([2, 3, 4])], [int("start", -2), int("end", -1)]),
  elements("Shape", [x([2, 3, 4])], [int("start", -7), int("end", 9)]),
  elements("Shape", [x([2, 3, 4])], [int("start", 2), int("end", 1)]),
  elements("Shape", [x([], [1])]),
  elements("Size", [x([2, 3, 4])]),
  elements("Size", [x([], [1])]),
  elements("Size", [x([2, 0])]),
  elements("Reshape", [cube, i64([2], [0, -1])]),
  elements("Reshape", [cube, i64([3], [2, 0, -1])], [int("allowzero", 0)]),
  elements("Reshape", [i64([0, 3], []), i64([2], [3, 0])], [int("allowzero", 1)]),
  elements("Reshape", [i64([1], [4]), i64([0], [])]),
  elements("Reshape", [cube, i32([1], [12])].slice(0, 1).concat(i64([1], [12]))),
  type("Reshape", [x([2, 3]), fedInts([2], [3, 2])]),
  ...[0, 1, -1, 3].map((axis) => elements("Flatten", [cube], [int("axis", axis)])),
  elements("Concat", [i64([2], [1, 2]), i64([1], [-3]), i64([0], [])], [int("axis", 0)]),
  elements("Concat", [matrix, i64([2, 1], [7, 8])], [int("axis", -1)]),
  elements("Concat", [matrix, i64([1, 3], [7, 8, 9])], [int("axis", 0)]),
  elements("Concat", [f32([1], [0.5]), f32([1], [2])], [int("axis", 0)]),
  shape("Concat", [i64([2], [1, 2]), fedInts([3])], [int("axis", 0)]),
  elements("Split", [row, i64([2], [2, 3])], { outputs: 2 }),
  elements("Split", [matrix], { outputs: 3, attributes: [int("axis", -1)] }),
  elements("Split", [row], { outputs: 3, opset: 18, attributes: [int("num_outputs", 3)] }),
  shape("Split", [x([4, 2]), i64([2], [1, 3])], { outputs: 2 }),
  slice(row, [1], [4]),
  slice(row, [-3], [2 ** 31]),
  slice(row, [-9], [-1]),
  slice(row, [4], [-9], [0], [-1]),
  slice(row, [-1], [-6], [-1], [-2]),
  slice(row, [9], [0], [0], [-3]),
  slice(row, [0], [5], [0], [2]),
  slice(row, [3], [1]),
  slice(cube, [1, 0], [2, 3], [1, 0]),
  slice(cube, [-1, 2], [-3, -10], [-1, 1], [-1, -2]),
  slice(i64([0], []), [0], [4]),
  elements("Slice", [row, i32([1], [1]), i32([1], [3]), i32([1], [0])]),
  shape("Slice", [x([4, 6]), i64([2], [1, -2]), i64([2], [3, 6])]),
  type("Slice", [x([4, 6]), fedInts([1], [1]), i64([1], [3])]),
  elements("Gather", [i64([2, 3], [24, 1, 1, 2, 3, 4]), i64([], [1])]),
  elements("Gather", [matrix, i64([2], [-1, 0])], [int("axis", 1)]),
  elements("Gather", [matrix, i64([2, 2], [0, 1, 1, 0])], [int("axis", 0)]),
  elements("Gather", [row, i64([], [-1])]),
  elements("Gather", [row, i32([1], [2])]),
  elements("Gather", [cube, i64([1, 2], [1, -3])], [int("axis", -2)]),
  elements("Gather", [f32([3], [0.5, 1, 2]), i64([2], [2, 0])]),
  shape("Gather", [x([5, 2]), fedInts([3, 1], [0, 1, 2])]),
  elements("Unsqueeze", [row, i64([1], [0])]),
  elements("Unsqueeze", [matrix, i64([2], [-1, 0])]),
  elements("Unsqueeze", [i64([], [4]), i64([1], [0])]),
  elements("Squeeze", [i64([1, 2, 1], [4, 5])]),
  elements("Squeeze", [i64([1, 2, 1], [4, 5]), i64([1], [-1])]),
  elements("Squeeze", [i64([1], [4])]),
  elements("Transpose", [cube]),
  elements("Transpose", [cube], [ints("perm", [1, 2, 0])]),
  elements("Transpose", [matrix], [ints("perm", [1, 0])]),
  elements("Expand", [i64([3, 1], [1, 2, 3]), i64([2], [1, 2])]),
  elements("Expand", [i64([1], [7]), i64([3], [2, 1, 2])]),
  elements("Expand", [i64([2, 1], [7, 8]), i64([1], [1])]),
  type("Expand", [x([2, 1]), fedInts([2], [2, 3])]),
  elements("Tile", [matrix, i64([2], [2, 1])]),
  elements("Tile", [i64([2], [1, 2]), i64([1], [3])]),
  elements("Tile", [i64([2], [1, 2]), i64([1], [0])]),
  shape("Tile", [x([2, 3]), i64([2], [3, 2])]),
  elements("ConstantOfShape", [i64([1], [3])]),
  elements("ConstantOfShape", [i64([2], [2, 2])], [attribute.tensor("value", i64([1], [-7]).tensor)]),
  elements("ConstantOfShape", [i64([0], [])], [attribute.tensor("value", i32([1], [5]).tensor)]),
  elements("ConstantOfShape", [i64([1], [2])], [attribute.tensor("value", bool([1], [1]).tensor)]),
  elements("ConstantOfShape", [i64([2], [2, 0])], [attribute.tensor("value", f32([1], [0.5]).tensor)]),
  shape("ConstantOfShape", [i64([2], [20, 30])]),
  elements("Range", [i64([], [0]), i64([], [5]), i64([], [2])]),
  elements("Range", [i64([], [5]), i64([], [-2]), i64([], [-3])]),
  elements("Range", [i32([], [3]), i32([], [1]), i32([], [1])]),
  elements("Range", [f32([], [1]), f32([], [4]), f32([], [1])]),
  shape("Range", [f32([], [0]), f32([], [1]), f32([], [0.3])]),
  shape("Range", [i64([], [0]), i64([], [500]), i64([], [1])]),
];

const image = x([2, 4, 6, 5]);
const NETWORKS: readonly InferenceCase[] = [
  ...OTHER_REDUCTIONS.flatMap((op) => [
    shape(op, [x([2, 3, 4])], [ints("axes", [-1]), int("keepdims", 0)]),
    shape(op, [x([2, 3, 4]), i64([2], [0, 2])], { opset: 18 }),
    shape(op, [x([2, 3, 4])], { opset: 18, attributes: [int("keepdims", 0)] }),
  ]),
  ...["ArgMax", "ArgMin"].flatMap((op) => [
    shape(op, [image], [int("axis", -1), int("keepdims", 0)]),
    shape(op, [image], [int("axis", 1)]),
  ]),
  shape("MatMul", [x([2, 1, 3, 4]), x([5, 4, 2])]),
  shape("MatMul", [x([4]), x([5, 4, 2])]),
  shape("MatMul", [x([3, 4]), x([4])]),
  shape("MatMul", [x([4]), x([4])]),
  shape("Gemm", [x([4, 3]), x([5, 4]), x([5])], [int("transA", 1), int("transB", 1)]),
  shape("Einsum", [x([2, 3]), x([3, 4])], [string("equation", "ij,jk->ik")]),
  shape("Einsum", [x([2, 3]), x([3, 4])], [string("equation", "ji,ik")]),
  shape("Einsum", [x([3, 3])], [string("equation", "ii->i")]),
  shape("Einsum", [x([2, 1, 3, 4]), x([1, 5, 4, 2])], [string("equation", "...ij, ...jk -> ...ik")]),
  shape("Einsum", [x([2, 3, 4])], [string("equation", "i...")]),
  shape("Conv", [image, x([6, 2, 3, 2])], [int("group", 2), ints("strides", [2, 1]), ints("pads", [1, 0, 2, 1])]),
  shape("Conv", [image, x([3, 4, 2, 2])], [ints("dilations", [2, 2])]),
  shape("Conv", [image, x([3, 4, 3, 3])], [string("auto_pad", "SAME_UPPER"), ints("strides", [2, 2])]),
  shape("ConvTranspose", [image, x([4, 3, 3, 3])], [ints("strides", [2, 2]), ints("output_padding", [1, 0])]),
  shape("ConvTranspose", [image, x([4, 3, 3, 3])], [int("group", 2), ints("pads", [1, 0, 0, 1])]),
  ...["MaxPool", "AveragePool", "LpPool"].flatMap((op) => [
    shape(op, [image], [ints("kernel_shape", [3, 2]), ints("strides", [2, 2]), ints("pads", [1, 0, 1, 1])]),
    shape(op, [image], [ints("kernel_shape", [2, 2]), string("auto_pad", "VALID"), ints("strides", [1, 2])]),
    shape(op, [image], [ints("kernel_shape", [2, 2]), string("auto_pad", "SAME_LOWER"), ints("strides", [2, 2])]),
  ]),
  ...["MaxPool", "AveragePool"].flatMap((op) => [
    shape(op, [image], [ints("kernel_shape", [2, 2]), ints("strides", [2, 2]), int("ceil_mode", 1)]),
    shape(
      op,
      [image],
      [ints("kernel_shape", [2, 2]), ints("strides", [3, 3]), ints("pads", [1, 1, 1, 1]), int("ceil_mode", 1)],
    ),
    shape(
      op,
      [image],
      [ints("kernel_shape", [3, 3]), ints("strides", [2, 2]), ints("pads", [1, 0, 1, 1]), int("ceil_mode", 1)],
    ),
  ]),
  shape("MaxPool", [image], { outputs: 2, attributes: [ints("kernel_shape", [2, 2]), ints("dilations", [2, 1])] }),
  ...["GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool"].map((op) => shape(op, [image])),
  shape("BatchNormalization", [image, x([4]), x([4]), x([4]), x([4])]),
  shape("BatchNormalization", [image, x([4]), x([4]), x([4]), x([4])], {
    outputs: 3,
    attributes: [int("training_mode", 1)],
  }),
  shape("LayerNormalization", [image, x([6, 5])], { outputs: 3, attributes: [int("axis", 2)] }),
  shape("LayerNormalization", [image, x([5])], { outputs: 3 }),
  type("com.microsoft.SkipLayerNormalization", [x([2, 3, 4]), x([2, 3, 4]), x([4])]),
  shape("QuantizeLinear", [x([2, 3]), f32([], [0.5]), i8([], [3])]),
  shape("QuantizeLinear", [x([2, 3]), f32([], [0.5])]),
  shape(
    "DequantizeLinear",
    [u8([2, 3], [1, 2, 3, 4, 5, 6]), f32([3], [0.5, 1, 2]), u8([3], [0, 1, 2])],
    [int("axis", 1)],
  ),
  shape("DynamicQuantizeLinear", [x([2, 3])], { outputs: 3 }),
  shape("ReverseSequence", [x([4, 3, 2]), i64([3], [2, 4, 1])]),
  shape("Det", [x([2, 3, 3])]),
  shape("GridSample", [x([1, 2, 4, 5]), x([1, 3, 6, 2])]),
  ...["RotaryEmbedding", "com.microsoft.RotaryEmbedding"].map((op) => {
    const [tables, at] = [[x([5, 2]), x([5, 2])], i64([2, 3], [0, 1, 2, 2, 3, 4])];
    return shape(op, [x([2, 2, 3, 4]), ...(op === "RotaryEmbedding" ? [...tables, at] : [at, ...tables])], {
      opset: 23,
    });
  }),
  shape("com.microsoft.MultiHeadAttention", [x([2, 3, 8]), x([2, 5, 8]), x([2, 5, 4])], [int("num_heads", 2)]),
  shape("com.microsoft.MultiHeadAttention", [x([2, 3, 8]), x([2, 2, 5, 4]), x([2, 2, 5, 4])], [int("num_heads", 2)]),
  shape(
    "com.microsoft.GroupQueryAttention",
    [x([1, 3, 32]), x([1, 3, 16]), x([1, 3, 16]), null, null, i32([1], [2]), i32([], [3])],
    [int("num_heads", 4), int("kv_num_heads", 2)],
  ),
  shape(
    "com.microsoft.GroupQueryAttention",
    [x([1, 3, 64]), null, null, null, null, i32([1], [2]), i32([], [3])],
    [int("num_heads", 4), int("kv_num_heads", 2)],
  ),
  shape("com.microsoft.Attention", [x([2, 3, 6]), x([6, 18]), x([18]), null, x([2, 2, 2, 4, 3])], {
    attributes: [int("num_heads", 2)],
    outputs: 2,
  }),
  shape(
    "com.microsoft.Attention",
    [x([2, 3, 6]), x([6, 16]), x([16])],
    [int("num_heads", 2), ints("qkv_hidden_sizes", [4, 4, 8])],
  ),
  shape(
    "com.microsoft.EmbedLayerNormalization",
    [i32([2, 3], [0, 1, 2, 3, 4, 0]), null, x([5, 4]), x([3, 4]), null, x([4]), x([4])],
    {
      outputs: 2,
    },
  ),
  type("com.microsoft.SkipSimplifiedLayerNormalization", [x([2, 3, 4]), x([2, 3, 4]), x([4])]),
  shape(
    "com.microsoft.FusedGemm",
    [x([4, 3]), x([5, 4])],
    [int("transA", 1), int("transB", 1), string("activation", "Relu")],
  ),
  shape("com.microsoft.FusedConv", [x([1, 2, 5, 5]), x([3, 2, 3, 3])], [string("activation", "Relu")]),
  type("com.microsoft.FusedMatMul", [x([2, 3, 4]), x([4, 5])]),
  shape("SoftmaxCrossEntropyLoss", [x([3, 4]), fedInts([3], [0, 1, 2])], { outputs: 2 }),
  shape("SoftmaxCrossEntropyLoss", [x([3, 4, 2]), fedInts([3, 2], [0, 1, 2, 0, 1, 2])], {
    outputs: 2,
    attributes: [string("reduction", "none")],
  }),
  shape("NegativeLogLikelihoodLoss", [x([3, 4]), fedInts([3], [0, 1, 2])]),
  shape("NegativeLogLikelihoodLoss", [x([3, 4]), fedInts([3], [0, 1, 2])], [string("reduction", "none")]),
  shape("LSTM", [x([5, 2, 3]), x([2, 16, 3]), x([2, 16, 4])], {
    outputs: 3,
    attributes: [int("hidden_size", 4), string("direction", "bidirectional")],
  }),
  shape("GRU", [x([5, 2, 3]), x([1, 12, 3]), x([1, 12, 4])], { outputs: 2, attributes: [int("hidden_size", 4)] }),
  shape("RNN", [x([5, 2, 3]), x([1, 4, 3]), x([1, 4, 4])], { outputs: 2, attributes: [int("hidden_size", 4)] }),
  shape("Attention", [x([2, 2, 3, 4]), x([2, 2, 5, 4]), x([2, 2, 5, 6])], { opset: 23 }),
  shape("Attention", [x([2, 3, 8]), x([2, 5, 8]), x([2, 5, 4])], {
    opset: 23,
    attributes: [int("q_num_heads", 2), int("kv_num_heads", 2)],
  }),
];

/** Operators of which a shape is told, and no elements. */
const SHAPED: readonly InferenceCase[] = [
  ...[
    ...["Acos", "Acosh", "Asin", "Asinh", "Atan", "Atanh", "Celu", "Cos", "Cosh", "Elu", "Erf", "Exp", "HardSigmoid"],
    ...["HardSwish", "Hardmax", "LeakyRelu", "Log", "LogSoftmax", "LpNormalization", "Mish", "Reciprocal", "Selu"],
    ...["Shrink", "Sigmoid", "Sin", "Sinh", "Softmax", "Softplus", "Softsign", "Sqrt", "Tan", "Tanh"],
    ...["ThresholdedRelu", "MeanVarianceNormalization", "Clip", "Trilu"],
  ].map((op) => shape(op, [op === "MeanVarianceNormalization" ? image : x([3, 4])], { opset: 18 })),
  shape("Gelu", [x([3, 4])], { opset: 20 }),
  shape("Swish", [x([3, 4])], { opset: 24 }),
  shape("BitwiseNot", [i64([3])], { opset: 18 }),
  shape("CumSum", [x([3, 4]), i64([], [1])]),
  shape("PRelu", [x([3, 4]), x([4])]),
  shape("LRN", [image], [int("size", 3)]),
  shape("InstanceNormalization", [image, x([4]), x([4])]),
  shape("GroupNormalization", [image, x([4]), x([4])], { opset: 21, attributes: [int("num_groups", 2)] }),
  shape("RMSNormalization", [x([3, 4]), x([4])], { opset: 23 }),
  shape("SimplifiedLayerNormalization", [x([3, 4]), x([4])]),
  shape("ai.onnx.ml.Binarizer", [x([3, 4])]),
  shape("ai.onnx.ml.Imputer", [x([3, 4])], [attribute.floats("imputed_value_floats", [0])]),
  shape("ai.onnx.ml.Normalizer", [x([3, 4])]),
  shape("ai.onnx.ml.Normalizer", [fedInts([3, 4])]),
  shape(
    "ai.onnx.ml.Scaler",
    [fedInts([3, 2])],
    [attribute.floats("offset", [1, 2]), attribute.floats("scale", [1, 2])],
  ),
  ...["Gelu", "FastGelu", "QuickGelu"].map((op) => shape(`com.microsoft.${op}`, [x([3, 4])])),
  shape("com.microsoft.BiasGelu", [x([3, 4]), x([4])]),
  shape("IsNaN", [x([3, 4])]),
  shape("IsInf", [x([3, 4])]),
  shape("Dropout", [x([3, 4])], { outputs: 2 }),
  shape("GatherElements", [x([3, 4]), fedInts([2, 4], [0, 1, 2, 0, 1, 2, 0, 1])]),
  shape("GatherND", [x([3, 4, 2]), i64([2, 1, 2], [0, 1, 2, 3])]),
  shape("GatherND", [x([2, 4, 3]), i64([2, 1], [0, 3])], [int("batch_dims", 1)]),
  shape("ScatterElements", [x([3, 4]), i64([1, 2], [0, 1]), x([1, 2])]),
  shape("ScatterND", [x([3, 4]), i64([1, 1], [2]), x([1, 4])]),
  shape("Pad", [x([3, 4]), i64([4], [1, 0, 2, -1])]),
  shape("Pad", [x([3, 4]), i64([2], [1, 2]), null, i64([1], [-1])], { opset: 18 }),
  shape("EyeLike", [x([3, 4])], [int("dtype", DataType.int64)]),
  type("NonZero", [x([3, 4])]),
  shape("OneHot", [fedInts([3, 2], [0, 1, 2, 0, 1, 2]), i64([1], [5]), x([2])], [int("axis", 1)]),
  shape("OneHot", [fedInts([3], [0, 1, 2]), i64([], [5]), x([2])]),
  shape("TopK", [x([3, 4]), i64([1], [2])], { outputs: 2, attributes: [int("axis", 0)] }),
  shape("TopK", [x([3, 4]), i64([1], [2])], { outputs: 2 }),
  shape("DepthToSpace", [x([1, 8, 2, 3])], [int("blocksize", 2)]),
  shape("SpaceToDepth", [x([1, 2, 4, 6])], [int("blocksize", 2)]),
  shape("Resize", [image, null, f32([4], [1, 1, 2, 1.5])]),
  shape("Resize", [image, null, null, i64([4], [2, 4, 3, 9])]),
];

export const INFERENCE_CASES: readonly InferenceCase[] = [
  ...ARITHMETIC,
  ...REDUCED.flatMap(reductions),
  ...ARRANGED,
  ...NETWORKS,
  ...SHAPED,
];

/** Rules without a case, and why. */
export const WITHOUT_CASE: Readonly<Record<string, string>> = {
  If: "its branches are graphs: tested with the gradients of control flow",
  Loop: "its body is a graph: tested with the gradients of control flow",
  Scan: "its body is a graph: tested with the gradients of control flow",
  TensorScatter: "onnxruntime-node has no kernel",
  "com.microsoft.NhwcConv": "onnxruntime-node has no kernel for the CPU",
  "com.microsoft.BatchNormInternal": "onnxruntime-node has no training operators",
};
