import { describeNode, type Graph, type Node, type Value } from "../../graph/graph.ts";
import type { Names } from "../../graph/names.ts";
import { Builder } from "../../ops/builder.ts";
import { isHeld } from "../../ops/constants.ts";
import { Formula } from "../../ops/formula.ts";
import { dimsOf, known } from "../../ops/value-types.ts";
import { MOST_NUMBERS } from "./operators.ts";
import { Stacker } from "./stacker.ts";

/**
 * Takes the nodes out of a step that depend on nothing but what is given for all steps, and computes them for all at once: a node on
 * little takes as long as it takes to begin it. Their results are the same bits.
 * @param body of which types are inferred
 * @param stacker has what is given; has their results afterwards
 */
export function computeBefore(body: Graph, stacker: Stacker): void {
  for (const node of body) {
    const [result] = node.outputs;
    const all = stacker.write(node);
    if (!result || all === null) continue;
    const each = stacker.f.build.input("each", result.type);
    result.replaceAllUsesWith(each);
    body.remove(node);
    stacker.add({ each, all });
  }
}

/** What is computed for all steps at once behind the last. */
export interface Behind {
  /** In order. */
  readonly nodes: readonly Node[];
  /** What steps give for them. */
  readonly read: readonly Value[];
}

interface Trial {
  readonly names: Names;
  readonly opset: number;
}

/**
 * Finds the nodes of a step of which nothing is read but what is given to the caller, where they can be computed for all steps at once.
 * @param results what is given to the caller, without state
 * @param trial names of nodes that are tried and thrown away
 */
export function findBehind(body: Graph, results: readonly Value[], { stacked }: Stacker, trial: Trial): Behind {
  const before = new Set(stacked.map(({ each }) => each));
  const kept = new Set(body.outputs.filter((value) => !results.includes(value)));
  const found = new Set<Node | Graph>([body]);
  const nodes: Node[] = [];
  for (const node of body.nodes.toReversed()) {
    const [result] = node.outputs;
    if (!result?.isUsed || kept.has(result) || !result.uses.every(({ user }) => found.has(user))) continue;
    if (!canStack(node, before, trial)) continue;
    found.add(node);
    nodes.unshift(node);
  }
  const made = new Set(nodes.flatMap(({ outputs }) => outputs));
  const read = [...nodes.flatMap(({ inputs }) => inputs), ...results].filter(
    (value) => value !== null && !made.has(value) && !before.has(value) && (results.includes(value) || !isHeld(value)),
  );
  return { nodes, read: [...new Set(read)].filter((value) => value !== null) };
}

/** Whether a node can be computed for all steps, of what was before them or little that they give. */
function canStack(node: Node, before: ReadonlySet<Value>, trial: Trial): boolean {
  const build = new Builder({ prefix: "trial", names: trial.names });
  const stacker = new Stacker(new Formula(build, trial.opset));
  for (const value of node.inputs) {
    if (value === null || isHeld(value)) continue;
    const isGiven = before.has(value) || (value.producer?.graph === node.graph && isSmall(value));
    if (isGiven) stacker.add({ each: value, all: value });
  }
  const can = stacker.write(node) !== null;
  for (const tried of build.nodes) for (const index of tried.inputs.keys()) tried.setInput(index, null);
  return can;
}

function isSmall(value: Value): boolean {
  const size = known(dimsOf(value))?.reduce((product, dim) => product * dim, 1) ?? null;
  return size !== null && size <= MOST_NUMBERS;
}

/** @param stacker has what the steps gave; has the results of the nodes afterwards */
export function computeBehind({ nodes }: Behind, stacker: Stacker): void {
  for (const node of nodes) {
    const [each, all] = [node.outputs[0], stacker.write(node)];
    if (!each || all === null) throw new Error(`${describeNode(node)} is no longer what it was`);
    stacker.add({ each, all });
  }
}
