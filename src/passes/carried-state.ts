import { UsageError } from "../errors.ts";
import type { NamedTensor } from "../graph/attribute.ts";
import { layoutOf } from "../graph/data-type.ts";
import { type Graph, Node, Value } from "../graph/graph.ts";
import type { Model } from "../graph/model.ts";
import type { Names } from "../graph/names.ts";
import { Tensor } from "../graph/tensor.ts";
import { formatType } from "../graph/value-type.ts";
import { shapeOf } from "../ops/value-types.ts";
import { recordState } from "./lower-training-ops/state.ts";
import type { StateTensor } from "./portable/step-model.ts";

/** State that a batch takes over from the one before: an input of the graph, and the output that it is next. */
export interface CarriedState {
  readonly input: Value;
  /** No gradient goes back through it to the batch before. */
  readonly next: Value;
}

/**
 * Finds the inputs and outputs that are named, types inferred.
 * @param carry outputs by the names of the inputs that they are in the next batch
 * @param isMixed whether products take half precision
 * @throws UsageError `E_CARRY` where there is no such input or output, a size of the input is open, the two are not alike, or products take half precision
 */
export function carriedIn(
  { inputs, outputs }: Graph,
  carry: Readonly<Record<string, string>>,
  isMixed: boolean,
): readonly CarriedState[] {
  return Object.entries(carry).map(([name, of]) => {
    if (isMixed)
      throw refusal(
        name,
        `the state "${name}" is not carried with products of half precision`,
        "Leave out --precision.",
      );
    const found = { input: named(inputs, name, "input"), next: named(outputs, of, "output") };
    const { input, next } = found;
    const open = shapeOf(input)?.find((dim) => typeof dim !== "number");
    if (shapeOf(input) === null || open !== undefined) {
      throw refusal(
        name,
        `the state "${name}" is ${formatType(input.type)}: a training keeps it from batch to batch, in a size that must be known`,
        open ? `Fix the size: --dim ${open}=<batch size>.` : "Export the model with fixed sizes of its states.",
      );
    }
    if (!areAlike(input, next)) {
      throw refusal(
        name,
        `"${of}" is ${formatType(next.type)}, and the input "${name}" that it is to renew ${formatType(input.type)}`,
        "Name the output that has the state's next value.",
      );
    }
    return found;
  });
}

function refusal(field: string, reason: string, hint: string): UsageError {
  return new UsageError("E_CARRY", reason, { field, hint });
}

function named(values: readonly Value[], name: string, what: "input" | "output"): Value {
  const found = values.find((value) => value.name === name);
  if (found !== undefined) return found;
  throw refusal(
    name,
    `the model has no ${what} "${name}" to carry`,
    `It has ${values.map((value) => value.name).join(", ")}.`,
  );
}

/** Of one type; a size that is not known may be the same. */
function areAlike({ type }: Value, next: Value): boolean {
  if (type?.kind !== "tensor" || next.type?.kind !== "tensor" || type.dtype !== next.type.dtype) return false;
  const [dims, others] = [type.shape ?? [], next.type.shape];
  return (
    others === null ||
    (others.length === dims.length &&
      dims.every((dim, axis) => typeof others[axis] !== "number" || others[axis] === dim))
  );
}

/** What the states are before the first batch: zeros. */
export function zerosFor(carried: readonly CarriedState[]): readonly NamedTensor[] {
  return carried.flatMap(({ input: { name, type } }) => {
    const layout = type?.kind === "tensor" ? layoutOf(type.dtype) : undefined;
    if (type?.kind !== "tensor" || layout === undefined) return [];
    const dims = (type.shape ?? []).map(Number);
    const size = dims.reduce((product, dim) => product * dim, 1);
    const bytes = new Uint8Array((size * layout.bits) / 8);
    return [{ name, tensor: new Tensor(type.dtype, dims, { kind: "raw", bytes }) }];
  });
}

export const notesOfCarried = (carried: readonly CarriedState[]): readonly string[] =>
  carried.map(
    ({ input, next }) => `the input "${input.name}" takes over "${next.name}" of the batch before, without a gradient`,
  );

/** Gives the next values as outputs of their own, and records which input each renews. */
export function giveCarried(model: Model, names: Names, carried: readonly CarriedState[]): readonly StateTensor[] {
  const { graph } = model;
  return carried.map(({ input, next }) => {
    const output = new Value(names.fresh(`${input.name}/next`), input.type);
    graph.append(new Node("Identity", [next], [output], { name: names.fresh(`${output.name}/Identity`) }));
    graph.addOutput(output);
    recordState(model, [[input.name, output.name]]);
    return { name: input.name, next: output.name, kind: "carried" };
  });
}
