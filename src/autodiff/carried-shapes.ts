import type { Graph, Value } from "../graph/graph.ts";
import type { Dimension } from "../graph/value-type.ts";
import { TypeInference } from "../ops/inference/inference.ts";
import { areEqual } from "../ops/inference/named-sizes.ts";
import type { Backward } from "./rule.ts";

/** A value that goes round: what it is at first, and its places in the body. */
export interface Round {
  readonly from: Value;
  readonly input: number;
  readonly output: number;
}

/**
 * The gradient of a loop reads what every step began with, piled up in one tensor: no step may begin with a state of another shape. Where
 * the shapes cannot be told, it is taken for granted.
 * @param body a copy of the loop's body, which is changed
 * @throws GradientError `E_NO_GRADIENT`, naming the state that grows
 */
export function requireSameShapes(b: Backward, body: Graph, rounds: readonly Round[]): void {
  for (const { from, input } of rounds) {
    const value = body.inputs[input];
    if (value === undefined || from.type?.kind !== "tensor" || from.type.shape === null) continue;
    value.type = {
      ...from.type,
      shape: from.type.shape.map((dim, axis) => (typeof dim === "number" ? dim : `state${input}.${axis}`)),
    };
  }
  new TypeInference(b.opset).graph(body);
  for (const { input, output } of rounds) {
    const [before, after] = [body.inputs[input], body.outputs[output]].map((value) => shapeOf(value));
    if (!before || !after) continue;
    const isSame =
      before.length === after.length && before.every((dim, axis) => areEqual(dim, after[axis] ?? null) !== false);
    if (isSame) continue;
    const name = b.node.inputs[input]?.name ?? "";
    throw b.refuse(
      `the shape of its state "${name}" changes from step to step, from [${before}] to [${after}]; make each step's part an output of the body, which the loop stacks, or begin with a state of the whole size and write into it`,
    );
  }
}

const shapeOf = (value: Value | undefined): readonly Dimension[] | null =>
  value?.type?.kind === "tensor" ? value.type.shape : null;
