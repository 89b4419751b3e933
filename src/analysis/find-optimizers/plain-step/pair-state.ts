import { namesMetadata } from "../../../edits/json-metadata.ts";
import { UsageError } from "../../../errors.ts";
import type { Graph, Value } from "../../../graph/graph.ts";
import type { Model } from "../../../graph/model.ts";
import { formatType } from "../../../graph/value-type.ts";
import { inferPairs } from "./infer-pairs.ts";

export interface PairedState {
  readonly pairs: readonly StatePair[];
  /** Pairs that neither a name nor a person told, but the data flow alone, as `input=output`. */
  readonly inferred: readonly string[];
  /** Renewals that could be those of several inputs, with the likeliest pairs as `input=output`. */
  readonly open: readonly string[];
}

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
 * name; and where no name says anything, as the data flow.
 * @param told `input=output`
 * @throws UsageError `E_STATE` for names the graph does not have
 */
export function pairState(model: Model, graph: Graph, told: readonly string[]): PairedState {
  const inputs = new Map(graph.inputs.map((value) => [value.name, value]));
  const outputs = new Map(graph.outputs.map((value) => [value.name, value]));
  const paired = new Map<Value, StatePair>();
  const add = (input: Value | undefined, output: Value | undefined, said: string): void => {
    if (input === undefined || output === undefined) {
      throw new UsageError("E_STATE", `${said}: the graph has no such ${input === undefined ? "input" : "output"}`, {
        field: said,
      });
    }
    if (formatType(input.type) !== formatType(output.type)) {
      throw new UsageError(
        "E_STATE",
        `${said}: the input is ${formatType(input.type)} and the output ${formatType(output.type)}`,
        { field: said, hint: "Write --state <input>=<output> with an output of the input's type and shape." },
      );
    }
    paired.set(output, { input, output });
  };
  for (const each of [...fromMetadata(model), ...told]) {
    const at = each.indexOf("=");
    add(inputs.get(each.slice(0, at)), outputs.get(each.slice(at + 1)), each);
  }
  const taken = new Set([...paired.values()].map(({ input }) => input));
  let isNamed = false;
  for (const output of graph.outputs) {
    if (paired.has(output)) continue;
    const input = renewedNames(output.name)
      .map((name) => inputs.get(name))
      .find((value) => value !== undefined && !taken.has(value) && formatType(value.type) === formatType(output.type));
    if (input === undefined) continue;
    isNamed = true;
    taken.add(input);
    paired.set(output, { input, output });
  }
  const known = [...paired.values()];
  if (isNamed) return { pairs: known, inferred: [], open: [] };
  const [loss = null] = lossesOf(graph, known);
  const { pairs, open } = inferPairs(graph, known, loss);
  const flag = ({ input, output }: StatePair): string => `${input.name}=${output.name}`;
  return {
    pairs: [...known, ...pairs],
    inferred: pairs.map(flag),
    open: open.flatMap(({ output, inputs: [input] }) => (input === undefined ? [] : [flag({ input, output })])),
  };
}

/** Outputs that renew nothing: the one called loss where there is one, else the scalars, else all. */
export function lossesOf(graph: Graph, pairs: readonly StatePair[]): readonly Value[] {
  const renewals = new Set(pairs.map(({ output }) => output));
  const others = graph.outputs.filter((value) => !renewals.has(value));
  const named = others.filter(({ name }) => /(^|[^a-z])loss([^a-z]|$)/i.test(name));
  if (named.length > 0) return named;
  const scalars = others.filter(({ type }) => type?.kind === "tensor" && type.shape?.length === 0);
  return scalars.length > 0 ? scalars : others;
}

function fromMetadata(model: Model): readonly string[] {
  return [...(namesMetadata(model, STATE_METADATA) ?? [])].map(([input, output]) => `${input}=${output}`);
}
