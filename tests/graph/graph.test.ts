import { describe, expect, it } from "vitest";
import { attribute, Graph, Node, Value } from "../../src/entries/graph.ts";
import { errorOf } from "../support/errors.ts";
import { growthOf, LINEAR } from "../support/growth.ts";

/** x -> a -> b -> out, and a is read twice by b. */
function chain(): { graph: Graph; x: Value; a: Value; b: Value; first: Node; second: Node } {
  const graph = new Graph("chain");
  const [x, a, b] = [new Value("x"), new Value("a"), new Value("b")];
  graph.inputs.push(x);
  const first = new Node("Relu", [x], [a], { name: "first" });
  const second = new Node("Add", [a, a], [b], { name: "second" });
  graph.append(first, second);
  graph.addOutput(b);
  return { graph, x, a, b, first, second };
}

describe("uses", () => {
  it("list every input and output that reads a value", () => {
    const { graph, a, b, second } = chain();
    expect(a.uses).toEqual([
      { user: second, index: 0 },
      { user: second, index: 1 },
    ]);
    expect(b.uses).toEqual([{ user: graph, index: 0 }]);
  });

  it("follow rewiring, also of graph outputs and in subgraphs", () => {
    const { graph, x, a, b, second } = chain();
    const body = new Graph("body");
    const inner = new Node("Neg", [a], [new Value("inner")]);
    body.append(inner);
    body.addOutput(a);
    graph.append(new Node("If", [x], [new Value("chosen")], { attributes: [attribute.graph("then_branch", body)] }));
    a.replaceAllUsesWith(x);
    expect(a.uses).toEqual([]);
    expect(second.inputs).toEqual([x, x]);
    expect(inner.inputs).toEqual([x]);
    expect(body.outputs).toEqual([x]);
    b.replaceAllUsesWith(x);
    expect(graph.outputs).toEqual([x]);
  });

  it("of one input go when that input is set", () => {
    const { a, x, second } = chain();
    second.setInput(0, x);
    expect(a.uses).toEqual([{ user: second, index: 1 }]);
    second.setInput(1, null);
    expect(a.uses).toEqual([]);
    expect(errorOf(() => second.setInput(2, x)).message).toBe('node "second" (Add) has no input 2');
  });
});

describe("remove", () => {
  it("refuses while an output is read, and names the reader", () => {
    const { graph, first, second } = chain();
    expect(errorOf(() => graph.remove(first)).message).toBe(
      'Cannot remove node "first" (Relu): its output "a" is read by node "second" (Add) (input 0)',
    );
    expect(errorOf(() => graph.remove(second)).message).toContain("is read by the graph's outputs");
  });

  it("takes out nodes that read each other, with their declared types and what graphs inside them read", () => {
    const { graph, x, a, b, first, second } = chain();
    const body = new Graph("body");
    body.append(new Node("Neg", [x], [new Value("inner")]));
    body.addOutput(x);
    const loop = new Node("Loop", [], [new Value("looped")], { attributes: [attribute.graph("body", body)] });
    graph.append(loop);
    graph.declare(a);
    b.replaceAllUsesWith(x);
    graph.remove(first, second, loop);
    expect(graph.nodes).toEqual([]);
    expect(graph.valueInfo).toEqual([]);
    expect(x.uses).toEqual([{ user: graph, index: 0 }]);
    expect(first.graph).toBeNull();
  });
});

describe("iteration survives edits:", () => {
  const names = (graph: Graph): string[] => graph.nodes.map(({ name }) => name);
  const visited = (graph: Graph, edit: (node: Node) => void): string[] => {
    const seen: string[] = [];
    for (const node of graph) {
      seen.push(node.name);
      edit(node);
    }
    return seen;
  };
  /** Nodes without a value to read or make, in this order. */
  const row = (...all: readonly string[]): { graph: Graph; nodes: ReadonlyMap<string, Node> } => {
    const graph = new Graph("row");
    const nodes = all.map((name) => new Node("Constant", [], [], { name }));
    graph.append(nodes);
    return { graph, nodes: new Map(nodes.map((node) => [node.name, node])) };
  };
  const at = (nodes: ReadonlyMap<string, Node>, name: string): Node => nodes.get(name) ?? new Node("", [], []);

  it("it visits the nodes there were, in the order of then; others put around them are not visited", () => {
    const { graph, x } = chain();
    const seen = visited(graph, (node) => {
      graph.insertBefore(node, new Node("Abs", [x], [new Value(`abs_${node.name}`)], { name: "new" }));
      graph.append(new Node("Abs", [x], [new Value(`last_${node.name}`)], { name: "last" }));
    });
    expect(seen).toEqual(["first", "second"]);
    expect(names(graph)).toEqual(["new", "first", "new", "second", "last", "last"]);
  });

  it("nodes removed before their turn are skipped, several in a row too", () => {
    const { graph, nodes } = row("a", "b", "c", "d");
    expect(visited(graph, ({ name }) => name === "a" && graph.remove(at(nodes, "b"), [at(nodes, "c")]))).toEqual([
      "a",
      "d",
    ]);
  });

  it("a node that is removed while it is visited does not end it", () => {
    const { graph } = row("a", "b", "c");
    expect(visited(graph, (node) => graph.remove(node))).toEqual(["a", "b", "c"]);
    expect(graph.nodes).toEqual([]);
    expect(graph.nodeCount).toBe(0);
  });

  it("nodes moved within the graph are visited once, where they were", () => {
    const { graph, nodes } = row("a", "b", "c");
    expect(visited(graph, (node) => node.name === "a" && graph.append(at(nodes, "b")))).toEqual(["a", "b", "c"]);
    expect(names(graph)).toEqual(["a", "c", "b"]);
  });

  it("nodes moved to another graph are skipped, and are there alone", () => {
    const { graph, nodes } = row("a", "b", "c");
    const other = new Graph("other");
    expect(visited(graph, (node) => node.name === "a" && other.append(at(nodes, "b")))).toEqual(["a", "c"]);
    expect([names(graph), names(other)]).toEqual([["a", "c"], ["b"]]);
    expect(graph.nodeAfter(at(nodes, "a"))?.name).toBe("c");
    expect(graph.nodeAfter(at(nodes, "c"))).toBeNull();
  });

  it("a list of nodes that was read before does not change", () => {
    const { graph, nodes } = row("a", "b");
    const before = graph.nodes;
    graph.remove(at(nodes, "a"));
    expect(before.map(({ name }) => name)).toEqual(["a", "b"]);
  });
});

describe("row 100: edits take constant time", () => {
  it("to append, declare, insert and remove nodes takes as many steps as there are nodes", () => {
    const work = (size: number): void => {
      const graph = new Graph("long");
      const x = new Value("x");
      for (let index = 0; index < size; index++) {
        const output = new Value(`y${index}`);
        graph.append(new Node("Abs", [x], [output]));
        graph.declare(output);
      }
      for (const node of graph) {
        graph.insertBefore(node, new Node("Neg", [x], [new Value("")]));
        graph.remove(node);
      }
    };
    expect(growthOf(work, 8000)).toBeLessThan(LINEAR);
  });

  it("200,000 nodes and inputs at once are no more than a call takes", () => {
    const graph = new Graph("wide");
    const values = Array.from({ length: 200_000 }, (_, index) => new Value(`x${index}`));
    graph.replaceInputs(values);
    graph.replaceInitializers(values);
    const sum = new Node("Sum", values, [new Value("sum")]);
    graph.append(
      [sum],
      values.map((value) => new Node("Abs", [value], [])),
    );
    expect(graph.nodeCount).toBe(200_001);
    graph.remove(graph.nodes);
    expect(values.some(({ isUsed }) => isUsed)).toBe(false);
  });

  it("a value that one node reads 50,000 times is replaced in as many steps", () => {
    const [x, y] = [new Value("x"), new Value("y")];
    const node = new Node("Sum", new Array<Value>(50_000).fill(x), [new Value("sum")]);
    x.replaceAllUsesWith(y);
    expect(x.isUsed).toBe(false);
    expect(y.uses.length).toBe(50_000);
    node.release();
    expect(y.isUsed).toBe(false);
  });
});

describe("insertBefore", () => {
  it("refuses a node of another graph", () => {
    const { graph, x } = chain();
    const stranger = new Node("Abs", [x], [new Value("y")], { name: "stranger" });
    expect(errorOf(() => graph.insertBefore(stranger, stranger)).message).toBe(
      'node "stranger" (Abs) is not in graph "chain"',
    );
  });
});
