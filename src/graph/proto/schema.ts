/**
 * ONNX's messages as of IR version 14: every message and field of `onnx.proto` (proto2, so repeated numbers are not packed
 * unless said), in TypeScript's naming. Enumerations travel as `int32`, so that values this version does not know survive.
 */

import { child, children, type Message, many, one, packed, type Schema, schema } from "./message.ts";

export interface StringStringEntryProto extends Message {
  key?: string;
  value?: string;
}

export const STRING_STRING_ENTRY: Schema<StringStringEntryProto> = schema("StringStringEntryProto", {
  key: one(1, "string"),
  value: one(2, "string"),
});

export interface OperatorSetIdProto extends Message {
  domain?: string;
  version?: bigint;
}

export const OPERATOR_SET_ID: Schema<OperatorSetIdProto> = schema("OperatorSetIdProto", {
  domain: one(1, "string"),
  version: one(2, "int64"),
});

export interface SegmentProto extends Message {
  begin?: bigint;
  end?: bigint;
}

export const SEGMENT: Schema<SegmentProto> = schema("SegmentProto", {
  begin: one(1, "int64"),
  end: one(2, "int64"),
});

export interface TensorProto extends Message {
  dims?: bigint[];
  dataType?: number;
  segment?: SegmentProto;
  floatData?: Uint8Array;
  int32Data?: Uint8Array;
  stringData?: Uint8Array[];
  int64Data?: Uint8Array;
  name?: string;
  rawData?: Uint8Array;
  doubleData?: Uint8Array;
  uint64Data?: Uint8Array;
  docString?: string;
  externalData?: StringStringEntryProto[];
  dataLocation?: number;
  metadataProps?: StringStringEntryProto[];
}

export const TENSOR: Schema<TensorProto> = schema("TensorProto", {
  dims: many(1, "int64"),
  dataType: one(2, "int32"),
  segment: child(3, () => SEGMENT),
  floatData: packed(4, "fixed32"),
  int32Data: packed(5, "varint"),
  stringData: many(6, "bytes"),
  int64Data: packed(7, "varint"),
  name: one(8, "string"),
  rawData: one(9, "bytes"),
  doubleData: packed(10, "fixed64"),
  uint64Data: packed(11, "varint"),
  docString: one(12, "string"),
  externalData: children(13, () => STRING_STRING_ENTRY),
  dataLocation: one(14, "int32"),
  metadataProps: children(16, () => STRING_STRING_ENTRY),
});

export interface SparseTensorProto extends Message {
  values?: TensorProto;
  indices?: TensorProto;
  dims?: bigint[];
}

export const SPARSE_TENSOR: Schema<SparseTensorProto> = schema("SparseTensorProto", {
  values: child(1, () => TENSOR),
  indices: child(2, () => TENSOR),
  dims: many(3, "int64"),
});

export interface DimensionProto extends Message {
  dimValue?: bigint;
  dimParam?: string;
  denotation?: string;
}

export const DIMENSION: Schema<DimensionProto> = schema("DimensionProto", {
  dimValue: one(1, "int64", "value"),
  dimParam: one(2, "string", "value"),
  denotation: one(3, "string"),
});

export interface TensorShapeProto extends Message {
  dim?: DimensionProto[];
}

export const TENSOR_SHAPE: Schema<TensorShapeProto> = schema("TensorShapeProto", {
  dim: children(1, () => DIMENSION),
});

export interface TensorTypeProto extends Message {
  elemType?: number;
  shape?: TensorShapeProto;
}

export const TENSOR_TYPE: Schema<TensorTypeProto> = schema("TensorTypeProto", {
  elemType: one(1, "int32"),
  shape: child(2, () => TENSOR_SHAPE),
});

export interface SequenceTypeProto extends Message {
  elemType?: TypeProto;
}

export const SEQUENCE_TYPE: Schema<SequenceTypeProto> = schema("SequenceTypeProto", {
  elemType: child(1, () => TYPE),
});

export interface MapTypeProto extends Message {
  keyType?: number;
  valueType?: TypeProto;
}

export const MAP_TYPE: Schema<MapTypeProto> = schema("MapTypeProto", {
  keyType: one(1, "int32"),
  valueType: child(2, () => TYPE),
});

export interface OptionalTypeProto extends Message {
  elemType?: TypeProto;
}

export const OPTIONAL_TYPE: Schema<OptionalTypeProto> = schema("OptionalTypeProto", {
  elemType: child(1, () => TYPE),
});

export interface SparseTensorTypeProto extends Message {
  elemType?: number;
  shape?: TensorShapeProto;
}

export const SPARSE_TENSOR_TYPE: Schema<SparseTensorTypeProto> = schema("SparseTensorTypeProto", {
  elemType: one(1, "int32"),
  shape: child(2, () => TENSOR_SHAPE),
});

export interface OpaqueTypeProto extends Message {
  domain?: string;
  name?: string;
}

export const OPAQUE_TYPE: Schema<OpaqueTypeProto> = schema("OpaqueTypeProto", {
  domain: one(1, "string"),
  name: one(2, "string"),
});

export interface TypeProto extends Message {
  tensorType?: TensorTypeProto;
  sequenceType?: SequenceTypeProto;
  mapType?: MapTypeProto;
  denotation?: string;
  opaqueType?: OpaqueTypeProto;
  sparseTensorType?: SparseTensorTypeProto;
  optionalType?: OptionalTypeProto;
}

export const TYPE: Schema<TypeProto> = schema("TypeProto", {
  tensorType: child(1, () => TENSOR_TYPE, "value"),
  sequenceType: child(4, () => SEQUENCE_TYPE, "value"),
  mapType: child(5, () => MAP_TYPE, "value"),
  denotation: one(6, "string"),
  opaqueType: child(7, () => OPAQUE_TYPE, "value"),
  sparseTensorType: child(8, () => SPARSE_TENSOR_TYPE, "value"),
  optionalType: child(9, () => OPTIONAL_TYPE, "value"),
});

export interface ValueInfoProto extends Message {
  name?: string;
  type?: TypeProto;
  docString?: string;
  metadataProps?: StringStringEntryProto[];
}

export const VALUE_INFO: Schema<ValueInfoProto> = schema("ValueInfoProto", {
  name: one(1, "string"),
  type: child(2, () => TYPE),
  docString: one(3, "string"),
  metadataProps: children(4, () => STRING_STRING_ENTRY),
});

export interface AttributeProto extends Message {
  name?: string;
  f?: number;
  i?: bigint;
  s?: Uint8Array;
  t?: TensorProto;
  g?: GraphProto;
  floats?: number[];
  ints?: bigint[];
  strings?: Uint8Array[];
  tensors?: TensorProto[];
  graphs?: GraphProto[];
  docString?: string;
  tp?: TypeProto;
  typeProtos?: TypeProto[];
  type?: number;
  refAttrName?: string;
  sparseTensor?: SparseTensorProto;
  sparseTensors?: SparseTensorProto[];
}

export const ATTRIBUTE: Schema<AttributeProto> = schema("AttributeProto", {
  name: one(1, "string"),
  f: one(2, "float"),
  i: one(3, "int64"),
  s: one(4, "bytes"),
  t: child(5, () => TENSOR),
  g: child(6, () => GRAPH),
  floats: many(7, "float"),
  ints: many(8, "int64"),
  strings: many(9, "bytes"),
  tensors: children(10, () => TENSOR),
  graphs: children(11, () => GRAPH),
  docString: one(13, "string"),
  tp: child(14, () => TYPE),
  typeProtos: children(15, () => TYPE),
  type: one(20, "int32"),
  refAttrName: one(21, "string"),
  sparseTensor: child(22, () => SPARSE_TENSOR),
  sparseTensors: children(23, () => SPARSE_TENSOR),
});

export interface IntIntListEntryProto extends Message {
  key?: bigint;
  value?: bigint[];
}

export const INT_INT_LIST_ENTRY: Schema<IntIntListEntryProto> = schema("IntIntListEntryProto", {
  key: one(1, "int64"),
  value: many(2, "int64"),
});

export interface SimpleShardedDimProto extends Message {
  dimValue?: bigint;
  dimParam?: string;
  numShards?: bigint;
}

export const SIMPLE_SHARDED_DIM: Schema<SimpleShardedDimProto> = schema("SimpleShardedDimProto", {
  dimValue: one(1, "int64", "dim"),
  dimParam: one(2, "string", "dim"),
  numShards: one(3, "int64"),
});

export interface ShardedDimProto extends Message {
  axis?: bigint;
  simpleSharding?: SimpleShardedDimProto[];
}

export const SHARDED_DIM: Schema<ShardedDimProto> = schema("ShardedDimProto", {
  axis: one(1, "int64"),
  simpleSharding: children(2, () => SIMPLE_SHARDED_DIM),
});

export interface ShardingSpecProto extends Message {
  tensorName?: string;
  device?: bigint[];
  indexToDeviceGroupMap?: IntIntListEntryProto[];
  shardedDim?: ShardedDimProto[];
}

export const SHARDING_SPEC: Schema<ShardingSpecProto> = schema("ShardingSpecProto", {
  tensorName: one(1, "string"),
  device: many(2, "int64"),
  indexToDeviceGroupMap: children(3, () => INT_INT_LIST_ENTRY),
  shardedDim: children(4, () => SHARDED_DIM),
});

export interface NodeDeviceConfigurationProto extends Message {
  configurationId?: string;
  shardingSpec?: ShardingSpecProto[];
  pipelineStage?: number;
}

export const NODE_DEVICE_CONFIGURATION: Schema<NodeDeviceConfigurationProto> = schema("NodeDeviceConfigurationProto", {
  configurationId: one(1, "string"),
  shardingSpec: children(2, () => SHARDING_SPEC),
  pipelineStage: one(3, "int32"),
});

export interface NodeProto extends Message {
  input?: string[];
  output?: string[];
  name?: string;
  opType?: string;
  attribute?: AttributeProto[];
  docString?: string;
  domain?: string;
  overload?: string;
  metadataProps?: StringStringEntryProto[];
  deviceConfigurations?: NodeDeviceConfigurationProto[];
}

export const NODE: Schema<NodeProto> = schema("NodeProto", {
  input: many(1, "string"),
  output: many(2, "string"),
  name: one(3, "string"),
  opType: one(4, "string"),
  attribute: children(5, () => ATTRIBUTE),
  docString: one(6, "string"),
  domain: one(7, "string"),
  overload: one(8, "string"),
  metadataProps: children(9, () => STRING_STRING_ENTRY),
  deviceConfigurations: children(10, () => NODE_DEVICE_CONFIGURATION),
});

export interface TensorAnnotationProto extends Message {
  tensorName?: string;
  quantParameterTensorNames?: StringStringEntryProto[];
}

export const TENSOR_ANNOTATION: Schema<TensorAnnotationProto> = schema("TensorAnnotationProto", {
  tensorName: one(1, "string"),
  quantParameterTensorNames: children(2, () => STRING_STRING_ENTRY),
});

export interface GraphProto extends Message {
  node?: NodeProto[];
  name?: string;
  initializer?: TensorProto[];
  docString?: string;
  input?: ValueInfoProto[];
  output?: ValueInfoProto[];
  valueInfo?: ValueInfoProto[];
  quantizationAnnotation?: TensorAnnotationProto[];
  sparseInitializer?: SparseTensorProto[];
  metadataProps?: StringStringEntryProto[];
}

export const GRAPH: Schema<GraphProto> = schema("GraphProto", {
  node: children(1, () => NODE),
  name: one(2, "string"),
  initializer: children(5, () => TENSOR),
  docString: one(10, "string"),
  input: children(11, () => VALUE_INFO),
  output: children(12, () => VALUE_INFO),
  valueInfo: children(13, () => VALUE_INFO),
  quantizationAnnotation: children(14, () => TENSOR_ANNOTATION),
  sparseInitializer: children(15, () => SPARSE_TENSOR),
  metadataProps: children(16, () => STRING_STRING_ENTRY),
});

export interface FunctionProto extends Message {
  name?: string;
  input?: string[];
  output?: string[];
  attribute?: string[];
  node?: NodeProto[];
  docString?: string;
  opsetImport?: OperatorSetIdProto[];
  domain?: string;
  attributeProto?: AttributeProto[];
  valueInfo?: ValueInfoProto[];
  overload?: string;
  metadataProps?: StringStringEntryProto[];
}

export const FUNCTION: Schema<FunctionProto> = schema("FunctionProto", {
  name: one(1, "string"),
  input: many(4, "string"),
  output: many(5, "string"),
  attribute: many(6, "string"),
  node: children(7, () => NODE),
  docString: one(8, "string"),
  opsetImport: children(9, () => OPERATOR_SET_ID),
  domain: one(10, "string"),
  attributeProto: children(11, () => ATTRIBUTE),
  valueInfo: children(12, () => VALUE_INFO),
  overload: one(13, "string"),
  metadataProps: children(14, () => STRING_STRING_ENTRY),
});

export interface TrainingInfoProto extends Message {
  initialization?: GraphProto;
  algorithm?: GraphProto;
  initializationBinding?: StringStringEntryProto[];
  updateBinding?: StringStringEntryProto[];
}

export const TRAINING_INFO: Schema<TrainingInfoProto> = schema("TrainingInfoProto", {
  initialization: child(1, () => GRAPH),
  algorithm: child(2, () => GRAPH),
  initializationBinding: children(3, () => STRING_STRING_ENTRY),
  updateBinding: children(4, () => STRING_STRING_ENTRY),
});

export interface DeviceConfigurationProto extends Message {
  name?: string;
  numDevices?: number;
  device?: string[];
}

export const DEVICE_CONFIGURATION: Schema<DeviceConfigurationProto> = schema("DeviceConfigurationProto", {
  name: one(1, "string"),
  numDevices: one(2, "int32"),
  device: many(3, "string"),
});

export interface ModelProto extends Message {
  irVersion?: bigint;
  producerName?: string;
  producerVersion?: string;
  domain?: string;
  modelVersion?: bigint;
  docString?: string;
  graph?: GraphProto;
  opsetImport?: OperatorSetIdProto[];
  metadataProps?: StringStringEntryProto[];
  trainingInfo?: TrainingInfoProto[];
  functions?: FunctionProto[];
  configuration?: DeviceConfigurationProto[];
}

export const MODEL: Schema<ModelProto> = schema("ModelProto", {
  irVersion: one(1, "int64"),
  producerName: one(2, "string"),
  producerVersion: one(3, "string"),
  domain: one(4, "string"),
  modelVersion: one(5, "int64"),
  docString: one(6, "string"),
  graph: child(7, () => GRAPH),
  opsetImport: children(8, () => OPERATOR_SET_ID),
  metadataProps: children(14, () => STRING_STRING_ENTRY),
  trainingInfo: children(20, () => TRAINING_INFO),
  functions: children(25, () => FUNCTION),
  configuration: children(26, () => DEVICE_CONFIGURATION),
});
