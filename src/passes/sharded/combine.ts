import { attribute } from "../../graph/attribute.ts";
import { Node, Value } from "../../graph/graph.ts";
import type { Names } from "../../graph/names.ts";
import { Tensor } from "../../graph/tensor.ts";
import type { Combination } from "./placement.ts";

/** What the parts of a batch have of one result, and the nodes that make the whole of it. */
export interface Combined {
  readonly parts: readonly Value[];
  readonly nodes: readonly Node[];
  /** It has the name of the result. */
  readonly whole: Value;
}

/** Adds up what the parts have of a result of float32, in their order. */
export function combine(
  { name, type }: Pick<Value, "name" | "type">,
  by: Combination,
  count: number,
  names: Names,
): Combined {
  const parts = Array.from({ length: count }, (_, part) => new Value(`${name}/${part}`, type));
  const nodes: Node[] = [];
  const emit = (opType: string, inputs: readonly Value[], isLast: boolean): Value => {
    const own = names.fresh(`${name}/${opType}`);
    const made = new Value(isLast ? name : own, type);
    nodes.push(new Node(opType, inputs, [made], { name: own }));
    return made;
  };
  const sum = parts.reduce((before, part, index) =>
    emit("Add", [before, part], by === "sum" && index === parts.length - 1),
  );
  if (by === "sum") return { parts, nodes, whole: sum };
  const share = new Value(names.fresh(`${name}/share`));
  const value = attribute.tensor("value", Tensor.floats([], [1 / count]));
  nodes.push(new Node("Constant", [], [share], { name: share.name, attributes: [value] }));
  return { parts, nodes, whole: emit("Mul", [sum, share], true) };
}
