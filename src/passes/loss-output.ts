import { GRADIENT_RULES } from "../autodiff/table.ts";
import { UsageError } from "../errors.ts";
import { isGradientType } from "../graph/data-type.ts";
import { describeNode, type Node, type Value } from "../graph/graph.ts";
import { type Model, valuesReadBy } from "../graph/model.ts";
import { operatorOf } from "../ops/operators/index.ts";

/**
 * The output that a loss is computed from: the one of a name, else the first that is a floating-point tensor, as far as types
 * are known, and depends on an input; a label that a model decides on may come before, or a number that describes the model.
 * @throws UsageError `E_OUTPUT` for a name that no output has
 */
export function lossOutputOf({ graph }: Model, name: string | undefined): Value {
  const floats = graph.outputs.filter(isFloat);
  const found =
    name === undefined
      ? (floats.find(dependsOnInput) ?? floats[0] ?? graph.outputs[0])
      : graph.outputs.find((output) => output.name === name);
  if (found !== undefined) return found;
  const all = graph.outputs.map((output) => output.name).join(", ");
  throw new UsageError("E_OUTPUT", `the model has no output "${name ?? ""}"; it has ${all || "none"}`, {
    field: "output",
  });
}

/** What is said where it is not the first output that is learned from. */
export function chosenOutput({ graph }: Model, scores: Value, name: string | undefined): readonly string[] {
  const [first] = graph.outputs;
  if (name !== undefined || first === undefined || first === scores) return [];
  const reason = isFloat(first) ? "depends on no input" : "is no floating-point tensor";
  return [`the loss is computed from "${scores.name}": the first output, "${first.name}", ${reason}`];
}

/** What to do where no gradient comes from outputs to any parameter: the first node that ends it, and what it reads. */
export function whereGradientsEnd(outputs: readonly Value[]): string | null {
  for (const { producer } of behind(outputs, (node) => GRADIENT_RULES.get(operatorOf(node)) !== "zero")) {
    if (producer === null || GRADIENT_RULES.get(operatorOf(producer)) !== "zero") continue;
    const read = producer.inputs.find((input) => input !== null && isFloat(input));
    if (!read || !dependsOnInput(read)) continue;
    return `No gradient passes ${describeNode(producer)}. Compute the loss from what it reads: --loss-output ${read.name} (loss.output).`;
  }
  return null;
}

const isFloat = ({ type }: Value): boolean => type?.kind === "tensor" && isGradientType(type.dtype);

function dependsOnInput(value: Value): boolean {
  for (const { producer, tensor } of behind([value])) if (producer === null && tensor === null) return true;
  return false;
}

/** Values and all that they are computed from, the nearest first. */
function* behind(values: readonly Value[], enters: (node: Node) => boolean = () => true): Iterable<Value> {
  const seen = new Set(values);
  for (const each of seen) {
    yield each;
    const { producer } = each;
    if (producer === null || !enters(producer)) continue;
    for (const read of valuesReadBy(producer)) seen.add(read);
  }
}
