import { bytesOf, OPTIONS, requireArgument } from "../../arguments.ts";
import { FormatError, GraphError } from "../../errors.ts";
import type { NamedTensor } from "../attribute.ts";
import { describeNode, Graph, Node, Value } from "../graph.ts";
import { GraphFunction, Model, normalizeDomain, type TrainingInfo } from "../model.ts";
import { readMessage } from "../proto/read.ts";
import {
  type FunctionProto,
  type GraphProto,
  MODEL,
  type NodeProto,
  type OperatorSetIdProto,
  type StringStringEntryProto,
  TENSOR,
  type TrainingInfoProto,
  type ValueInfoProto,
} from "../proto/schema.ts";
import { sniff } from "../sniff.ts";
import type { ValueType } from "../value-type.ts";
import { decodeAttribute, decodeSparseTensor, decodeTensor, decodeType } from "./decode-values.ts";
import { readInput, Scope } from "./scope.ts";
import { sortNodes } from "./sort-nodes.ts";
import { sources } from "./sources.ts";

/** ONNX Runtime's own limit. */
export const MAX_SUBGRAPH_DEPTH = 32;

/** Protobuf's limit for one message; larger models keep their weights in external data. */
export const MAX_MODEL_BYTES = 2 ** 31 - 1;

export interface ReadOptions {
  /**
   * Told of a mistake that leaves the model readable, which is then read all the same: unsorted nodes, imports that contradict each
   * other or are too new. For looking at a model; what is read so is not to be written. Default: each is an error.
   */
  readonly tolerate?: (mistake: string) => void;
  /**
   * Told where nodes are unsorted, which are then put into an order in which they can run. ONNX does not allow such models; some exporters
   * write them, and ONNX Runtime runs them. Default: as `tolerate`.
   */
  readonly sort?: (note: string) => void;
}

/**
 * Decodes an ONNX model. Tensor data stay views into `bytes`; nothing outside `bytes` is read.
 * @throws FormatError where the bytes are not an ONNX model (`E_PROTOBUF`, `E_NOT_ONNX`, `E_TENSOR`, `E_MODEL_TOO_LARGE`);
 *   GraphError where they are but the graph is wrong (`E_GRAPH`, `E_MISSING_FIELD`, `E_SUBGRAPH_DEPTH`).
 */
export function decodeModel(bytes: Uint8Array | ArrayBuffer, options: ReadOptions = {}): Model {
  bytes = bytesOf("bytes", bytes);
  requireArgument("options", options, OPTIONS);
  const { tolerate, sort = tolerate } = options;
  if (bytes.length > MAX_MODEL_BYTES) {
    throw new FormatError("E_MODEL_TOO_LARGE", `${bytes.length} bytes exceed protobuf's limit of 2 GiB for one file`, {
      hint: "Save the model with its weights as external data.",
    });
  }
  sniff(bytes);
  const proto = readMessage(MODEL, bytes);
  for (const field of ["irVersion", "graph"] as const) {
    if (proto[field] === undefined) throw missing(field);
  }
  const scope = new Scope(null, "the graph", sort);
  const model = new Model(Number(proto.irVersion), decodeGraph(proto.graph ?? {}, scope, "graph", 0));
  if (model.irVersion >= 3 && (proto.opsetImport ?? []).length === 0) throw missing("opsetImport");
  sources.model.set(model, proto);
  model.producerName = proto.producerName ?? "";
  model.producerVersion = proto.producerVersion ?? "";
  model.docString = proto.docString ?? "";
  readOpsets(proto.opsetImport, model.opsets);
  readEntries(proto.metadataProps, model.metadata);
  for (const [index, each] of (proto.functions ?? []).entries()) {
    model.functions.push(decodeFunction(each, `functions[${index}]`, sort));
  }
  for (const [index, each] of (proto.trainingInfo ?? []).entries()) {
    model.trainingInfo.push(decodeTrainingInfo(each, scope, `trainingInfo[${index}]`));
  }
  return model;
}

function missing(field: string): GraphError {
  return new GraphError("E_MISSING_FIELD", `the model has no ${field}`, {
    field,
    hint: "The file is cut off or is not an ONNX model.",
  });
}

function decodeGraph(proto: GraphProto, scope: Scope, path: string, depth: number): Graph {
  if (depth > MAX_SUBGRAPH_DEPTH) {
    throw new GraphError("E_SUBGRAPH_DEPTH", `${path}: graphs are nested deeper than ${MAX_SUBGRAPH_DEPTH}`, {
      field: path,
    });
  }
  const graph = new Graph(proto.name ?? "");
  sources.graph.set(graph, proto);
  graph.docString = proto.docString ?? "";
  readEntries(proto.metadataProps, graph.metadata);
  const withoutData = new Set<Value>();
  for (const info of proto.input ?? []) {
    const value = typed(new Value(info.name ?? ""), info);
    scope.define(value, "a graph input");
    sources.input.set(value, info);
    graph.inputs.push(value);
    withoutData.add(value);
  }
  for (const [index, tensorProto] of (proto.initializer ?? []).entries()) {
    const value = initializer(tensorProto.name ?? "", scope, withoutData);
    value.tensor = decodeTensor(tensorProto, `${path}.initializer[${index}]`);
    if (value.type === null) hasType(value, { kind: "tensor", dtype: value.tensor.dtype, shape: value.tensor.dims });
    graph.initializers.push(value);
  }
  for (const [index, sparseProto] of (proto.sparseInitializer ?? []).entries()) {
    const value = initializer(sparseProto.values?.name ?? "", scope, withoutData);
    graph.sparseInitializers.push({
      value,
      tensor: decodeSparseTensor(sparseProto, `${path}.sparseInitializer[${index}]`),
    });
  }
  decodeNodes(proto.node ?? [], graph, scope, path, depth);
  decodeOutputs(proto.output ?? [], graph, scope, path);
  for (const info of proto.valueInfo ?? []) declare(graph, scope, info);
  return graph;
}

/** The value that gets the data: an input of the name, once, or one of its own. */
function initializer(name: string, scope: Scope, withoutData: Set<Value>): Value {
  const input = scope.own(name);
  if (input !== undefined && withoutData.delete(input)) return input;
  const value = new Value(name);
  scope.define(value, "an initializer");
  return value;
}

function typed(value: Value, info: ValueInfoProto): Value {
  return hasType(value, decodeType(info.type));
}

function hasType(value: Value, type: ValueType | null): Value {
  value.type = type;
  sources.decodedType.set(value, { type });
  return value;
}

/** Records a `value_info` entry; entries for names the graph does not have are kept as they are. */
function declare(graph: Graph, scope: Scope, info: ValueInfoProto): void {
  const value = scope.own(info.name ?? "") ?? new Value(info.name ?? "");
  if (value.type === null) typed(value, info);
  const metadata = new Map<string, string>();
  readEntries(info.metadataProps, metadata);
  sources.valueInfo.set(graph.declare(value, metadata), info);
}

function decodeOutputs(infos: readonly ValueInfoProto[], graph: Graph, scope: Scope, path: string): void {
  for (const info of infos) {
    const value = scope.find(info.name ?? "");
    if (value === undefined) {
      throw new GraphError("E_GRAPH", `${path}: nothing computes the output "${info.name ?? ""}"`, {
        field: `${path}.output`,
      });
    }
    if (value.type === null) typed(value, info);
    graph.addOutput(value);
  }
  sources.output.set(graph, infos);
}

function decodeNodes(given: readonly NodeProto[], graph: Graph, scope: Scope, path: string, depth: number): void {
  const protos = scope.sort === undefined ? given : sortNodes(given);
  if (protos.some((each, index) => each !== given[index])) {
    scope.sort?.(`${path}: the nodes are unsorted; they are taken in the order in which they can run`);
  }
  const nodes: Node[] = [];
  for (const [index, proto] of protos.entries()) {
    const at = `${path}.node[${index}]`;
    const attributes = (proto.attribute ?? []).map((each, position) =>
      decodeAttribute(each, `${at}.attribute[${position}]`, (inner, innerPath) =>
        decodeGraph(inner, new Scope(scope, `the graph in ${at}`), innerPath, depth + 1),
      ),
    );
    const seen = new Set<string>();
    const repeated = attributes.find(({ name }) => seen.size === seen.add(name).size);
    if (repeated !== undefined) {
      throw new GraphError("E_GRAPH", `${at} "${proto.name ?? ""}" has attribute "${repeated.name}" twice`, {
        field: at,
      });
    }
    const inputs = (proto.input ?? []).map((name) =>
      name === "" ? null : readInput(name, index, proto, protos, scope, at),
    );
    const outputs = (proto.output ?? []).map((name) => (name === "" ? null : new Value(name)));
    const node = new Node(proto.opType ?? "", inputs, outputs, {
      name: proto.name ?? "",
      domain: normalizeDomain(proto.domain ?? ""),
      overload: proto.overload ?? "",
      docString: proto.docString ?? "",
      attributes,
    });
    readEntries(proto.metadataProps, node.metadata);
    for (const value of outputs) if (value !== null) scope.define(value, describeNode(node));
    sources.node.set(node, proto);
    nodes.push(node);
  }
  graph.append(nodes);
}

function decodeFunction(proto: FunctionProto, path: string, sort: ReadOptions["sort"]): GraphFunction {
  const decoded = new GraphFunction(proto.name ?? "", normalizeDomain(proto.domain ?? ""), proto.overload ?? "");
  sources.function.set(decoded, proto);
  decoded.docString = proto.docString ?? "";
  for (const name of proto.attribute ?? []) decoded.attributes.push(name);
  const scope = new Scope(null, `function "${decoded.name}"`, sort);
  for (const name of proto.input ?? []) {
    const value = new Value(name);
    scope.define(value, "a function input");
    decoded.body.inputs.push(value);
  }
  for (const [index, each] of (proto.attributeProto ?? []).entries()) {
    decoded.defaults.push(
      decodeAttribute(each, `${path}.attributeProto[${index}]`, (graph, at) => decodeGraph(graph, scope, at, 1)),
    );
  }
  decodeNodes(proto.node ?? [], decoded.body, scope, path, 0);
  decodeOutputs(
    (proto.output ?? []).map((name) => ({ name })),
    decoded.body,
    scope,
    path,
  );
  for (const info of proto.valueInfo ?? []) declare(decoded.body, scope, info);
  readOpsets(proto.opsetImport, decoded.opsets);
  readEntries(proto.metadataProps, decoded.metadata);
  return decoded;
}

function decodeTrainingInfo(proto: TrainingInfoProto, main: Scope, path: string): TrainingInfo {
  const graph = (each: GraphProto | undefined, name: string): Graph | null =>
    each === undefined ? null : decodeGraph(each, new Scope(main, `${path}.${name}`), `${path}.${name}`, 0);
  const pairs = (entries: readonly StringStringEntryProto[] = []): (readonly [string, string])[] =>
    entries.map(({ key = "", value = "" }) => [key, value]);
  const info: TrainingInfo = {
    initialization: graph(proto.initialization, "initialization"),
    algorithm: graph(proto.algorithm, "algorithm"),
    initializationBinding: pairs(proto.initializationBinding),
    updateBinding: pairs(proto.updateBinding),
  };
  sources.trainingInfo.set(info, proto);
  return info;
}

/** The first import of a domain counts, as in ONNX Runtime; `checkModel` reports the others. */
function readOpsets(imports: readonly OperatorSetIdProto[] = [], into: Map<string, number>): void {
  for (const { domain = "", version = 0n } of imports) {
    const key = normalizeDomain(domain);
    if (!into.has(key)) into.set(key, Number(version));
  }
}

function readEntries(entries: readonly StringStringEntryProto[] = [], into: Map<string, string>): void {
  for (const { key = "", value = "" } of entries) if (!into.has(key)) into.set(key, value);
}

/** Decodes a single TensorProto. @throws FormatError `E_PROTOBUF`, `E_TENSOR` */
export function decodeNamedTensor(bytes: Uint8Array, path: string): NamedTensor {
  const proto = readMessage(TENSOR, bytes);
  return { name: proto.name ?? "", tensor: decodeTensor(proto, path) };
}
