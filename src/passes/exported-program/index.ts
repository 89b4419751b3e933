import { isGradientType } from "../../graph/data-type.ts";
import type { Value } from "../../graph/graph.ts";
import type { Model } from "../../graph/model.ts";
import { Names } from "../../graph/names.ts";
import { type Assignment, assignTargets, originsOf, type Slot } from "./assign.ts";
import { restoreBiases } from "./biases.ts";
import { GraphParameters } from "./graph-parameters.ts";
import { markPaddingRows } from "./padding-rows.ts";
import { type ExportedProgram, isMadeBy, readProgram } from "./program.ts";
import { restoreRecurrent } from "./recurrent.ts";
import { unfold } from "./unfold.ts";

export interface RestoredProgram {
  /** What a person should know. */
  readonly notes: readonly string[];
  /** What the program says of initializers, by name: null of a parameter, what it is of a constant. */
  readonly roles: ReadonlyMap<string, string | null>;
}

/**
 * Gives a model that PyTorch's default exporter wrote the parameters of the program back: those it merged since their elements
 * were equal, dropped since they were zero, or computed with ahead of time. What the program shares stays shared.
 * @returns null where the model has no record of its program
 */
export function restoreProgram(model: Model): RestoredProgram | null {
  const { graph } = model;
  const program = readProgram(graph);
  if (program === null) return null;
  const parameters = new GraphParameters(graph, new Names(model));
  const before = new Set(graph.initializers.map(({ name }) => name));
  const recurrent = restoreRecurrent(program, parameters);
  const assignment = assignTargets(graph, program);
  const joined = joinedOf(program, graph.initializers);
  const { computed, lost } = separate(program, assignment, parameters);
  const biases = restoreBiases(program, assignment, parameters);
  const merged = graph.initializers.flatMap(({ name }) =>
    before.has(name) || computed.has(name) || recurrent.includes(name) || biases.includes(name) ? [] : [name],
  );
  const padding = markPaddingRows(graph, program);
  const notes = [
    note(merged, "that the exporter had merged with others of equal elements, by themselves again"),
    note(biases, "that the exporter had dropped since they are zero, put back"),
    note(recurrent, "of recurrent layers that the exporter had joined, one tensor each again"),
    note([...computed], "that the exporter had transposed, looked up or stretched, in the program's form again"),
    padding.length === 0
      ? ""
      : `rows of embeddings that get no gradient, by their padding_idx, as in PyTorch: ${listed(padding)}`,
    ...[...lost, ...joined].map(
      ([name, reason]) => `"${name}" is trained as the exporter left it, not as PyTorch would train it: ${reason}`,
    ),
    ...missing(program, parameters),
  ];
  return { notes: notes.filter((each) => each !== ""), roles: rolesOf(graph.initializers, program) };
}

const note = (names: readonly string[], what: string): string =>
  names.length === 0 ? "" : `parameters ${what}: ${listed(names)}`;

const SHOWN = 8;

const listed = (names: readonly string[]): string =>
  names.length <= SHOWN ? names.join(", ") : `${names.slice(0, SHOWN).join(", ")} and ${names.length - SHOWN} more`;

function rolesOf(values: readonly Value[], program: ExportedProgram): ReadonlyMap<string, string | null> {
  const roles = new Map<string, string | null>();
  for (const value of values) {
    if (value.tensor === null || !isGradientType(value.tensor.dtype)) continue;
    const origins = originsOf(program, value);
    if (origins.some(({ isParameter }) => isParameter)) roles.set(value.name, null);
    else if (origins.length > 0) roles.set(value.name, "a buffer of the exported program");
    else if (program.foldedFrom(value) !== null) {
      roles.set(value.name, "computed from no parameter of the exported program");
    }
  }
  return roles;
}

/** Each parameter gets a value of its own, in the form that the program had. */
function separate(
  program: ExportedProgram,
  { slots }: Assignment,
  parameters: GraphParameters,
): { readonly computed: ReadonlySet<string>; readonly lost: ReadonlyMap<string, string> } {
  const groups = new Map<Value, Map<string, Slot[]>>();
  for (const [slot, { name }] of slots) {
    const byTarget = groups.get(slot.value) ?? new Map<string, Slot[]>();
    groups.set(slot.value, byTarget);
    byTarget.set(name, [...(byTarget.get(name) ?? []), slot]);
  }
  for (const value of parameters.graph.initializers) {
    const [origin, ...others] = originsOf(program, value).filter(({ isParameter }) => isParameter);
    if (groups.has(value) || program.foldedFrom(value) === null || origin === undefined || others.length > 0) continue;
    groups.set(value, new Map([[origin.name, []]]));
  }
  const computed = new Set<string>();
  const lost = new Map<string, string>();
  for (const [value, byTarget] of groups) {
    const { tensor } = value;
    if (tensor === null) continue;
    const isElsewhere = byTarget.size === 1 && program.targets.has(value.name) && program.foldedFrom(value) === null;
    if (isElsewhere) continue;
    for (const [name, places] of byTarget) {
      if (name === value.name) continue;
      const { parameter, compute, lost: reason } = unfold(program, value, tensor, places);
      const own = reason === null ? parameters.ensure(name, parameter) : null;
      if (own === null) {
        lost.set(value.name, reason ?? `"${name}" is there too, and is another tensor`);
        continue;
      }
      const read = compute === null ? own : parameters.compute(name, (build) => compute(build, own), tensor);
      if (byTarget.size === 1) value.replaceAllUsesWith(read);
      else for (const { node, index } of places) node.setInput(index, read);
      if (compute !== null) computed.add(name);
    }
  }
  parameters.sweep(groups.keys());
  return { computed, lost };
}

/** Constants that the exporter computed of more than one parameter. */
function joinedOf(program: ExportedProgram, values: readonly Value[]): readonly (readonly [string, string])[] {
  return values.flatMap((value) => {
    const origins = originsOf(program, value).filter(({ isParameter }) => isParameter);
    const names = [...new Set(origins.map(({ name }) => name))];
    if (names.length < 2) return [];
    return [[value.name, `the exporter computed it ahead of time, of ${listed(names)}`] as const];
  });
}

/** Parameters of the program that the file does not have. */
function missing(program: ExportedProgram, { graph }: GraphParameters): readonly string[] {
  const present = new Set(graph.initializers.flatMap((value) => originsOf(program, value)));
  const absent = [...program.targets.values()].filter((target) => target.isParameter && !present.has(target));
  const folded = absent.filter((target) =>
    graph.nodes.some((node) => isMadeBy(node, /FuseBatchNorm/) && program.callOf(node)?.targets.includes(target)),
  );
  const other = absent.filter((target) => !folded.includes(target));
  const names = (targets: typeof absent): string => listed(targets.map(({ name }) => name));
  return [
    ...(folded.length > 0
      ? [
          `not trained, since the exporter folded their batch normalization into the layer before it: ${names(folded)}; ` +
            "the model trains without it. Export it in train mode with torch.onnx.export(..., optimize=False)",
        ]
      : []),
    ...(other.length > 0 ? [`not trained, since the file does not have them: ${names(other)}`] : []),
  ];
}
