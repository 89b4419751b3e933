import { cloneNode } from "../../../graph/clone.ts";
import { Graph, Node, type Use, Value } from "../../../graph/graph.ts";
import { Model, walkGraphs } from "../../../graph/model.ts";
import { Names } from "../../../graph/names.ts";
import { inferTypes } from "../../../ops/inference/infer-types.ts";

/**
 * A step without Ifs, to be analysed and run in place of the original: the nodes of both branches stand in the main graph,
 * and a Where chooses between their results. Values keep their names where these are unique in the model. Types are inferred.
 */
export interface FlatStep {
  readonly model: Model;
  readonly graph: Graph;
  /** The original's value a value stands for; null for what only the flat step has. */
  readonly originOf: (value: Value) => Value | null;
  /** The place in the original a use stands for. */
  readonly originOfUse: (use: Use) => Use | null;
}

export function flatStep(model: Model): FlatStep {
  return new Flattening(model).run();
}

class Flattening {
  readonly #source: Model;
  readonly #graph: Graph;
  readonly #names: Names;
  readonly #taken = new Set<string>();
  readonly #nodeNames = new Set<string>();
  readonly #copies = new Map<Value, Value>();
  readonly #values = new Map<Value, Value>();
  /** Per node, where each of its inputs is read in the original. */
  readonly #nodes = new Map<Node, (index: number) => Use | null>();

  constructor(source: Model) {
    this.#source = source;
    this.#graph = new Graph(source.graph.name);
    this.#names = new Names(source);
  }

  run(): FlatStep {
    const { graph: source, irVersion, opsets, functions } = this.#source;
    for (const input of source.inputs) this.#graph.inputs.push(this.#copy(input));
    this.#body(source);
    const graph = this.#graph;
    for (const output of source.outputs) graph.addOutput(this.#resolve(output));
    const model = new Model(irVersion, graph);
    for (const [domain, version] of opsets) model.opsets.set(domain, version);
    for (const [key, text] of this.#source.metadata) model.metadata.set(key, text);
    model.functions.push(...functions);
    inferTypes(model);
    return {
      model,
      graph,
      originOf: (value) => this.#values.get(value) ?? null,
      originOfUse: ({ user, index }) =>
        user === graph
          ? { user: source, index }
          : user instanceof Node
            ? (this.#nodes.get(user)?.(index) ?? null)
            : null,
    };
  }

  #body(graph: Graph): void {
    for (const value of graph.initializers) this.#graph.initializers.push(this.#copies.get(value) ?? this.#copy(value));
    for (const node of graph) {
      const [thenBranch, elseBranch] = [branchOf(node, "then_branch"), branchOf(node, "else_branch")];
      const [condition] = node.inputs;
      if (node.domain === "" && node.opType === "If" && thenBranch && elseBranch && condition) {
        this.#branches(node, condition, thenBranch, elseBranch);
      } else this.#node(node);
    }
  }

  #node(node: Node): void {
    const copy = cloneNode(
      node,
      (value) => this.#copies.get(value) ?? null,
      (name) => name,
    );
    if (this.#nodeNames.has(copy.name)) copy.name = this.#names.fresh(copy.name);
    if (copy.name !== "") this.#nodeNames.add(copy.name);
    for (const [index, output] of node.outputs.entries()) {
      const made = copy.outputs[index];
      if (output && made) this.#adopt(output, made);
    }
    this.#nodes.set(copy, (index) => ({ user: node, index }));
    this.#graph.append(copy);
  }

  #branches(node: Node, condition: Value, thenBranch: Graph, elseBranch: Graph): void {
    this.#body(thenBranch);
    this.#body(elseBranch);
    for (const [index, output] of node.outputs.entries()) {
      const [yes, no] = [thenBranch.outputs[index], elseBranch.outputs[index]];
      if (!output || !yes || !no) continue;
      const result = this.#copy(output);
      const where = new Node("Where", [this.#resolve(condition), this.#resolve(yes), this.#resolve(no)], [result]);
      const places = [
        { user: node, index: 0 },
        { user: thenBranch, index },
        { user: elseBranch, index },
      ];
      this.#nodes.set(where, (input) => places[input] ?? null);
      this.#graph.append(where);
    }
  }

  #resolve = (value: Value): Value => this.#copies.get(value) ?? value;

  #copy(value: Value): Value {
    const copy = new Value(value.name, value.type);
    copy.tensor = value.tensor;
    this.#adopt(value, copy);
    return copy;
  }

  /** Branches of one If may use the same names. */
  #adopt(value: Value, copy: Value): void {
    copy.name = this.#taken.has(value.name) ? this.#names.fresh(value.name) : value.name;
    this.#taken.add(copy.name);
    this.#copies.set(value, copy);
    this.#values.set(copy, value);
  }
}

function branchOf(node: Node, name: string): Graph | null {
  const attribute = node.attributes.get(name);
  return attribute?.kind === "graph" ? attribute.value : null;
}

/** Every value of a model's graph, and of the graphs in it, by name. */
export function valuesByName(graph: Graph): ReadonlyMap<string, Value> {
  const values = new Map<string, Value>();
  for (const each of walkGraphs(graph)) {
    const made = each.nodes.flatMap(({ outputs }) => outputs);
    for (const value of [...each.inputs, ...each.initializers, ...made])
      if (value !== null) values.set(value.name, value);
  }
  return values;
}
