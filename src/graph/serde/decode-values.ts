import { FormatError, GraphError } from "../../errors.ts";
import type { Attribute, NamedTensor, SparseTensor } from "../attribute.ts";
import { layoutOf } from "../data-type.ts";
import type { Graph } from "../graph.ts";
import type {
  AttributeProto,
  GraphProto,
  SparseTensorProto,
  StringStringEntryProto,
  TensorProto,
  TensorShapeProto,
  TypeProto,
} from "../proto/schema.ts";
import { type ExternalData, type PackedField, Tensor, type TensorData } from "../tensor.ts";
import type { Dimension, ValueType } from "../value-type.ts";
import { sources } from "./sources.ts";

const EXTERNAL = 1;

export function decodeType(proto: TypeProto | undefined): ValueType | null {
  const type = proto === undefined ? null : typeOf(proto);
  if (type !== null && proto !== undefined) sources.type.set(type, proto);
  return type;
}

function typeOf(proto: TypeProto): ValueType | null {
  if (proto.tensorType !== undefined) {
    const { elemType = 0, shape } = proto.tensorType;
    return { kind: "tensor", dtype: elemType, shape: decodeShape(shape) };
  }
  if (proto.sparseTensorType !== undefined) {
    const { elemType = 0, shape } = proto.sparseTensorType;
    return { kind: "sparse-tensor", dtype: elemType, shape: decodeShape(shape) };
  }
  if (proto.sequenceType !== undefined) return { kind: "sequence", element: decodeType(proto.sequenceType.elemType) };
  if (proto.optionalType !== undefined) return { kind: "optional", element: decodeType(proto.optionalType.elemType) };
  if (proto.mapType !== undefined) {
    return { kind: "map", key: proto.mapType.keyType ?? 0, value: decodeType(proto.mapType.valueType) };
  }
  if (proto.opaqueType !== undefined) {
    return { kind: "opaque", domain: proto.opaqueType.domain ?? "", name: proto.opaqueType.name ?? "" };
  }
  return null;
}

function decodeShape(proto: TensorShapeProto | undefined): readonly Dimension[] | null {
  if (proto === undefined) return null;
  return (proto.dim ?? []).map(({ dimValue, dimParam }) =>
    dimValue === undefined ? dimParam || null : Number(dimValue),
  );
}

/** @throws FormatError `E_TENSOR` for negative or absurd dimensions and for data given in two places. */
export function decodeTensor(proto: TensorProto, path: string): Tensor {
  const where = `${path}${proto.name ? ` "${proto.name}"` : ""}`;
  const dims = decodeDims(proto.dims ?? [], where);
  const tensor = new Tensor(proto.dataType ?? 0, dims, tensorData(proto, where));
  sources.tensor.set(tensor, proto);
  return tensor;
}

function decodeDims(dims: readonly bigint[], where: string): number[] {
  const product = dims.reduce((size, dim) => size * dim, 1n);
  const negative = dims.find((dim) => dim < 0n);
  if (negative !== undefined) throw tensorError(where, `dimension ${negative} is negative`);
  if (product > BigInt(Number.MAX_SAFE_INTEGER)) throw tensorError(where, `the shape [${dims.join(",")}] is too large`);
  return dims.map(Number);
}

function tensorData(proto: TensorProto, where: string): TensorData {
  const packed = (["floatData", "doubleData", "int32Data", "int64Data", "uint64Data"] as const).filter(
    (field) => (proto[field]?.length ?? 0) > 0,
  );
  if (proto.dataLocation === EXTERNAL) return { kind: "external", at: decodeExternal(proto.externalData ?? [], where) };
  const [field, second] = packed;
  const hasRaw = proto.rawData !== undefined && proto.rawData.length > 0;
  if (second !== undefined || (hasRaw && field !== undefined)) {
    throw tensorError(where, `the data are given twice, in ${hasRaw ? "rawData" : field} and ${second ?? field}`);
  }
  if (proto.stringData !== undefined) return { kind: "strings", values: proto.stringData };
  const expected = layoutOf(proto.dataType ?? 0)?.field;
  if (field !== undefined) {
    if (field !== expected) throw tensorError(where, `data of this type cannot be in ${field}`);
    return { kind: "packed", field, bytes: proto[field] ?? new Uint8Array() };
  }
  if (proto.rawData !== undefined) return { kind: "raw", bytes: proto.rawData };
  if (expected === "stringData") return { kind: "strings", values: [] };
  return { kind: "packed", field: (expected ?? "int32Data") as PackedField, bytes: new Uint8Array() };
}

/** Keys ONNX defines; others are ignored, as onnx itself does since 1.21. */
function decodeExternal(entries: readonly StringStringEntryProto[], where: string): ExternalData {
  const values = new Map<string, string>();
  for (const { key = "", value = "" } of entries) if (!values.has(key)) values.set(key, value);
  const number = (key: "offset" | "length"): number | null => {
    const value = values.get(key);
    if (value === undefined) return null;
    if (!/^[0-9]+$/.test(value) || !Number.isSafeInteger(Number(value))) {
      throw new FormatError("E_EXTERNAL_RANGE", `${where}: external ${key} "${value}" is not a byte count`, {
        field: where,
      });
    }
    return Number(value);
  };
  return {
    location: values.get("location") ?? "",
    offset: number("offset") ?? 0,
    length: number("length"),
    checksum: values.get("checksum") ?? null,
  };
}

export function decodeSparseTensor(proto: SparseTensorProto, path: string): SparseTensor {
  const sparse: SparseTensor = {
    name: proto.values?.name ?? "",
    values: proto.values === undefined ? null : decodeTensor(proto.values, `${path}.values`),
    indices: proto.indices === undefined ? null : decodeTensor(proto.indices, `${path}.indices`),
    dims: decodeDims(proto.dims ?? [], path),
  };
  sources.sparseTensor.set(sparse, proto);
  return sparse;
}

/** @param decodeGraph how a graph inside the attribute is decoded, in the scope of the node that holds it. */
export function decodeAttribute(
  proto: AttributeProto,
  path: string,
  decodeGraph: (proto: GraphProto, path: string) => Graph,
): Attribute {
  const attribute = attributeOf(proto, path, decodeGraph);
  sources.attribute.set(attribute, proto);
  return attribute;
}

type Reader = (proto: AttributeProto, path: string, graph: (proto: GraphProto, path: string) => Graph) => Attribute;

const named = (proto: TensorProto, path: string): NamedTensor => ({
  name: proto.name ?? "",
  tensor: decodeTensor(proto, path),
});

/** By `AttributeProto.AttributeType`. */
const READERS = new Map<number, Reader>([
  [1, ({ name = "", f = 0 }) => ({ name, kind: "float", value: f })],
  [2, ({ name = "", i = 0n }) => ({ name, kind: "int", value: i })],
  [3, ({ name = "", s = new Uint8Array() }) => ({ name, kind: "string", value: s })],
  [4, ({ name = "", t = {} }, path) => ({ name, kind: "tensor", value: named(t, `${path}.t`) })],
  [5, ({ name = "", g = {} }, path, graph) => ({ name, kind: "graph", value: graph(g, `${path}.g`) })],
  [6, ({ name = "", floats = [] }) => ({ name, kind: "floats", value: floats })],
  [7, ({ name = "", ints = [] }) => ({ name, kind: "ints", value: ints })],
  [8, ({ name = "", strings = [] }) => ({ name, kind: "strings", value: strings })],
  [
    9,
    ({ name = "", tensors = [] }, path) => ({
      name,
      kind: "tensors",
      value: tensors.map((tensor, index) => named(tensor, `${path}.tensors[${index}]`)),
    }),
  ],
  [
    10,
    ({ name = "", graphs = [] }, path, graph) => ({
      name,
      kind: "graphs",
      value: graphs.map((proto, index) => graph(proto, `${path}.graphs[${index}]`)),
    }),
  ],
  [
    11,
    ({ name = "", sparseTensor = {} }, path) => ({
      name,
      kind: "sparse-tensor",
      value: decodeSparseTensor(sparseTensor, `${path}.sparseTensor`),
    }),
  ],
  [
    12,
    ({ name = "", sparseTensors = [] }, path) => ({
      name,
      kind: "sparse-tensors",
      value: sparseTensors.map((tensor, index) => decodeSparseTensor(tensor, `${path}.sparseTensors[${index}]`)),
    }),
  ],
  [13, ({ name = "", tp }) => ({ name, kind: "type", value: decodeType(tp) })],
  [14, ({ name = "", typeProtos = [] }) => ({ name, kind: "types", value: typeProtos.map(decodeType) })],
]);

/** IR versions 1 and 2 leave the type out; then the field that is set tells it. */
const IMPLIED: readonly (readonly [keyof AttributeProto, number])[] = [
  ["f", 1],
  ["i", 2],
  ["s", 3],
  ["t", 4],
  ["g", 5],
  ["floats", 6],
  ["ints", 7],
  ["strings", 8],
  ["tensors", 9],
  ["graphs", 10],
];

function attributeOf(
  proto: AttributeProto,
  path: string,
  graph: (proto: GraphProto, path: string) => Graph,
): Attribute {
  const { name = "", refAttrName } = proto;
  if (refAttrName !== undefined && refAttrName !== "") return { name, kind: "reference", value: refAttrName };
  const type = proto.type || IMPLIED.find(([field]) => proto[field] !== undefined)?.[1] || 0;
  const read = READERS.get(type);
  if (read !== undefined) return read(proto, path, graph);
  if (type === 0) return { name, kind: "undefined", value: null };
  throw new GraphError("E_ATTRIBUTE", `${path} "${name}": attribute type ${type} does not exist`, { field: path });
}

function tensorError(where: string, reason: string): FormatError {
  return new FormatError("E_TENSOR", `tensor ${where}: ${reason}`, { field: where });
}
