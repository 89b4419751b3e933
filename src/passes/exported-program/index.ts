import { isSinusoid, isUniform } from "../../analysis/parameters/contents.ts";
import { readingsOf } from "../../analysis/parameters/readings.ts";
import { isGradientType } from "../../graph/data-type.ts";
import type { Graph, Node, Value } from "../../graph/graph.ts";
import type { Model } from "../../graph/model.ts";
import { Names } from "../../graph/names.ts";
import { opTypes } from "../../ops/operators/index.ts";
import { type Assignment, assignTargets, originsOf, type Slot } from "./assign.ts";
import { restoreBiases } from "./biases.ts";
import { GraphParameters } from "./graph-parameters.ts";
import { markPaddingRows } from "./padding-rows.ts";
import { type ExportedProgram, isMadeBy, readProgram, type Target } from "./program.ts";
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
  const constants = separateConstants(assignment, parameters);
  const joined = joinedOf(program, graph.initializers);
  const { computed, moved, parts, lost } = separate(program, assignment, parameters);
  const biases = restoreBiases(program, assignment, parameters);
  const told = new Set([...computed, ...moved, ...parts, ...recurrent, ...biases]);
  const merged = graph.initializers.flatMap(({ name }) =>
    before.has(name) || told.has(name) || constants.has(name) ? [] : [name],
  );
  const padding = markPaddingRows(graph, program);
  const { folded, gone, unread } = missing(program, parameters);
  const shapes = (names: readonly string[]): readonly string[] =>
    names.map((name) => `${name} [${parameters.find(name)?.tensor?.dims.join() ?? ""}]`);
  const leftAsTheyAre = [...lost, ...joined];
  const notes = [
    note(merged, "that the exporter had merged with others of equal elements, by themselves again"),
    note(biases, "that the exporter had dropped since they are zero, put back"),
    note(recurrent, "of recurrent layers that the exporter had joined, one tensor each again"),
    note([...computed], "that the exporter had transposed, looked up or stretched, in the program's form again"),
    note(shapes([...moved]), "in the shape that the exporter gave them, under the program's names"),
    note(
      shapes([...parts]),
      "of which the file has no more than what the program looked up of them for its example, in that order",
    ),
    padding.length === 0
      ? ""
      : `rows of embeddings that get no gradient, by their padding_idx, as in PyTorch: ${listed(padding)}`,
    ...leftAsTheyAre
      .slice(0, MOST_REASONS)
      .map(
        ([name, reason]) => `"${name}" is trained as the exporter left it, not as PyTorch would train it: ${reason}`,
      ),
    leftAsTheyAre.length <= MOST_REASONS
      ? ""
      : `trained as the exporter left them, too: ${listed(leftAsTheyAre.slice(MOST_REASONS).map(([name]) => name))}`,
    folded.length === 0
      ? ""
      : `not trained, since the exporter folded their batch normalization into the layer before it: ${listed(folded)}; ` +
        "the model trains without it. Export it in train mode with torch.onnx.export(..., optimize=False)",
    gone.length === 0 ? "" : `not trained, since the file does not have them: ${listed(gone)}`,
    unread.length === 0
      ? ""
      : `parameters that nothing in the file reads by their names: ${listed(unread)}; they are tied to others, not used, ` +
        "or were merged with equal ones, which torch.onnx.export(..., optimize=False) does not",
    withoutDropout(graph, program),
    parts.size + leftAsTheyAre.length + gone.length === 0
      ? ""
      : "torch.onnx.export(..., optimize=False) writes every parameter as PyTorch trains it",
  ];
  return { notes: notes.filter((each) => each !== ""), roles: rolesOf(graph.initializers, program, constants) };
}

const note = (names: readonly string[], what: string): string =>
  names.length === 0 ? "" : `parameters ${what}: ${listed(names)}`;

const SHOWN = 8;

const listed = (names: readonly string[]): string =>
  names.length <= SHOWN ? names.join(", ") : `${names.slice(0, SHOWN).join(", ")} and ${names.length - SHOWN} more`;

function rolesOf(
  values: readonly Value[],
  program: ExportedProgram,
  constants: ReadonlySet<string>,
): ReadonlyMap<string, string | null> {
  const roles = new Map<string, string | null>();
  for (const value of values) {
    if (value.tensor === null || !isGradientType(value.tensor.dtype)) continue;
    const origins = originsOf(program, value);
    if (constants.has(value.name)) roles.set(value.name, "a constant that the exporter had merged with a parameter");
    else if (origins.some(({ isParameter }) => isParameter))
      roles.set(value.name, isFixed(value) ? "a table of sinusoids" : null);
    else if (origins.length > 0) roles.set(value.name, "a buffer of the exported program");
    else if (program.foldedFrom(value) !== null) {
      roles.set(value.name, "computed from no parameter of the exported program");
    } else if (value.tensor.dims.length === 0) roles.set(value.name, "a number of the program");
  }
  return roles;
}

/** Where positions go: they are added, or turn a query and a key. */
const ADDED_OR_TURNED = opTypes(["Add", "Mul", "Neg"]);

/** Positions that are computed once: PyTorch has such parameters without a gradient (`requires_grad=False`), which no file says. */
const isFixed = (value: Value): boolean => {
  const readings = readingsOf(value);
  return readings.length > 0 && readings.every(({ node }) => ADDED_OR_TURNED.has(node.opType)) && isSinusoid(value);
};

/** Of how many tensors it is said why they are not as the program has them. */
const MOST_REASONS = 3;

/**
 * Gives each constant that the exporter merged with a parameter of equal elements a tensor of its own.
 * @returns their names
 */
function separateConstants({ foreign }: Assignment, parameters: GraphParameters): ReadonlySet<string> {
  const names = new Set<string>();
  for (const { node, index, value } of foreign) {
    if (value.tensor === null || !isUniform(value.tensor)) continue;
    const own = parameters.constant(value.name, value.tensor);
    node.setInput(index, own);
    names.add(own.name);
  }
  return names;
}

/** Each parameter gets a value of its own, in the form that the program had. */
function separate(
  program: ExportedProgram,
  { slots }: Assignment,
  parameters: GraphParameters,
): {
  /** In the program's form again. */
  readonly computed: ReadonlySet<string>;
  /** In the shape that the exporter gave them. */
  readonly moved: ReadonlySet<string>;
  /** Only what was looked up of them. */
  readonly parts: ReadonlySet<string>;
  /** Trained as they are, with the reason. */
  readonly lost: ReadonlyMap<string, string>;
} {
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
  const moved = new Set<string>();
  const parts = new Set<string>();
  const lost = new Map<string, string>();
  for (const [value, byTarget] of groups) {
    const { tensor } = value;
    if (tensor === null) continue;
    const isElsewhere = byTarget.size === 1 && program.targets.has(value.name) && program.foldedFrom(value) === null;
    if (isElsewhere) continue;
    for (const [name, places] of byTarget) {
      if (name === value.name) continue;
      const { parameter, compute, lost: reason, isPart } = unfold(program, value, tensor, places);
      const own = reason === null ? parameters.ensure(name, parameter) : null;
      if (own === null) {
        lost.set(value.name, reason ?? `"${name}" is there too, and is another tensor`);
        continue;
      }
      const read = compute === null ? own : parameters.compute(name, (build) => compute(build, own), tensor);
      if (byTarget.size === 1) value.replaceAllUsesWith(read);
      else for (const { node, index } of places) node.setInput(index, read);
      if (isPart) parts.add(name);
      else if (compute !== null) computed.add(name);
      else if (program.foldedFrom(value) !== null) moved.add(name);
    }
  }
  parameters.sweep(groups.keys());
  return { computed, moved, parts, lost };
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

/** What is said of attention whose dropout the exporter writes as one that does nothing. */
function withoutDropout(graph: Graph, program: ExportedProgram): string {
  const shares = new Map(
    graph.nodes.flatMap((node) => {
      const call = program.callOf(node);
      return call === null || call.dropped === 0 ? [] : [[call, call.dropped] as const];
    }),
  );
  if (shares.size === 0) return "";
  const share = [...new Set(shares.values())].join(", ");
  return (
    `attention without dropout in ${shares.size} operation${shares.size === 1 ? "" : "s"}, where PyTorch drops ${share} of the weights in training: the exporter writes none for ` +
    'scaled_dot_product_attention. Attention that is written out keeps it (transformers: attn_implementation="eager")'
  );
}

/** Names of the program's parameters that the file does not have. */
function missing(
  program: ExportedProgram,
  { graph }: GraphParameters,
): {
  /** Folded into the layer before. */
  readonly folded: readonly string[];
  /** Given to an operation that the file has. */
  readonly gone: readonly string[];
  /** Given to none. */
  readonly unread: readonly string[];
} {
  const present = new Set(graph.initializers.flatMap((value) => originsOf(program, value)));
  const absent = [...program.targets.values()].filter((target) => target.isParameter && !present.has(target));
  const readIn = (nodes: readonly Node[]): ReadonlySet<Target> =>
    new Set(nodes.flatMap((node) => program.callOf(node)?.targets ?? []));
  const normalizations = readIn(graph.nodes.filter((node) => isMadeBy(node, /FuseBatchNorm/)));
  const read = readIn(graph.nodes);
  const names = (isMeant: (target: Target) => boolean): readonly string[] =>
    absent.filter(isMeant).map(({ name }) => name);
  return {
    folded: names((target) => normalizations.has(target)),
    gone: names((target) => !normalizations.has(target) && read.has(target)),
    unread: names((target) => !read.has(target)),
  };
}
