import { DataType } from "../../graph/data-type.ts";
import type { Node, Value } from "../../graph/graph.ts";
import { Graph } from "../../graph/graph.ts";
import { dimsOf, known } from "../../ops/value-types.ts";
import type { Member } from "./members.ts";
import { isAlias } from "./operators.ts";
import type { Given, Joined, JoinedPart, JoinPlan, Made, Reduced, Tuple } from "./tuples.ts";

/** Where tensors have more numbers on average, a node for each takes less time than one number per element: GatherElements takes 1.2 ns for one. */
const LONG = 512;

/** Whether a node reads tensors and a number of each member's own, and is written member by member. */
export function isWrittenApart({ form, inputs }: Made, members: readonly Member[]): boolean {
  const total = members.reduce((sum, { size }) => sum + size, 0);
  const mixes = form === "flat" && inputs.some((input) => input !== null && isNumbers(input));
  return mixes && total > LONG * members.length;
}

export const isNumbers = (part: Joined): part is JoinedPart => part.kind !== "shared" && part.form === "number";

/**
 * The tensors whose magnitudes a part adds up, where these come member by member: ONNX Runtime's `ReduceL1` of a whole tensor gives the
 * bits that its `ReduceSum` of `Abs` does, and needs no pieces of the magnitudes. Null where they do not.
 */
export function givenMagnitudes({ node, of, dtype }: Reduced): Given | null {
  if (node.opType !== "ReduceSum" || dtype !== DataType.float) return null;
  const [inside] = of.kind === "made" && of.node.opType === "Abs" ? of.inputs : [];
  return inside?.kind === "given" ? inside : null;
}

/** How many nodes fewer are run where a plan is written. */
export function nodesSaved({ members, parts, roots }: JoinPlan): number {
  const [parameters] = roots;
  const goes = goingBy({ members, parts, roots });
  const savedBy = (part: JoinedPart): number => {
    const gone = part.tuple.filter(goes).length;
    switch (part.kind) {
      case "made":
        return gone - (isWrittenApart(part, members) ? members.length + 2 : 1);
      case "reduced":
        return gone - members.length - (part.of.kind === "given" || givenMagnitudes(part) !== null ? 1 : 2);
      case "given":
        return -1 - reshaped(part.tuple);
      case "held":
        return part === parameters?.held ? -1 - reshaped(part.tuple) : 0;
    }
  };
  return parts.reduce((sum, part) => sum + savedBy(part), 0);
}

/** Tells whether the node that makes a value goes: whether nothing reads it but what goes, and the state that is joined. */
function goingBy({ parts, roots }: JoinPlan): (value: Value) => boolean {
  const nexts = new Set(roots.flatMap(({ held }) => held.states.map(({ next }) => next)));
  const written = new Set(
    parts.flatMap(({ kind, tuple }) =>
      kind === "made" || kind === "reduced" ? tuple.map((value) => value.producer) : [],
    ),
  );
  const ofState = new Set(parts.flatMap(({ isOfState, form, tuple }) => (isOfState && form === "flat" ? tuple : [])));
  const found = new Map<Value, boolean>();
  const goes = (value: Value): boolean => {
    const answer =
      found.get(value) ??
      (ofState.has(value) ||
        value.uses.every(({ user }) => (user instanceof Graph ? nexts.has(value) : isTaken(user) && leaves(user))));
    found.set(value, answer);
    return answer;
  };
  const isTaken = (node: Node): boolean => written.has(node) || isAlias(node);
  const leaves = (node: Node): boolean => node.outputs.every((output) => output === null || goes(output));
  return goes;
}

/** How many of a tuple are no vectors. */
const reshaped = (tuple: Tuple): number => tuple.filter((value) => known(dimsOf(value))?.length !== 1).length;
