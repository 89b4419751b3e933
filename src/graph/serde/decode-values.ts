import { FormatError, GraphError } from "../../errors.ts";
import type { Attribute, AttributeKind, NamedTensor, SparseTensor } from "../attribute.ts";
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
import { attributeKind } from "./attribute-types.ts";
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
    dimValue === undefined ? dimParam || null : sizeOf(Number(dimValue)),
  );
}

/** Some exporters write -1 where they mean that nothing is known. */
const sizeOf = (size: number): number | null => (Number.isSafeInteger(size) && size >= 0 ? size : null);

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
export function decodeAttribute(proto: AttributeProto, path: string, decodeGraph: GraphDecoder): Attribute {
  const attribute = attributeOf(proto, path, decodeGraph);
  sources.attribute.set(attribute, proto);
  return attribute;
}

type GraphDecoder = (proto: GraphProto, path: string) => Graph;

const named = (proto: TensorProto, path: string): NamedTensor => ({
  name: proto.name ?? "",
  tensor: decodeTensor(proto, path),
});

type Readers = {
  readonly [Kind in Exclude<AttributeKind, "reference">]: (
    proto: AttributeProto,
    path: string,
    graph: GraphDecoder,
  ) => Extract<Attribute, { kind: Kind }>["value"];
};

const READERS: Readers = {
  undefined: () => null,
  float: ({ f = 0 }) => f,
  int: ({ i = 0n }) => i,
  string: ({ s = new Uint8Array() }) => s,
  tensor: ({ t = {} }, path) => named(t, `${path}.t`),
  graph: ({ g = {} }, path, graph) => graph(g, `${path}.g`),
  floats: ({ floats = [] }) => floats,
  ints: ({ ints = [] }) => ints,
  strings: ({ strings = [] }) => strings,
  tensors: ({ tensors = [] }, path) => tensors.map((tensor, index) => named(tensor, `${path}.tensors[${index}]`)),
  graphs: ({ graphs = [] }, path, graph) => graphs.map((proto, index) => graph(proto, `${path}.graphs[${index}]`)),
  "sparse-tensor": ({ sparseTensor = {} }, path) => decodeSparseTensor(sparseTensor, `${path}.sparseTensor`),
  "sparse-tensors": ({ sparseTensors = [] }, path) =>
    sparseTensors.map((tensor, index) => decodeSparseTensor(tensor, `${path}.sparseTensors[${index}]`)),
  type: ({ tp }) => decodeType(tp),
  types: ({ typeProtos = [] }) => typeProtos.map(decodeType),
};

/** IR versions 1 and 2 leave the type out; then the field that is set tells it. */
const IMPLIED: readonly (readonly [keyof AttributeProto, keyof typeof READERS])[] = [
  ["f", "float"],
  ["i", "int"],
  ["s", "string"],
  ["t", "tensor"],
  ["g", "graph"],
  ["floats", "floats"],
  ["ints", "ints"],
  ["strings", "strings"],
  ["tensors", "tensors"],
  ["graphs", "graphs"],
];

function attributeOf(proto: AttributeProto, path: string, graph: GraphDecoder): Attribute {
  const { name = "", refAttrName = "", type = 0 } = proto;
  const declared = attributeKind(type);
  if (declared === undefined) {
    throw new GraphError("E_ATTRIBUTE", `${path} "${name}": attribute type ${type} does not exist`, { field: path });
  }
  if (refAttrName !== "") return { name, kind: "reference", value: { attribute: refAttrName, type: declared } };
  const implied = IMPLIED.find(([field]) => proto[field] !== undefined)?.[1] ?? "undefined";
  const kind = declared === "undefined" ? implied : declared;
  return { name, kind, value: READERS[kind](proto, path, graph) } as Attribute;
}

function tensorError(where: string, reason: string): FormatError {
  return new FormatError("E_TENSOR", `tensor ${where}: ${reason}`, { field: where });
}
