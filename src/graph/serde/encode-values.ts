import type { Attribute, AttributeKind, NamedTensor, SparseTensor } from "../attribute.ts";
import type { Graph } from "../graph.ts";
import type {
  AttributeProto,
  GraphProto,
  SparseTensorProto,
  TensorProto,
  TensorShapeProto,
  TypeProto,
} from "../proto/schema.ts";
import { type ExternalData, Tensor } from "../tensor.ts";
import type { Dimension, ValueType } from "../value-type.ts";
import { ATTRIBUTE_TYPES } from "./attribute-types.ts";
import { sources } from "./sources.ts";

const EXTERNAL = 1;

export function encodeType(type: ValueType): TypeProto {
  return sources.type.get(type) ?? newType(type);
}

function newType(type: ValueType): TypeProto {
  const element = (of: ValueType | null): { elemType?: TypeProto } => (of === null ? {} : { elemType: encodeType(of) });
  switch (type.kind) {
    case "tensor":
      return { tensorType: { elemType: type.dtype, ...encodeShape(type.shape) } };
    case "sparse-tensor":
      return { sparseTensorType: { elemType: type.dtype, ...encodeShape(type.shape) } };
    case "sequence":
      return { sequenceType: element(type.element) };
    case "optional":
      return { optionalType: element(type.element) };
    case "map":
      return {
        mapType: { keyType: type.key, ...(type.value === null ? {} : { valueType: encodeType(type.value) }) },
      };
    case "opaque":
      return { opaqueType: { domain: type.domain, name: type.name } };
  }
}

function encodeShape(shape: readonly Dimension[] | null): { shape?: TensorShapeProto } {
  if (shape === null) return {};
  const dim = shape.map((size) => {
    if (size === null) return {};
    return typeof size === "number" ? { dimValue: BigInt(size) } : { dimParam: size };
  });
  return { shape: { dim } };
}

export function encodeTensor(name: string, tensor: Tensor): TensorProto {
  const source = sources.tensor.get(tensor);
  if (source !== undefined) return (source.name ?? "") === name ? source : { ...source, name };
  const proto: TensorProto = { dims: tensor.dims.map(BigInt), dataType: tensor.dtype };
  if (name !== "") proto.name = name;
  const { data } = tensor;
  switch (data.kind) {
    case "raw":
      return { ...proto, rawData: data.bytes };
    case "packed":
      return { ...proto, [data.field]: data.bytes };
    case "strings":
      return { ...proto, stringData: [...data.values] };
    case "external":
      return { ...proto, dataLocation: EXTERNAL, externalData: encodeExternal(data.at) };
  }
}

function encodeExternal({ location, offset, length, checksum }: ExternalData): { key: string; value: string }[] {
  const entries = [
    { key: "location", value: location },
    { key: "offset", value: String(offset) },
  ];
  if (length !== null) entries.push({ key: "length", value: String(length) });
  if (checksum !== null) entries.push({ key: "checksum", value: checksum });
  return entries;
}

export function encodeSparseTensor(name: string, sparse: SparseTensor): SparseTensorProto {
  const source = sources.sparseTensor.get(sparse);
  const values = sparse.values === null ? {} : { values: encodeTensor(name, sparse.values) };
  if (source !== undefined) return { ...source, ...values };
  const indices = sparse.indices === null ? {} : { indices: encodeTensor("", sparse.indices) };
  return { ...values, ...indices, dims: sparse.dims.map(BigInt) };
}

const tensors = ({ name, tensor }: NamedTensor): TensorProto => encodeTensor(name, tensor);

type Writers = {
  readonly [Kind in AttributeKind]: (
    value: Extract<Attribute, { kind: Kind }>["value"],
    graph: (graph: Graph) => GraphProto,
  ) => AttributeProto;
};

const WRITERS: Writers = {
  float: (f) => ({ f }),
  int: (i) => ({ i }),
  string: (s) => ({ s }),
  tensor: (t) => ({ t: tensors(t) }),
  graph: (g, graph) => ({ g: graph(g) }),
  floats: (floats) => ({ floats: [...floats] }),
  ints: (ints) => ({ ints: [...ints] }),
  strings: (strings) => ({ strings: [...strings] }),
  tensors: (list) => ({ tensors: list.map(tensors) }),
  graphs: (graphs, graph) => ({ graphs: graphs.map(graph) }),
  "sparse-tensor": (sparse) => ({ sparseTensor: encodeSparseTensor(sparse.name, sparse) }),
  "sparse-tensors": (list) => ({ sparseTensors: list.map((each) => encodeSparseTensor(each.name, each)) }),
  type: (type) => ({ ...(type === null ? {} : { tp: encodeType(type) }) }),
  types: (list) => ({ typeProtos: list.map((type) => (type === null ? {} : encodeType(type))) }),
  reference: ({ attribute, type }) => ({
    refAttrName: attribute,
    type: type === "reference" ? 0 : ATTRIBUTE_TYPES[type],
  }),
  undefined: () => ({}),
};

export function encodeAttribute(attribute: Attribute, graph: (graph: Graph) => GraphProto): AttributeProto {
  const source = sources.attribute.get(attribute);
  if (source !== undefined) {
    if (attribute.kind === "graph") return { ...source, g: graph(attribute.value) };
    if (attribute.kind === "graphs") return { ...source, graphs: attribute.value.map(graph) };
    return source;
  }
  const write = WRITERS[attribute.kind] as (
    value: Attribute["value"],
    graph: (graph: Graph) => GraphProto,
  ) => AttributeProto;
  const type = attribute.kind === "reference" ? 0 : ATTRIBUTE_TYPES[attribute.kind];
  return { name: attribute.name, type, ...write(attribute.value, graph) };
}

/** The tensor with its external data at another place, without a checksum where `at` has none; everything else in its message unchanged. */
export function relocated(tensor: Tensor, at: ExternalData): Tensor {
  const moved = new Tensor(tensor.dtype, tensor.dims, { kind: "external", at });
  const source = sources.tensor.get(tensor);
  if (source === undefined) return moved;
  const now = new Map(encodeExternal(at).map(({ key, value }) => [key, value]));
  const externalData = (source.externalData ?? [])
    .filter(({ key }) => key !== "checksum" || at.checksum !== null)
    .map((entry) => ({
      ...entry,
      value: now.get(entry.key ?? "") ?? entry.value ?? "",
    }));
  const hasOffset = externalData.some(({ key }) => key === "offset");
  if (!hasOffset && at.offset > 0) externalData.push({ key: "offset", value: String(at.offset) });
  sources.tensor.set(moved, { ...source, externalData });
  return moved;
}
