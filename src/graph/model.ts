import { instanceOf, type Kind } from "../arguments.ts";
import { type Attribute, graphsOf } from "./attribute.ts";
import { Copier, carry } from "./clone.ts";
import { Graph, type Node, type Value } from "./graph.ts";
import { sources } from "./serde/sources.ts";

/** ONNX's own operator domain; `ai.onnx` and `""` mean the same and are read as `""`. */
export const ONNX_DOMAIN = "";

/** The newest version of ONNX's own operators this package knows (ONNX 1.23). */
export const NEWEST_OPSET = 28;

export function normalizeDomain(domain: string): string {
  return domain === "ai.onnx" ? ONNX_DOMAIN : domain;
}

/** A model-local function: an operator whose body is in the model. */
export class GraphFunction {
  readonly name: string;
  readonly domain: string;
  readonly overload: string;
  /** Names of attributes without a default. */
  readonly attributes: string[] = [];
  /** Attributes with their defaults. */
  readonly defaults: Attribute[] = [];
  readonly opsets = new Map<string, number>();
  readonly metadata = new Map<string, string>();
  docString = "";
  readonly body: Graph;

  constructor(name: string, domain: string, overload = "", body = new Graph(name)) {
    this.name = name;
    this.domain = domain;
    this.overload = overload;
    this.body = body;
  }

  /** A function of its own; see `Model.clone`. */
  clone(): GraphFunction {
    const copier = new Copier();
    const copy = new GraphFunction(this.name, this.domain, this.overload, copier.graph(this.body));
    copy.attributes.push(...this.attributes);
    copy.defaults.push(...this.defaults.map((each) => copier.attribute(each)));
    copy.docString = this.docString;
    copyEntries(this.opsets, copy.opsets);
    copyEntries(this.metadata, copy.metadata);
    carry(sources.function, this, copy);
    return copy;
  }
}

/** A training step stored beside the model (`training_info`). Bindings map a state tensor's name to the output that renews it. */
export interface TrainingInfo {
  readonly initialization: Graph | null;
  readonly algorithm: Graph | null;
  readonly initializationBinding: readonly (readonly [string, string])[];
  readonly updateBinding: readonly (readonly [string, string])[];
}

/** An ONNX model. Fields the graph passes have no use for are kept and written back as they were read. */
export class Model {
  irVersion: number;
  producerName = "";
  producerVersion = "";
  docString = "";
  /** Operator set versions by domain. */
  readonly opsets = new Map<string, number>();
  readonly metadata = new Map<string, string>();
  readonly functions: GraphFunction[] = [];
  readonly trainingInfo: TrainingInfo[] = [];
  readonly graph: Graph;

  constructor(irVersion: number, graph: Graph) {
    this.irVersion = irVersion;
    this.graph = graph;
  }

  /**
   * A model of its own, in time and memory for its nodes: tensors cannot change and are shared. It encodes to the same bytes, and
   * finds its external data where this one does.
   * @param copier tells afterwards what stands for a value (`copyOf`)
   */
  clone(copier = new Copier()): Model {
    const copy = new Model(this.irVersion, copier.graph(this.graph));
    const { producerName, producerVersion, docString } = this;
    Object.assign(copy, { producerName, producerVersion, docString });
    copyEntries(this.opsets, copy.opsets);
    copyEntries(this.metadata, copy.metadata);
    for (const each of this.functions) copy.functions.push(each.clone());
    for (const info of this.trainingInfo) {
      const { initialization, algorithm } = info;
      const own: TrainingInfo = {
        ...info,
        initialization: initialization === null ? null : copier.graph(initialization),
        algorithm: algorithm === null ? null : copier.graph(algorithm),
      };
      carry(sources.trainingInfo, info, own);
      copy.trainingInfo.push(own);
    }
    carry(sources.model, this, copy);
    carry(sources.origin, this, copy);
    return copy;
  }

  /** The version of ONNX's own operators the main graph uses; 0 where it imports none. */
  get opset(): number {
    return this.opsets.get(ONNX_DOMAIN) ?? 0;
  }

  /** The main graph, `training_info` graphs and function bodies; without the graphs nested in them. */
  get rootGraphs(): readonly Graph[] {
    const training = this.trainingInfo.flatMap(({ initialization, algorithm }) => [initialization, algorithm]);
    return [this.graph, ...training.filter((graph) => graph !== null), ...this.functions.map(({ body }) => body)];
  }
}

export const A_MODEL: Kind = instanceOf(Model, "a Model, as readModel and decodeModel give it");

/** The function of the model that a node calls; it takes the place of any operator of that name. */
export function calledFunction({ functions }: Model, { domain, opType, overload }: Node): GraphFunction | undefined {
  return functions.find((each) => each.name === opType && each.domain === domain && each.overload === overload);
}

function copyEntries<K, V>(from: ReadonlyMap<K, V>, to: Map<K, V>): void {
  for (const [key, value] of from) to.set(key, value);
}

/** The graph and every graph nested in its nodes' attributes, outermost first. */
export function* walkGraphs(graph: Graph): Generator<Graph> {
  const pending = [graph];
  for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
    yield next;
    for (const node of next) for (const inner of subgraphsOf(node)) pending.push(inner);
  }
}

export function subgraphsOf(node: Node): readonly Graph[] {
  return [...node.attributes.values()].flatMap(graphsOf);
}

/** Every value a node depends on: its inputs, and what the graphs inside it read from around them. */
export function valuesReadBy(node: Node): readonly Value[] {
  const inner = subgraphsOf(node).flatMap((graph) => [...walkGraphs(graph)]);
  if (inner.length === 0) return node.inputs.filter((value) => value !== null);
  const own = new Set<Value | null>(
    inner.flatMap((graph) => [
      ...graph.inputs,
      ...graph.initializers,
      ...graph.nodes.flatMap(({ outputs }) => outputs),
    ]),
  );
  const read = inner.flatMap((graph) => [...graph.outputs, ...graph.nodes.flatMap(({ inputs }) => inputs)]);
  return [...node.inputs, ...read.filter((value) => !own.has(value))].filter((value) => value !== null);
}
