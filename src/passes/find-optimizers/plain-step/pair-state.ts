import { UsageError } from "../../../errors.ts";
import type { Graph, Value } from "../../../graph/graph.ts";
import type { Model } from "../../../graph/model.ts";
import { formatType } from "../../../graph/value-type.ts";
import { namesMetadata } from "../../json-metadata.ts";

/** A tensor that the step takes and renews. */
export interface StatePair {
  readonly input: Value;
  readonly output: Value;
}

/** Metadata entry in which an exporter can say which output renews which input: a JSON object `{"input": "output"}`. */
export const STATE_METADATA = "onnx-agr.state";

/** What exporters put before, after or into an input's name to name its renewal. */
const MARKS = ["out", "new", "next", "updated", "output"];

/** The input names an output could renew: its own without one mark at a boundary, `param_out.x` -> `param.x`, `x/new` -> `x`. */
function renewedNames(output: string): readonly string[] {
  return MARKS.flatMap((mark) => {
    const before = new RegExp(`(^|[./:_-])${mark}[./:_-]`, "gi");
    const after = new RegExp(`[./:_-]${mark}(?=$|[./:_-])`, "gi");
    const cuts = (pattern: RegExp, keep: (match: RegExpExecArray) => string): string[] =>
      [...output.matchAll(pattern)].map(
        (match) => output.slice(0, match.index) + keep(match) + output.slice(match.index + match[0].length),
      );
    return [...cuts(after, () => ""), ...cuts(before, (match) => match[1] ?? "")];
  });
}

/**
 * Pairs state inputs with the outputs of the same type that renew them: as told, then as the model's metadata say, then by
 * name.
 * @param told `input=output`
 * @throws UsageError `E_STATE` for names the graph does not have
 */
export function pairState(model: Model, graph: Graph, told: readonly string[]): readonly StatePair[] {
  const inputs = new Map(graph.inputs.map((value) => [value.name, value]));
  const outputs = new Map(graph.outputs.map((value) => [value.name, value]));
  const paired = new Map<Value, StatePair>();
  const add = (input: Value | undefined, output: Value | undefined, said: string): void => {
    if (input === undefined || output === undefined) {
      throw new UsageError("E_STATE", `${said}: the graph has no such ${input === undefined ? "input" : "output"}`, {
        field: said,
      });
    }
    paired.set(output, { input, output });
  };
  for (const each of [...fromMetadata(model), ...told]) {
    const at = each.indexOf("=");
    add(inputs.get(each.slice(0, at)), outputs.get(each.slice(at + 1)), each);
  }
  const taken = new Set([...paired.values()].map(({ input }) => input));
  for (const output of graph.outputs) {
    if (paired.has(output)) continue;
    const input = renewedNames(output.name)
      .map((name) => inputs.get(name))
      .find((value) => value !== undefined && !taken.has(value) && formatType(value.type) === formatType(output.type));
    if (input === undefined) continue;
    taken.add(input);
    paired.set(output, { input, output });
  }
  return [...paired.values()];
}

function fromMetadata(model: Model): readonly string[] {
  return [...(namesMetadata(model, STATE_METADATA) ?? [])].map(([input, output]) => `${input}=${output}`);
}
