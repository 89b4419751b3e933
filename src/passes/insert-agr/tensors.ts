import type { GradientEdge, OptimizerSite, Refusal } from "../../analysis/find-optimizers/site.ts";
import { PREFIX, type RecordedEdge } from "../../edits/record.ts";
import { PassError } from "../../errors.ts";
import { Graph, Node, type Use, type Value } from "../../graph/graph.ts";
import { type Model, subgraphsOf, valuesReadBy, walkGraphs } from "../../graph/model.ts";
import type { Names } from "../../graph/names.ts";
import { tensorType } from "../../graph/value-type.ts";
import type { Builder } from "../../ops/builder.ts";
import type { Skipped } from "../pass.ts";
import { chooseMasks, emitMask, type Masked } from "./cautious.ts";
import { isMixed, type Treatment } from "./formula.ts";
import type { Intent } from "./intent.ts";
import { emitLayers, type JudgedLayer, judgedLayers, layerName, skippedLayers } from "./layers.ts";
import type { Form, InsertAgrOptions, Settings } from "./options.ts";
import { judge, runTimePredicate } from "./selection.ts";
import { type Chain, chooseChain, emitChain } from "./transforms.ts";
import { AgrFunctions, agrBuilder, inlineWriter } from "./writer.ts";

interface Placed {
  readonly graph: Graph;
  readonly edge: GradientEdge;
  readonly treatment: Treatment;
  /** Of a parameter that is one vector of several. */
  readonly layers: readonly JudgedLayer[] | null;
}

/**
 * Decides about optimizers that take each gradient as a tensor: which parameter it belongs to is known, so what is left alone
 * is left alone here and not when the graph runs.
 * @throws PassError `E_SELECTION`, `E_GLOBAL_SCOPE`, `E_TRANSFORM`, `E_CAUTIOUS`
 */
export function decideTensors(
  model: Model,
  sites: readonly OptimizerSite[],
  refusals: readonly Refusal[],
  settings: Settings,
  form: Form,
  { transforms, cautious }: Required<Pick<InsertAgrOptions, "transforms" | "cautious">>,
): Intent {
  const placed: Placed[] = [];
  const skipped: Skipped[] = refusals.map(({ at, reason }) => ({ at, reason }));
  for (const { graph, edges } of sites) {
    for (const edge of edges) {
      const parameter = edge.parameter ?? { name: edge.value.name, shape: null };
      const layers = judgedLayers(settings, edge);
      const reason = layers === null ? judge(settings, parameter) : null;
      if (layers !== null) skipped.push(...skippedLayers(parameter.name, layers));
      if (reason !== null) skipped.push({ at: parameter.name, reason });
      else if (layers?.every((layer) => layer.reason !== null) !== true) {
        const predicate = parameter.shape === null ? runTimePredicate(settings) : null;
        placed.push({ graph, edge, treatment: { settings, predicate, dtype: edge.dtype }, layers });
      }
    }
  }
  if (placed.length === 0) {
    throw new PassError(
      "E_SELECTION",
      `no parameter is left to regularize: ${skipped.map(({ at, reason }) => `${at}: ${reason}`).join("; ")}`,
      {
        hint: "Loosen --include, --exclude, --min-rank or --min-elements.",
      },
    );
  }
  const edges = placed.map(({ edge }) => edge);
  const chain = chooseChain(model, edges, transforms, settings);
  const optimizers = [...new Set(sites.map(({ optimizer }) => optimizer))].join(", ");
  const masks = chooseMasks(model, optimizers, edges, cautious);
  requireSimple(placed, settings, chain);
  if (settings.scope === "global") requireOneSum(placed, 'the scope "global" needs one sum over all gradients');
  if (chain?.isJoint) requireOneSum(placed, "clipping by norm needs all gradients");
  return {
    structure: "tensors",
    form,
    dialect: [...new Set(sites.map(({ dialect }) => dialect))].join(", "),
    optimizer: optimizers,
    settings,
    reached: placed.map(({ edge }) => edge.parameter?.name ?? edge.value.name),
    skipped,
    notes: placed.flatMap(({ edge, layers }) =>
      layers === null || settings.scope === "global" ? [] : [layersNote(edge, layers)],
    ),
    recorded: { ...(transforms.length === 0 ? {} : { transforms }), ...(cautious.length === 0 ? {} : { cautious }) },
    apply: (names) => applyTensors(model, names, placed, form, chain, masks),
  };
}

function layersNote({ parameter, value }: GradientEdge, layers: readonly JudgedLayer[]): string {
  const name = parameter?.name ?? value.name;
  const shapes = layers.map((layer) => `${layerName(name, layer)} as [${layer.shape.join(",")}]`);
  return `"${name}" is one vector of ${layers.length} layers, regularized one by one: ${shapes.join(", ")}`;
}

/** @throws PassError `E_TRANSFORM`, `E_GLOBAL_SCOPE` for what is not done to layers of a vector one by one */
function requireSimple(placed: readonly Placed[], { scope }: Settings, chain: Chain | null): void {
  const vector = placed.find(({ layers }) => layers !== null);
  if (vector === undefined) return;
  const name = vector.edge.parameter?.name ?? vector.edge.value.name;
  if (chain !== null) {
    throw new PassError(
      "E_TRANSFORM",
      `"${name}" is one vector of several layers, and AGR alone is inserted layer by layer`,
      {
        hint: "Leave the other transforms out.",
      },
    );
  }
  const left = vector.layers?.find(({ reason }) => reason !== null);
  if (scope === "global" && left !== undefined) {
    throw new PassError("E_GLOBAL_SCOPE", `the layer ${layerName(name, left)} is left alone: ${left.reason}`, {
      hint: "Use the scope tensor or channel.",
    });
  }
}

/** One sum over all gradients can only be formed where all of them are there before the first is used. */
function requireOneSum(placed: readonly Placed[], need: string): void {
  const fail = (reason: string): PassError =>
    new PassError("E_GLOBAL_SCOPE", `${need}, but ${reason}`, { hint: "Use the scope tensor or channel." });
  const [first] = placed;
  if (first === undefined) return;
  const other = placed.find(({ graph }) => graph !== first.graph);
  if (other !== undefined)
    throw fail(`"${first.edge.value.name}" and "${other.edge.value.name}" are used in different graphs`);
  if (isMixed(placed.map(({ edge }) => edge.dtype))) throw fail("some are float64 and some are not");
  const positions = positionsIn(first.graph);
  const begin = least(placed.map(({ edge }) => earliest(edge.uses, positions)));
  const late = placed.find(
    ({ edge }) => (edge.value.producer === null ? -1 : (positions.get(edge.value.producer) ?? -1)) >= begin,
  );
  if (late !== undefined) throw fail(`"${late.edge.value.name}" is computed after the first parameter was updated`);
}

/** Where each node stands in a graph; nodes inside graphs of a node stand where that node does. */
function positionsIn(graph: Graph): ReadonlyMap<Node, number> {
  const positions = new Map<Node, number>();
  for (const [index, node] of graph.nodes.entries()) {
    positions.set(node, index);
    for (const inner of subgraphsOf(node).flatMap((each) => [...walkGraphs(each)])) {
      for (const each of inner) positions.set(each, index);
    }
  }
  return positions;
}

/** The position of the first node among the uses; the end of the graph for what only outputs read. */
function earliest(uses: readonly Use[], positions: ReadonlyMap<Node, number>): number {
  const places = uses.map(({ user }) =>
    user instanceof Graph ? Number.POSITIVE_INFINITY : (positions.get(user) ?? 0),
  );
  return least(places);
}

const least = (numbers: readonly number[]): number =>
  numbers.reduce((least, each) => Math.min(least, each), Number.POSITIVE_INFINITY);

function applyTensors(
  model: Model,
  names: Names,
  placed: readonly Placed[],
  form: Form,
  chain: Chain | null,
  masks: ReadonlyMap<GradientEdge, Masked>,
): readonly RecordedEdge[] {
  const functions = form === "function" ? new AgrFunctions(model) : null;
  const anchors = anchorsOf(placed);
  const untyped = untypedOf(placed);
  const sum = sharedSum(model, names, placed, anchors, functions);
  const write = (build: Builder, treatment: Treatment, gradient: Value): Value =>
    (functions?.writer(treatment) ?? inlineWriter(build, treatment)).regularized(build, gradient, sum);
  const joint = chain?.isJoint === true ? emitTogether(model, names, placed, anchors, chain, write) : null;
  return placed.flatMap(({ graph, edge, treatment, layers }, index) => {
    const { value, uses } = edge;
    const build = agrBuilder(model, names, value.name);
    const one = (gradient: Value): Value => write(build, treatment, gradient);
    const isWhole = layers === null || treatment.settings.scope === "global";
    const alone =
      chain === null
        ? () => (isWhole ? one(value) : emitLayers(build, model.opset, value, layers, one))
        : () => emitChain(model, build, chain, [edge], (_, gradient) => write(build, treatment, gradient))[0] ?? value;
    const result = joint === null ? alone() : build.emit("Identity", [joint[index] ?? value]);
    result.type = value.type;
    insertAt(graph, anchors[index] ?? null, build.nodes);
    const recorded = rewire(names, value, result, uses);
    const masked = masks.get(edge);
    const mask = masked === undefined ? [] : [emitMask(model, names, masked, result)];
    if (!untyped.has(value) || value.producer?.graph == null) return [recorded, ...mask];
    value.type = tensorType(edge.dtype);
    value.producer.graph.declare(value);
    return [{ ...recorded, typed: true as const }, ...mask];
  });
}

/** The chain for all gradients at once, before the first is used. */
function emitTogether(
  model: Model,
  names: Names,
  placed: readonly Placed[],
  anchors: readonly (Node | null)[],
  chain: Chain,
  write: (build: Builder, treatment: Treatment, gradient: Value) => Value,
): readonly Value[] {
  const build = agrBuilder(model, names, "all");
  const edges = placed.map(({ edge }) => edge);
  const results = emitChain(model, build, chain, edges, (index, gradient) => {
    const treatment = placed[index]?.treatment;
    return treatment === undefined ? gradient : write(build, treatment, gradient);
  });
  const [first] = placed;
  const readers = new Set(anchors);
  if (first !== undefined)
    insertAt(first.graph, first.graph.nodes.find((node) => readers.has(node)) ?? null, build.nodes);
  return results;
}

/**
 * The gradients whose types ONNX's shape inference cannot tell, for an operator of another domain lies above them: a function's
 * inputs must have types.
 */
function untypedOf(placed: readonly Placed[]): ReadonlySet<Value> {
  const known = new Map<Value, boolean>();
  const isKnown = (value: Value): boolean => {
    const pending = [value];
    for (let at = pending.at(-1); at !== undefined; at = pending.at(-1)) {
      const { producer, type } = at;
      const read = type !== null || producer === null || producer.domain !== "" ? [] : valuesReadBy(producer);
      const open = read.filter((each) => !known.has(each));
      if (open.length > 0) pending.push(...open);
      else {
        known.set(
          at,
          type !== null || producer === null || (producer.domain === "" && read.every((each) => known.get(each))),
        );
        pending.pop();
      }
    }
    return known.get(value) === true;
  };
  return new Set(placed.map(({ edge }) => edge.value).filter((value) => !isKnown(value)));
}

/** For each edge the first node that reads it, or that holds the node that does; null where only outputs read it. */
function anchorsOf(placed: readonly Placed[]): readonly (Node | null)[] {
  const positions = new Map([...new Set(placed.map(({ graph }) => graph))].map((graph) => [graph, positionsIn(graph)]));
  return placed.map(({ graph, edge }) => graph.nodes[earliest(edge.uses, positions.get(graph) ?? new Map())] ?? null);
}

function sharedSum(
  model: Model,
  names: Names,
  placed: readonly Placed[],
  anchors: readonly (Node | null)[],
  functions: AgrFunctions | null,
): Value | null {
  const [first] = placed;
  if (first === undefined || first.treatment.settings.scope !== "global") return null;
  const build = agrBuilder(model, names, "all");
  const distinct = placed.filter(
    ({ edge }, index) => placed.findIndex((each) => each.edge.value === edge.value) === index,
  );
  const shares = distinct.map(({ edge, treatment }) => {
    const writer = functions?.writer(treatment) ?? inlineWriter(build, treatment);
    return writer.share(build, edge.value);
  });
  const sum = build.emit("Sum", shares, { hint: "global_sum" });
  const readers = new Set(anchors);
  insertAt(first.graph, first.graph.nodes.find((node) => readers.has(node)) ?? null, build.nodes);
  return sum;
}

function insertAt(graph: Graph, anchor: Node | null, nodes: readonly Node[]): void {
  if (anchor === null) graph.append(nodes);
  else graph.insertBefore(anchor, nodes);
}

/** Lets the uses read `result`. Where one is a graph output, `result` takes over its name, and the gradient gets a new one. */
function rewire(names: Names, value: Value, result: Value, uses: readonly Use[]): RecordedEdge {
  const isOutput = uses.some(({ user }) => user instanceof Graph);
  const outputName = value.name;
  if (isOutput) {
    value.name = names.fresh(`${PREFIX}/${outputName}/raw`);
    result.name = outputName;
  }
  for (const { user, index } of uses) {
    if (user instanceof Node) user.setInput(index, result);
    else user.setOutput(index, result);
  }
  return { from: value.name, to: result.name, ...(isOutput ? { renamed: true as const } : {}) };
}
