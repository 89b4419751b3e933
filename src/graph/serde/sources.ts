import type { Attribute, SparseTensor } from "../attribute.ts";
import type { Graph, Node, Value, ValueInfo } from "../graph.ts";
import type { GraphFunction, Model, TrainingInfo } from "../model.ts";
import type {
  AttributeProto,
  FunctionProto,
  GraphProto,
  ModelProto,
  NodeProto,
  SparseTensorProto,
  TensorProto,
  TrainingInfoProto,
  TypeProto,
  ValueInfoProto,
} from "../proto/schema.ts";
import type { ExternalData, Tensor } from "../tensor.ts";
import type { ValueType } from "../value-type.ts";

/** The file of a model, and how external data beside it are read: who decodes bytes needs no file system. */
export interface ModelOrigin {
  readonly path: string;
  readonly read: (tensor: Tensor, at: ExternalData, where: string) => Promise<Uint8Array>;
}

/**
 * From which message each object of the graph was decoded. Encoding starts from that message and writes over it what the
 * graph says now, so that fields the graph does not model, unknown fields and the difference between "absent" and "empty"
 * come back as they were. Immutable objects (types, tensors, attributes) are written back whole.
 */
export const sources = {
  model: new WeakMap<Model, ModelProto>(),
  /** Where a model was read from: its external data are beside it. */
  origin: new WeakMap<Model, ModelOrigin>(),
  graph: new WeakMap<Graph, GraphProto>(),
  node: new WeakMap<Node, NodeProto>(),
  function: new WeakMap<GraphFunction, FunctionProto>(),
  trainingInfo: new WeakMap<TrainingInfo, TrainingInfoProto>(),
  attribute: new WeakMap<Attribute, AttributeProto>(),
  type: new WeakMap<ValueType, TypeProto>(),
  tensor: new WeakMap<Tensor, TensorProto>(),
  sparseTensor: new WeakMap<SparseTensor, SparseTensorProto>(),
  input: new WeakMap<Value, ValueInfoProto>(),
  /** By position: a declaration stays with its output when another value is put there. */
  output: new WeakMap<Graph, readonly ValueInfoProto[]>(),
  valueInfo: new WeakMap<ValueInfo, ValueInfoProto>(),
  /** The type a value had after decoding: while it has it still, each of its declarations is written back as it was. */
  decodedType: new WeakMap<Value, { readonly type: ValueType | null }>(),
};
