import { Tensor } from "onnxruntime-node";
import { expect } from "vitest";
import { encodeModel } from "../../src/entries/graph.ts";
import type { Graph, Value } from "../../src/graph/graph.ts";
import { walkGraphs } from "../../src/graph/model.ts";
import { Names } from "../../src/graph/names.ts";
import type { Model } from "../../src/index.ts";
import { inferTypes } from "../../src/ops/inference/infer-types.ts";
import type { StepModel } from "../../src/passes/portable/step-model.ts";
import { isSharded, type Placement, piece, REPLICATED, sharded } from "../../src/passes/sharded/placement.ts";
import { shardBatch } from "../../src/passes/sharded/shard-batch.ts";
import { dimsOfValue } from "../../src/passes/sharded/shard-call.ts";
import { placeGraph } from "../../src/passes/sharded/shard-graph.ts";
import { openSession } from "./ort.ts";

export type Feeds = Readonly<Record<string, Tensor>>;

const sizeOf = (dims: readonly number[]): number => dims.reduce((product, dim) => product * dim, 1);

/** What a model gives of each of what it is fed. */
async function runs(model: Model, feeds: readonly Feeds[]): Promise<readonly Feeds[]> {
  const session = await openSession(encodeModel(model), { graphOptimizationLevel: "disabled" });
  try {
    const results: Feeds[] = [];
    for (const each of feeds) {
      const own = session.inputNames.map((name) => [name, each[name] as Tensor] as const);
      results.push(await session.run(Object.fromEntries(own)));
    }
    return results;
  } finally {
    await session.release();
  }
}

async function run(model: Model, feeds: Feeds): Promise<Feeds> {
  const [given = {}] = await runs(model, [feeds]);
  return given;
}

/** A piece of the first axis. */
function rows({ type, data, dims: [first = 0, ...row] }: Tensor, part: number, count: number): Tensor {
  const own = first / count;
  const size = own * sizeOf(row);
  return new Tensor(type as "float32", (data as Float32Array).slice(part * size, (part + 1) * size), [own, ...row]);
}

/** Pieces of the first axis in one. */
function behind(pieces: readonly Tensor[]): Tensor {
  const [{ type, dims } = new Tensor("float32", [], [0])] = pieces;
  const all = pieces.flatMap(({ data }) => Array.from(data as Float32Array));
  return new Tensor(type as "float32", all, [(dims[0] ?? 0) * pieces.length, ...dims.slice(1)]);
}

type Numbers = ArrayLike<number | bigint>;

const numbersOf = (tensor: Tensor | undefined): readonly number[] => Array.from(tensor?.data as Numbers, Number);

/** The whole of a tensor from what the parts have of it. */
function assembled(parts: readonly (readonly number[])[], placement: Placement, dims: readonly number[]): number[] {
  const [first = []] = parts;
  const count = parts.length;
  if (placement.kind === "replicated") {
    for (const part of parts) expect(part).toEqual(first);
    return [...first];
  }
  if (placement.kind === "partial") {
    const sums = first.map((_, at) => parts.reduce((sum, part) => sum + (part[at] ?? Number.NaN), 0));
    return placement.by === "sum" ? sums : sums.map((sum) => sum / count);
  }
  const { axis, runs } = placement;
  const row = sizeOf(dims.slice(axis + 1));
  const length = (dims[axis] ?? 0) / runs;
  const own = length / count;
  return Array.from({ length: sizeOf(dims) }, (_, at) => {
    const [inRow, place] = [at % row, Math.floor(at / row) % (length * runs)];
    const before = Math.floor(at / (row * length * runs));
    const [stretch, within] = [Math.floor(place / length), place % length];
    const [part, index] = [Math.floor(within / own), within % own];
    return parts[part]?.[((before * runs + stretch) * own + index) * row + inRow] ?? Number.NaN;
  });
}

/** Of a sum near one. */
const ROUNDING = 2 ** -23;

/** Other orders of additions: of few numbers, each of which may have been rounded a few times on the way. */
export function expectAlike(given: readonly number[], whole: readonly number[], name: string, precision = 2e-6): void {
  expect(given.length, name).toBe(whole.length);
  const scale = Math.max(...whole.map((number) => (Number.isFinite(number) ? Math.abs(number) : 0)));
  const worst = whole.findIndex((number, at) => {
    const other = given[at] ?? Number.NaN;
    return !Object.is(number, other) && !(Math.abs(number - other) <= precision * scale + ROUNDING) && number !== other;
  });
  expect(worst === -1 ? "alike" : `[${worst}]: ${given[worst]} and not ${whole[worst]}`, name).toBe("alike");
}

const said = (placement: Placement | undefined): string => {
  if (placement === undefined) return "left out";
  if (placement.kind === "replicated") return "all";
  if (placement.kind === "partial") return placement.by;
  return `axis ${placement.axis}${placement.runs === 1 ? "" : ` in ${placement.runs}`}`;
};

function givenOf({ inputs }: Graph, names: readonly string[]): ReadonlyMap<Value, Placement> {
  const fed = inputs.filter(({ name }) => names.includes(name));
  const batch = fed.map(dimsOfValue).find((dims) => dims !== null && dims.length > 0)?.[0];
  return new Map(fed.flatMap((value) => (dimsOfValue(value)?.[0] === batch ? [[value, sharded(0)]] : [])));
}

/** Lets a graph give every tensor that a node of its own makes, and those alone. */
function giveAll(model: Model, isGiven: (value: Value) => boolean): readonly string[] {
  const { graph } = model;
  graph.clearValueInfo();
  const made = graph.nodes.flatMap(({ outputs }) => outputs.filter((value) => value !== null && isGiven(value)));
  const given = made.filter((value) => value !== null && value.type?.kind === "tensor") as Value[];
  for (const value of given) if (value.type?.kind === "tensor") value.type = { ...value.type, shape: null };
  graph.replaceOutputs(given);
  return given.map(({ name }) => name);
}

const partsOf = (feeds: Feeds, isCut: (name: string) => boolean, count: number): readonly Feeds[] =>
  Array.from({ length: count }, (_, part) =>
    Object.fromEntries(
      Object.entries(feeds).map(([name, tensor]) => [name, isCut(name) ? rows(tensor, part, count) : tensor]),
    ),
  );

/** Leaves in a graph what parts compute, of pieces of its inputs. */
function asPart(model: Model, isApart: (value: Value) => boolean, given: ReadonlySet<Value>, count: number): void {
  const { graph } = model;
  graph.replaceOutputs([]);
  for (const node of graph.nodes.toReversed()) {
    if (node.outputs.some((value) => value !== null && isApart(value))) graph.remove(node);
  }
  for (const value of given) {
    const shape = piece(dimsOfValue(value) ?? [], sharded(0), count);
    if (value.type?.kind === "tensor") value.type = { ...value.type, shape };
  }
  const inner = [...walkGraphs(graph)].filter((each) => each !== graph);
  const made = [...walkGraphs(graph)].flatMap(({ nodes }) => nodes.flatMap(({ outputs }) => outputs));
  for (const value of [...inner.flatMap(({ inputs }) => inputs), ...made]) {
    if (value?.type?.kind === "tensor") value.type = { ...value.type, shape: null };
  }
  inferTypes(model);
}

/**
 * Computes a step whole and in parts, and compares every tensor on the way with what the parts have of it.
 * @returns where each lies, by its name; null where the step cannot be cut
 */
export async function placedAlike(
  step: StepModel,
  feeds: Feeds,
  count: number,
  precision?: number,
): Promise<ReadonlyMap<string, string> | null> {
  const [model, whole] = [step.model.clone(), step.model.clone()];
  const types = inferTypes(model);
  inferTypes(whole);
  const given = givenOf(model.graph, step.inputs);
  const placed = placeGraph(model.graph, given, { opset: model.opset, count, names: new Names(model), types });
  if (placed === null) return null;
  const made = model.graph.nodes.flatMap(({ outputs }) => outputs.filter((value) => value !== null));
  const lies = new Map([...placed.placements].map(([{ name }, placement]) => [name, placement]));
  const found = new Map(made.map(({ name }) => [name, said(lies.get(name))]));
  placed.edit();
  asPart(model, ({ name }) => found.get(name) === "left out", new Set(given.keys()), count);
  const cut = new Set([...given.keys()].map(({ name }) => name));
  const names = giveAll(model, ({ name }) => found.has(name));
  const parts = await runs(
    model,
    partsOf(feeds, (name) => cut.has(name), count),
  );
  giveAll(whole, () => true);
  const expected = await run(whole, feeds);
  for (const name of names) {
    const { dims = [] } = expected[name] ?? {};
    const placement = lies.get(name) ?? REPLICATED;
    const what = `${name}: ${said(placement)} of ${count}`;
    const own = isSharded(placement) ? piece(dims, placement, count) : dims;
    for (const part of parts) expect(part[name]?.dims, what).toEqual(own);
    const all = parts.map((part) => numbersOf(part[name]));
    expectAlike(assembled(all, placement, dims), numbersOf(expected[name]), what, precision);
  }
  return found;
}

/** What the parts and the rest of a step give, and what the step itself gives; null where the step cannot be cut. */
export async function inParts(
  step: StepModel,
  feeds: Feeds,
  count: number,
): Promise<{ readonly given: Feeds; readonly whole: Feeds } | null> {
  const made = shardBatch(step, count);
  if (made === null) return null;
  const { shard, rest } = made;
  const sizes = new Map(step.model.graph.inputs.map((value) => [value.name, dimsOfValue(value)?.[0]]));
  const own = new Map(shard.model.graph.inputs.map((value) => [value.name, dimsOfValue(value)?.[0]]));
  const isCut = (name: string): boolean => own.has(name) && own.get(name) !== sizes.get(name);
  const outputs = await runs(shard.model, partsOf(feeds, isCut, count));
  const results: Record<string, Tensor> = {};
  for (const name of shard.outputs) {
    const parts = outputs.map((each) => each[name] as Tensor);
    for (const [part, tensor] of parts.entries()) results[`${name}/${part}`] = tensor;
    if (rest.inputs.includes(name)) results[name] = behind(parts);
  }
  return { given: await run(rest.model, { ...feeds, ...results }), whole: await run(step.model, feeds) };
}
