import {
  type AttributeProto,
  MODEL,
  type ModelProto,
  type NodeProto,
  type TensorProto,
  type TypeProto,
} from "../../../src/graph/proto/schema.ts";
import { writeMessage } from "../../../src/graph/proto/write.ts";

const bytes = (...values: number[]): Uint8Array => Uint8Array.from(values);
const float: TypeProto = {
  tensorType: { elemType: 1, shape: { dim: [{ dimValue: 2n }, { dimParam: "N", denotation: "BATCH" }, {}] } },
  denotation: "TENSOR",
};
const entry = [{ key: "key", value: "value" }];
const packedFloats = new Uint8Array(Float32Array.of(1, 2).buffer);

const TENSORS: readonly TensorProto[] = [
  { dims: [2n], dataType: 1, floatData: packedFloats, name: "packed", docString: "a tensor", metadataProps: entry },
  { dims: [1n], dataType: 7, int64Data: bytes(0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f), name: "int64" },
  { dims: [1n], dataType: 8, stringData: [bytes(0xff, 0x00)], name: "text" },
  { dims: [3n], dataType: 22, rawData: bytes(0x21, 0x03), name: "int4" },
  { dims: [3n], dataType: 25, rawData: bytes(0x1b), name: "uint2" },
  { dims: [2n], dataType: 24, rawData: bytes(1, 2), name: "float8e8m0" },
  { dims: [0n, 4n], dataType: 10, name: "empty" },
];

const sparse = (name: string) => ({
  values: { dims: [1n], dataType: 1, rawData: bytes(0, 0, 128, 63), name },
  indices: { dims: [1n], dataType: 7, rawData: bytes(1, 0, 0, 0, 0, 0, 0, 0) },
  dims: [4n],
});

const ATTRIBUTES: readonly AttributeProto[] = [
  { name: "f", f: 0.1, type: 1 },
  { name: "i", i: 9223372036854775807n, type: 2, docString: "2^63 - 1, as Slice has it" },
  { name: "s", s: bytes(0xc3, 0x28), type: 3 },
  { name: "t", t: { dims: [], dataType: 11, doubleData: new Uint8Array(8) }, type: 4 },
  { name: "floats", floats: [1, -0, Number.POSITIVE_INFINITY], type: 6 },
  { name: "ints", ints: [-1n, -9223372036854775808n], type: 7 },
  { name: "strings", strings: [bytes(), bytes(97)], type: 8 },
  { name: "tensors", tensors: [{ dims: [1n], dataType: 9, int32Data: bytes(1) }], type: 9 },
  { name: "sparse", sparseTensor: sparse(""), type: 11 },
  { name: "sparses", sparseTensors: [sparse("")], type: 12 },
  { name: "type", tp: { sequenceType: { elemType: float } }, type: 13 },
  {
    name: "types",
    typeProtos: [{ optionalType: { elemType: float } }, { mapType: { keyType: 7, valueType: float } }],
    type: 14,
  },
  { name: "empty_ints", ints: [], type: 7 },
];

const nodes: readonly NodeProto[] = [
  {
    input: ["x"],
    output: ["a", ""],
    name: "everything",
    opType: "Everything",
    domain: "test",
    overload: "o",
    attribute: [...ATTRIBUTES],
    docString: "",
    metadataProps: entry,
  },
  {
    input: ["a", "", "packed"],
    output: ["y"],
    opType: "If",
    domain: "",
    attribute: [
      {
        name: "then",
        g: {
          node: [{ input: ["a"], output: ["inner"], opType: "Identity" }],
          name: "then",
          output: [{ name: "inner" }],
        },
        type: 5,
      },
    ],
    deviceConfigurations: [
      {
        configurationId: "c",
        shardingSpec: [
          {
            tensorName: "a",
            device: [0n, 1n],
            indexToDeviceGroupMap: [{ key: 1n, value: [2n] }],
            shardedDim: [{ axis: 0n, simpleSharding: [{ dimParam: "N", numShards: 2n }] }],
          },
        ],
        pipelineStage: 0,
      },
    ],
  },
];

/** A model with every message and kind of value the schema has, presence and absence of empty texts included. */
export const FULL_MODEL: ModelProto = {
  irVersion: 13n,
  producerName: "",
  domain: "some.domain",
  modelVersion: -1n,
  docString: "doc",
  graph: {
    node: [...nodes],
    name: "graph",
    initializer: [...TENSORS],
    docString: "",
    input: [{ name: "x", type: float, docString: "input", metadataProps: entry }, { name: "packed" }],
    output: [{ name: "y", type: { sparseTensorType: { elemType: 1, shape: {} } } }],
    valueInfo: [{ name: "a", type: { opaqueType: { domain: "d", name: "n" } } }, { name: "of nothing" }],
    quantizationAnnotation: [
      { tensorName: "a", quantParameterTensorNames: [{ key: "SCALE_TENSOR", value: "packed" }] },
    ],
    sparseInitializer: [sparse("sparse_weight")],
    metadataProps: entry,
  },
  opsetImport: [{ domain: "", version: 17n }, { domain: "test", version: 1n }, { version: 17n }],
  metadataProps: [{ key: "__proto__", value: "" }, { key: "empty" }],
  trainingInfo: [
    {
      initialization: { output: [] },
      algorithm: {
        node: [{ input: ["packed"], output: ["renewed"], opType: "Identity" }],
        output: [{ name: "renewed" }],
      },
      updateBinding: [{ key: "packed", value: "renewed" }],
    },
  ],
  functions: [
    {
      name: "F",
      input: ["p"],
      output: ["q"],
      attribute: ["alpha"],
      node: [
        {
          input: ["p"],
          output: ["q"],
          opType: "LeakyRelu",
          attribute: [{ name: "alpha", type: 1, refAttrName: "alpha" }],
        },
      ],
      opsetImport: [{ domain: "", version: 17n }],
      domain: "test",
      attributeProto: [{ name: "beta", f: 0.5, type: 1 }],
      valueInfo: [{ name: "q", type: float }],
      overload: "o",
      metadataProps: entry,
    },
  ],
  configuration: [{ name: "c", numDevices: 2, device: ["cuda:0", "cuda:1"] }],
};

export function encodeProto(model: ModelProto): Uint8Array {
  return Uint8Array.from(Buffer.concat(writeMessage(MODEL, model).parts));
}
