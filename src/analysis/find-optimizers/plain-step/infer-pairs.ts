import { DataType } from "../../../graph/data-type.ts";
import type { Graph, Value } from "../../../graph/graph.ts";
import { valuesReadBy } from "../../../graph/model.ts";
import { formatType } from "../../../graph/value-type.ts";
import { isOfFamily } from "../../../ops/operators/index.ts";
import { identicalTo } from "./flow.ts";
import type { StatePair } from "./pair-state.ts";

export interface Inferred {
  readonly pairs: readonly StatePair[];
  /** Outputs that could renew several inputs. */
  readonly open: readonly { readonly output: Value; readonly inputs: readonly Value[] }[];
}

/**
 * Pairs state inputs with the outputs that renew them by how the data flow: an output that is computed element by element
 * from an input of its own type, without another output in between, renews it. Taken where only one input is left for an
 * output, or only one output for an input. What no operator connects (a gradient kept for the next step) is paired where it is
 * alone of its type and takes no part in the loss.
 * @param pairs what is known already
 * @param loss what tells data from state that is kept
 */
export function inferPairs(graph: Graph, pairs: readonly StatePair[], loss: Value | null): Inferred {
  const taken = new Set<Value>(pairs.flatMap(({ input, output }) => [input, output]));
  const towardsLoss = ancestorsOf(loss === null ? [] : [loss]);
  const outputs = graph.outputs.filter((value) => !taken.has(value) && value !== loss && !towardsLoss.has(value));
  const stops = new Set(graph.outputs.flatMap((value) => identicalTo(value)));
  const possible = new Map(
    outputs.map((output) => [output, sourcesOf(output, stops).filter((input) => !taken.has(input))]),
  );
  const found: StatePair[] = [];
  const take = (input: Value, output: Value): void => {
    found.push({ input, output });
    possible.delete(output);
    for (const [other, inputs] of possible)
      possible.set(
        other,
        inputs.filter((each) => each !== input),
      );
  };
  for (let before = -1; before < found.length; ) {
    before = found.length;
    for (const [output, [only, ...others]] of possible) if (only && others.length === 0) take(only, output);
    for (const input of graph.inputs) {
      const [only, ...others] = [...possible].filter(([, inputs]) => inputs.includes(input));
      if (only !== undefined && others.length === 0 && only[1].length > 0) take(input, only[0]);
    }
  }
  const open = [...possible].filter(([, inputs]) => inputs.length > 0).map(([output, inputs]) => ({ output, inputs }));
  const used = new Set<Value>([...taken, ...found.flatMap(({ input, output }) => [input, output])]);
  const kept = graph.inputs.filter((input) => input.tensor === null && !used.has(input) && !towardsLoss.has(input));
  const left = outputs.filter((output) => !used.has(output) && !isOneElement(output));
  for (const input of found.length > 0 ? kept : []) {
    const alike = (value: Value): boolean => formatType(value.type) === formatType(input.type);
    const [output, ...others] = left.filter(alike);
    if (output !== undefined && others.length === 0 && kept.filter(alike).length === 1) found.push({ input, output });
  }
  return { pairs: found, open };
}

/** Inputs of an output's type that it is computed from element by element; one element alone must be made of nothing else. */
function sourcesOf(output: Value, stops: ReadonlySet<Value>): readonly Value[] {
  const own = new Set(identicalTo(output));
  const sources = new Set<Value>();
  const seen = new Set<Value>();
  let hasOthers = false;
  const pending: Value[] = [output];
  for (let value = pending.pop(); value !== undefined; value = pending.pop()) {
    if (seen.has(value) || isTruth(value)) continue;
    seen.add(value);
    const { producer } = value;
    if (producer === null) {
      if (value.tensor === null && formatType(value.type) === formatType(output.type)) sources.add(value);
      else if (value.tensor === null) hasOthers = true;
    } else if (stops.has(value) && !own.has(value)) hasOthers = true;
    else if (isOfFamily("elementwise", producer)) for (const each of valuesReadBy(producer)) pending.push(each);
    else if (producer.opType !== "Constant") hasOthers = true;
  }
  return isOneElement(output) && (hasOthers || sources.size > 1) ? [] : [...sources];
}

function ancestorsOf(values: readonly Value[]): ReadonlySet<Value> {
  const seen = new Set<Value>();
  const pending = [...values];
  for (let value = pending.pop(); value !== undefined; value = pending.pop()) {
    if (seen.has(value)) continue;
    seen.add(value);
    if (value.producer !== null) for (const each of valuesReadBy(value.producer)) pending.push(each);
  }
  return seen;
}

const isTruth = ({ type }: Value): boolean => type?.kind === "tensor" && type.dtype === DataType.bool;
const isOneElement = ({ type }: Value): boolean =>
  type?.kind === "tensor" && (type.shape?.every((dim) => dim === 1) ?? false);
