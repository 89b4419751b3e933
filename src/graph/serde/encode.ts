import { requireArgument } from "../../arguments.ts";
import type { Graph, Node, Value } from "../graph.ts";
import { A_MODEL, type GraphFunction, type Model, normalizeDomain, type TrainingInfo } from "../model.ts";
import type { Message } from "../proto/message.ts";
import {
  type FunctionProto,
  type GraphProto,
  MODEL,
  type ModelProto,
  type NodeProto,
  type OperatorSetIdProto,
  type StringStringEntryProto,
  type TrainingInfoProto,
  type ValueInfoProto,
} from "../proto/schema.ts";
import { type Pieces, writeMessage } from "../proto/write.ts";
import { encodeAttribute, encodeSparseTensor, encodeTensor, encodeType } from "./encode-values.ts";
import { sources } from "./sources.ts";

/** Encodes a model into one array. A model that was decoded and not changed gives back the bytes it came from. */
export function encodeModel(model: Model): Uint8Array {
  requireArgument("model", model, A_MODEL);
  const { parts, length } = encodeModelPieces(model);
  const bytes = new Uint8Array(length);
  let offset = 0;
  for (const part of parts) {
    bytes.set(part, offset);
    offset += part.length;
  }
  return bytes;
}

/** As `encodeModel`, in pieces: tensor data are not copied but stay views into the bytes the model was decoded from. */
export function encodeModelPieces(model: Model): Pieces {
  return writeMessage(MODEL, modelProto(model));
}

function modelProto(model: Model): ModelProto {
  const source = sources.model.get(model) ?? {};
  return overlay<ModelProto>(source, {
    irVersion: BigInt(model.irVersion),
    producerName: text(source.producerName, model.producerName),
    producerVersion: text(source.producerVersion, model.producerVersion),
    docString: text(source.docString, model.docString),
    graph: graphProto(model.graph),
    opsetImport: opsetEntries(source.opsetImport, model.opsets),
    metadataProps: entries(source.metadataProps, model.metadata),
    trainingInfo: list(model.trainingInfo.map(trainingInfoProto)),
    functions: list(model.functions.map(functionProto)),
  });
}

function graphProto(graph: Graph): GraphProto {
  const source = sources.graph.get(graph) ?? {};
  const outputs = sources.output.get(graph);
  return overlay<GraphProto>(source, {
    name: text(source.name, graph.name),
    docString: text(source.docString, graph.docString),
    node: list(graph.nodes.map(nodeProto)),
    initializer: list(
      graph.initializers.flatMap(({ name, tensor }) => (tensor === null ? [] : [encodeTensor(name, tensor)])),
    ),
    sparseInitializer: list(
      graph.sparseInitializers.map(({ value, tensor }) => encodeSparseTensor(value.name, tensor)),
    ),
    input: list(graph.inputs.map((value) => valueInfoProto(value, sources.input.get(value)))),
    output: list(graph.outputs.map((value, index) => valueInfoProto(value, sourceOf(value, outputs?.[index])))),
    valueInfo: list(graph.valueInfo.map((info) => valueInfoProto(info.value, sources.valueInfo.get(info)))),
    metadataProps: entries(source.metadataProps, graph.metadata),
  });
}

/** What was read for an output, unless another value has taken its place. */
function sourceOf(value: Value, source: ValueInfoProto | undefined): ValueInfoProto | undefined {
  return source?.name === value.name ? source : undefined;
}

function valueInfoProto(value: Value, source: ValueInfoProto | undefined): ValueInfoProto {
  const isKept = value.type === null || sources.decodedType.get(value)?.type === value.type;
  const type = source !== undefined && isKept ? source.type : value.type === null ? undefined : encodeType(value.type);
  return overlay<ValueInfoProto>(source ?? {}, { name: text(source?.name, value.name), type });
}

function nodeProto(node: Node): NodeProto {
  const source = sources.node.get(node) ?? {};
  const names = (values: readonly (Value | null)[]): string[] | undefined =>
    list(values.map((value) => value?.name ?? ""));
  return overlay<NodeProto>(source, {
    input: names(node.inputs),
    output: names(node.outputs),
    name: text(source.name, node.name),
    opType: text(source.opType, node.opType),
    attribute: list([...node.attributes.values()].map((each) => encodeAttribute(each, graphProto))),
    docString: text(source.docString, node.docString),
    domain: domainName(source.domain, node.domain),
    overload: text(source.overload, node.overload),
    metadataProps: entries(source.metadataProps, node.metadata),
  });
}

function functionProto(each: GraphFunction): FunctionProto {
  const source = sources.function.get(each) ?? {};
  return overlay<FunctionProto>(source, {
    name: text(source.name, each.name),
    input: list(each.body.inputs.map(({ name }) => name)),
    output: list(each.body.outputs.map(({ name }) => name)),
    attribute: list(each.attributes),
    attributeProto: list(each.defaults.map((attribute) => encodeAttribute(attribute, graphProto))),
    node: list(each.body.nodes.map(nodeProto)),
    docString: text(source.docString, each.docString),
    opsetImport: opsetEntries(source.opsetImport, each.opsets),
    domain: domainName(source.domain, each.domain),
    overload: text(source.overload, each.overload),
    valueInfo: list(each.body.valueInfo.map((info) => valueInfoProto(info.value, sources.valueInfo.get(info)))),
    metadataProps: entries(source.metadataProps, each.metadata),
  });
}

function trainingInfoProto(info: TrainingInfo): TrainingInfoProto {
  const source = sources.trainingInfo.get(info) ?? {};
  const graph = (each: Graph | null): GraphProto | undefined => (each === null ? undefined : graphProto(each));
  const pairs = (bindings: readonly (readonly [string, string])[]): StringStringEntryProto[] | undefined =>
    list(bindings.map(([key, value]) => ({ key, value })));
  return overlay<TrainingInfoProto>(
    { initializationBinding: pairs(info.initializationBinding), updateBinding: pairs(info.updateBinding), ...source },
    { initialization: graph(info.initialization), algorithm: graph(info.algorithm) },
  );
}

/** The source message with `fields` written over it; `undefined` removes a field. */
function overlay<T extends Message>(
  source: { readonly [K in keyof T]?: T[K] | undefined },
  fields: { readonly [K in keyof T]?: T[K] | undefined },
): T {
  return { ...source, ...fields } as T;
}

/** An empty text stays absent where it was absent and empty where it was written out. */
function text(source: string | undefined, now: string): string | undefined {
  return (source ?? "") === now ? source : now;
}

function domainName(source: string | undefined, now: string): string | undefined {
  return normalizeDomain(source ?? "") === now ? source : now;
}

function list<T>(items: readonly T[]): T[] | undefined {
  return items.length === 0 ? undefined : [...items];
}

function opsetEntries(
  source: readonly OperatorSetIdProto[] = [],
  now: ReadonlyMap<string, number>,
): OperatorSetIdProto[] | undefined {
  const seen = new Set<string>();
  const kept = source.flatMap((entry): OperatorSetIdProto[] => {
    const domain = normalizeDomain(entry.domain ?? "");
    const version = now.get(domain);
    if (version === undefined) return [];
    const first = !seen.has(domain);
    seen.add(domain);
    return [!first || Number(entry.version ?? 0n) === version ? entry : { ...entry, version: BigInt(version) }];
  });
  const added = [...now]
    .filter(([domain]) => !seen.has(domain))
    .map(([domain, version]) => ({ domain, version: BigInt(version) }));
  return list([...kept, ...added]);
}

function entries(
  source: readonly StringStringEntryProto[] = [],
  now: ReadonlyMap<string, string>,
): StringStringEntryProto[] | undefined {
  const seen = new Set<string>();
  const kept = source.flatMap((entry): StringStringEntryProto[] => {
    const key = entry.key ?? "";
    const value = now.get(key);
    if (value === undefined) return [];
    const first = !seen.has(key);
    seen.add(key);
    return [!first || (entry.value ?? "") === value ? entry : { ...entry, value }];
  });
  const added = [...now].filter(([key]) => !seen.has(key)).map(([key, value]) => ({ key, value }));
  return list([...kept, ...added]);
}
