import { describe, expect, it } from "vitest";
import { attribute, Graph, Node, Value } from "../../src/index.ts";
import { errorOf } from "../support/errors.ts";

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
    graph.valueInfo.push({ value: a });
    b.replaceAllUsesWith(x);
    graph.remove(first, second, loop);
    expect(graph.nodes).toEqual([]);
    expect(graph.valueInfo).toEqual([]);
    expect(x.uses).toEqual([{ user: graph, index: 0 }]);
    expect(first.graph).toBeNull();
  });
});

describe("iteration survives changes:", () => {
  it("nodes inserted meanwhile are not visited", () => {
    const { graph, x } = chain();
    const seen: string[] = [];
    for (const node of graph) {
      seen.push(node.name);
      graph.insertBefore(node, new Node("Abs", [x], [new Value(`abs_${node.name}`)], { name: "new" }));
    }
    expect(seen).toEqual(["first", "second"]);
    expect(graph.nodes.map(({ name }) => name)).toEqual(["new", "first", "new", "second"]);
  });

  it("nodes removed meanwhile are skipped", () => {
    const { graph, x, b, second } = chain();
    b.replaceAllUsesWith(x);
    const seen: string[] = [];
    for (const node of graph) {
      seen.push(node.name);
      if (node.name === "first") graph.remove(second);
    }
    expect(seen).toEqual(["first"]);
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
