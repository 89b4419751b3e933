import { isGradientType } from "../../graph/data-type.ts";
import type { Graph, Node, Value } from "../../graph/graph.ts";
import { type Call, type ExportedProgram, FUSIONS, isMadeBy, type Target } from "./program.ts";

/** One place where a node reads a constant. */
export interface Slot {
  readonly node: Node;
  readonly index: number;
  readonly value: Value;
  readonly call: Call;
}

/** Which parameter or buffer of the program each constant stands for, where it is read. */
export interface Assignment {
  readonly slots: ReadonlyMap<Slot, Target>;
  /** The arguments of a call that no constant stands for. */
  readonly open: ReadonlyMap<Call, readonly Target[]>;
  /** Where a call that was not given a parameter reads one: a constant of the exporter's own that it merged with it. */
  readonly foreign: readonly Slot[];
}

/** The parameters and buffers a constant was made from: itself, or what it was folded from. */
export function originsOf(program: ExportedProgram, value: Value): readonly Target[] {
  const names = program.foldedFrom(value) ?? [value.name];
  return names.flatMap((name) => program.targets.get(name) ?? []);
}

/**
 * Matches the constants that the nodes of a call read with the parameters its call was given: by name where it is one of them,
 * then by the last part of the name (`weight`, `bias`), then by order.
 */
export function assignTargets(graph: Graph, program: ExportedProgram): Assignment {
  const slots = new Map<Slot, Target>();
  const open = new Map<Call, readonly Target[]>();
  const foreign: Slot[] = [];
  const results: Slot[] = [];
  const present = namesIn(graph);
  for (const [call, places] of placesOf(graph, program)) {
    const left = new Set(call.targets);
    const take = (slot: Slot, target: Target | undefined): boolean => {
      if (target === undefined) return false;
      slots.set(slot, target);
      left.delete(target);
      return true;
    };
    const strangers = places.filter((slot) => {
      const origins = originsOf(program, slot.value);
      const own = call.targets.filter((target) => origins.includes(target));
      if (own.length > 1) for (const target of own) left.delete(target);
      if (own.length > 1 || take(slot, own[0])) return false;
      if (!isResult(program, slot.value)) return true;
      results.push(slot);
      return false;
    });
    const unlike = strangers.filter((slot) => {
      const parts = originsOf(program, slot.value).map(({ name }) => lastPart(name));
      return !take(
        slot,
        [...left].find(({ name }) => parts.includes(lastPart(name))),
      );
    });
    const others = unlike.filter((slot) => !take(slot, [...left][0]));
    if (call.results.every((name) => present.has(name))) foreign.push(...others);
    open.set(call, [...left]);
  }
  for (const [slot, target] of assignResults(graph, program, results, present)) slots.set(slot, target);
  return { slots, open, foreign };
}

/**
 * Matches what the exporter computed of a parameter alone with the calls that read it. Where the name a call was given is not there, it was
 * merged with this one of equal elements: the layers' parameters of like names, in the order of the program.
 */
function assignResults(
  graph: Graph,
  program: ExportedProgram,
  results: readonly Slot[],
  present: ReadonlySet<string>,
): ReadonlyMap<Slot, Target> {
  const assigned = new Map<Slot, Target>();
  const read = new Set(graph.initializers.flatMap((value) => originsOf(program, value)));
  const unread = [...program.targets.values()].filter((target) => target.isParameter && !read.has(target));
  for (const value of new Set(results.map((slot) => slot.value))) {
    const slots = results.filter((slot) => slot.value === value);
    const [origin, ...others] = originsOf(program, value);
    if (origin === undefined || others.length > 0) continue;
    const nameAt = ({ call }: Slot): string | undefined =>
      call.results.includes(value.name) ? value.name : call.results.find((name) => !present.has(name));
    const merged = [...new Set(slots.map(nameAt))].filter((name) => name !== value.name);
    const alike = unread.filter(({ name }) => withoutNumbers(name) === withoutNumbers(origin.name));
    if (merged.length === 0 || merged.includes(undefined) || merged.length !== alike.length) continue;
    for (const slot of slots) {
      const target = [origin, ...alike][1 + merged.indexOf(nameAt(slot))];
      if (target !== undefined) assigned.set(slot, target);
    }
  }
  return assigned;
}

/** What a graph has by name; operations that changed nothing are gone. */
const namesIn = ({ initializers, inputs, nodes }: Graph): ReadonlySet<string> =>
  new Set(
    [...initializers, ...inputs, ...nodes.flatMap(({ outputs }) => outputs)].flatMap((value) => value?.name ?? []),
  );

const withoutNumbers = (name: string): string => name.replaceAll(/\d+/g, "#");

/** What an operation of the program gave: the call was given that, and no parameter in its place. */
const isResult = (program: ExportedProgram, value: Value): boolean =>
  program.foldedFrom(value) !== null && !/^val_\d+$/.test(value.name);

const lastPart = (name: string): string => name.slice(name.lastIndexOf(".") + 1);

function placesOf(graph: Graph, program: ExportedProgram): ReadonlyMap<Call, readonly Slot[]> {
  const initializers = new Set(graph.initializers);
  const places = new Map<Call, Slot[]>();
  for (const node of graph) {
    const call = program.callOf(node);
    if (call === null || isMadeBy(node, FUSIONS)) continue;
    const slots = places.get(call) ?? [];
    places.set(call, slots);
    for (const [index, value] of node.inputs.entries()) {
      if (!value?.tensor || !initializers.has(value) || !isGradientType(value.tensor.dtype)) continue;
      const isGiven = call.targets.length > 0 || isResult(program, value);
      if (isGiven && originsOf(program, value).length > 0) slots.push({ node, index, value, call });
    }
  }
  return places;
}
