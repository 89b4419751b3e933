import { attribute } from "../../graph/attribute.ts";
import { cloneNode } from "../../graph/clone.ts";
import { DataType, isGradientType } from "../../graph/data-type.ts";
import { type Graph, Node, Value } from "../../graph/graph.ts";
import { subgraphsOf, valuesReadBy } from "../../graph/model.ts";
import { Tensor } from "../../graph/tensor.ts";
import { removeUnusedNodes } from "../../graph/unused-nodes.ts";
import type { ValueType } from "../../graph/value-type.ts";
import { Builder } from "../../ops/builder.ts";
import { elementTypeOf } from "../../ops/element-type.ts";
import { Formula } from "../../ops/formula.ts";
import { requireSameShapes } from "../carried-shapes.ts";
import { requireRepeatable } from "../repeatable.ts";
import type { Backward, GradientRule, GradientTable, Inner } from "../rule.ts";

/** How one axis of a tensor is gone along, an entry per step. */
interface Along {
  readonly axis: number;
  readonly isBackward: boolean;
}

/** What each step gives one input of the body. */
type Fed =
  /** What the step before gave as the output `renewedBy` of the body; the last is the node's output `result`. */
  | { readonly kind: "carried"; readonly from: Value; readonly renewedBy: number; readonly result: number }
  | ({ readonly kind: "slice"; readonly from: Value } & Along)
  | { readonly kind: "count" }
  | { readonly kind: "condition" };

/** What each step puts on the pile: the output `output` of the body, to the node's output `result`. */
interface Collected extends Along {
  readonly output: number;
  readonly result: number;
}

/** A node that repeats a graph. */
interface Repetition {
  readonly op: "Scan" | "Loop";
  /** In the order of the body's inputs. */
  readonly fed: readonly Fed[];
  readonly collected: readonly Collected[];
}

function scanOf(b: Backward): Repetition {
  const { node } = b;
  const slices = b.int("num_scan_inputs");
  const states = node.inputs.length - slices;
  const along = (side: "input" | "output", at: number): Along => ({
    axis: b.ints(`scan_${side}_axes`)?.[at] ?? 0,
    isBackward: b.ints(`scan_${side}_directions`)?.[at] === 1,
  });
  const fed = node.inputs.map((_, at): Fed => {
    const from = b.input(at);
    return at < states
      ? { kind: "carried", from, renewedBy: at, result: at }
      : { kind: "slice", from, ...along("input", at - states) };
  });
  const collected = node.outputs.slice(states).map((_, at) => ({
    output: states + at,
    result: states + at,
    ...along("output", at),
  }));
  return { op: "Scan", fed, collected };
}

function loopOf(b: Backward): Repetition {
  const { node } = b;
  const initial = node.inputs.slice(2).map((_, at) => b.input(2 + at));
  const fed = initial.map((from, at): Fed => ({ kind: "carried", from, renewedBy: 1 + at, result: at }));
  const collected = node.outputs.slice(initial.length).map((_, at) => {
    const result = initial.length + at;
    return { output: 1 + result, result, axis: 0, isBackward: false };
  });
  return { op: "Loop", fed: [{ kind: "count" }, { kind: "condition" }, ...fed], collected };
}

/** The body of a copy of the node, with names of its own. */
function copiedBody(b: Backward, { op }: Repetition, { names }: Inner): Graph {
  const prefix = `${b.node.name || op}/grad`;
  const copy = cloneNode(
    b.node,
    () => null,
    (name) => names.fresh(name === "" ? `${prefix}/node` : `${name}/again`),
  );
  copy.release();
  const [body] = subgraphsOf(copy);
  if (body === undefined) throw b.refuse("it has no body");
  return body;
}

/** The node once more, with what each step began with as results: a pile for each input of the body that has one. */
function beginnings(b: Backward, repetition: Repetition, inner: Inner): ReadonlyMap<number, Value> {
  const { fed, op } = repetition;
  const kept = fed.flatMap((each, at) => (each.kind === "carried" || each.kind === "count" ? [at] : []));
  if (kept.length === 0) return new Map();
  const body = copiedBody(b, repetition, inner);
  const build = new Builder({ prefix: `${b.node.name || op}/grad/before`, names: inner.names });
  const own = kept.map((at) => {
    const input = inputOf(b, body, at);
    const copy = build.emit("Identity", [input]);
    copy.type = input.type;
    return copy;
  });
  body.append(build.nodes);
  for (const value of own) body.addOutput(value);
  const attributes = [...b.node.attributes.values()].map((each) =>
    each.name === "body"
      ? attribute.graph("body", body)
      : (extended(each.name, each.kind === "ints" ? each.value : null, own.length) ?? each),
  );
  const outputs = b.node.outputs.length;
  const all = b.f.build.emitAll(op, b.node.inputs, outputs + kept.length, { attributes });
  return new Map(
    kept.flatMap((at, place) => {
      const pile = all[outputs + place];
      return pile === undefined ? [] : [[at, pile] as const];
    }),
  );
}

/** Directions and axes of a Scan's outputs, with those of more. */
function extended(name: string, values: readonly bigint[] | null, more: number) {
  if (values === null || !name.startsWith("scan_output_")) return null;
  return attribute.ints(name, [...values.map(Number), ...Array.from({ length: more }, () => 0)]);
}

function inputOf(b: Backward, body: Graph, at: number): Value {
  const input = body.inputs[at];
  if (input === undefined) throw b.refuse(`its body has no input ${at}`);
  return input;
}

const isFloat = (value: Value): boolean =>
  (value.type === null || value.type.kind === "tensor") && isGradientType(elementTypeOf(value));

/** A value of the backward body that goes round: what it begins with, its input, and what renews it. */
interface Turn {
  readonly begins: Value;
  readonly input: Value;
  readonly renewed: Value;
  /** Whose gradient it is in the end. */
  readonly of: Value;
}

/**
 * From the last step to the first, each step computes again what the body computed, from what it began with, and goes back
 * through it. The gradients of what is carried go round; those of values from outside are added up; those of slices are piled up.
 */
function backThrough(b: Backward, repetition: Repetition, inner: Inner): ReadonlyMap<Value, Value> {
  requireRepeatable(b);
  const { f, node } = b;
  const { fed, collected, op } = repetition;
  const rounds = fed.flatMap((each, input) =>
    each.kind === "carried" ? [{ from: each.from, input, output: each.renewedBy }] : [],
  );
  requireSameShapes(b, copiedBody(b, repetition, inner), rounds);
  const piles = beginnings(b, repetition, inner);
  const body = copiedBody(b, repetition, inner);
  const build = new Builder({ prefix: `${node.name || op}/grad/back`, names: inner.names });
  const formula = (value: Value): Formula => new Formula(build, b.opset, elementTypeOf(value));
  const outer = (value: Value): Formula => f.typed(elementTypeOf(value));
  const fresh = (hint: string, type: ValueType | null): Value => build.input(hint, type);
  const slices: { readonly from: Value; readonly input: Value; readonly along: Along }[] = [];
  const seeds = new Seeds();
  const carried: { readonly each: Fed & { kind: "carried" }; readonly input: Value; readonly seed: Value }[] = [];
  for (const [at, each] of fed.entries()) {
    const input = inputOf(b, body, at);
    const pile = piles.get(at);
    if (each.kind === "condition") input.replaceAllUsesWith(f.build.constant(TRUE));
    else if (each.kind === "slice") slices.push({ from: each.from, input, along: turnedRound(each) });
    else if (pile !== undefined) slices.push({ from: pile, input, along: { axis: 0, isBackward: true } });
    if (each.kind !== "carried" || !isFloat(each.from)) continue;
    const seed = fresh("carried", input.type);
    seeds.add(body.outputs[each.renewedBy], seed);
    carried.push({ each, input, seed });
  }
  for (const each of collected) {
    const [dy, output] = [b.dyOf(each.result), body.outputs[each.output]];
    if (dy === null || output === undefined) continue;
    const seed = fresh("collected", output.type);
    seeds.add(output, seed);
    slices.push({ from: dy, input: seed, along: turnedRound(each) });
  }
  const captured = [...new Set(valuesReadBy(node).slice(node.inputs.filter((value) => value !== null).length))].filter(
    (value) => b.isWanted(value) && isFloat(value),
  );
  const sliced = fed.flatMap((each, at) =>
    each.kind === "slice" && b.isWanted(each.from) && isFloat(each.from) ? [{ each, input: inputOf(b, body, at) }] : [],
  );
  const wanted = [...carried.map(({ input }) => input), ...sliced.map(({ input }) => input), ...captured];
  const gradients = inner.differentiate(body, seeds.summed(body, inner, `${node.name || op}/grad/seed`), wanted);
  const given = new Set<Value>();
  const gradientOf = (value: Value): Value => {
    const own = formula(value);
    const gradient = gradients.get(value) ?? own.zeros(own.shape(value));
    /** A copy only where there must be one: ONNX Runtime's fusions lose track of what is read and copied to an output. */
    const isOwn = gradients.get(value) === undefined || gradient.producer?.graph === body;
    if (!isOwn || given.has(gradient)) return own.identity(gradient);
    given.add(gradient);
    return gradient;
  };
  const turns: readonly Turn[] = [
    ...carried.map(({ each, input, seed }) => ({
      begins: b.dyOf(each.result) ?? outer(each.from).zeros(f.shape(each.from)),
      input: seed,
      renewed: gradientOf(input),
      of: each.from,
    })),
    ...captured.map((value) => {
      const input = fresh("sum", value.type);
      const part = gradients.get(value);
      const own = formula(value);
      const renewed = part === undefined ? own.identity(input) : own.add(input, part);
      return { begins: outer(value).zeros(f.shape(value)), input, renewed, of: value };
    }),
  ];
  const made = sliced.map(({ each, input }) => ({ value: gradientOf(input), each }));
  for (const { input, renewed } of turns) renewed.type = input.type;
  body.append(build.nodes);
  body.replaceInputs([...turns.map(({ input }) => input), ...slices.map(({ input }) => input)]);
  body.replaceOutputs([...turns.map(({ renewed }) => renewed), ...made.map(({ value }) => value)]);
  removeUnusedNodes(body);
  const directions = (all: readonly Along[]): readonly number[] => all.map(({ isBackward }) => (isBackward ? 1 : 0));
  const ins = slices.map(({ along }) => along);
  const outs = made.map(({ each }) => turnedRound(each));
  const results = f.build.emitAll(
    "Scan",
    [...turns.map(({ begins }) => begins), ...slices.map(({ from }) => from)],
    turns.length + made.length,
    {
      attributes: [
        attribute.graph("body", body),
        attribute.int("num_scan_inputs", slices.length),
        attribute.ints("scan_input_directions", directions(ins)),
        attribute.ints(
          "scan_input_axes",
          ins.map(({ axis }) => axis),
        ),
        ...(outs.length === 0
          ? []
          : [
              attribute.ints("scan_output_directions", directions(outs)),
              attribute.ints(
                "scan_output_axes",
                outs.map(({ axis }) => axis),
              ),
            ]),
      ],
    },
  );
  const sums = new Map<Value, Value>();
  const targets = [...turns.map(({ of }) => of), ...made.map(({ each }) => each.from)];
  for (const [at, target] of targets.entries()) {
    const result = results[at];
    if (result === undefined || !b.isWanted(target)) continue;
    const earlier = sums.get(target);
    sums.set(target, earlier === undefined ? result : outer(target).add(earlier, result));
  }
  return sums;
}

const TRUE = Tensor.from(DataType.bool, [], Uint8Array.of(1));

const turnedRound = ({ axis, isBackward }: Along): Along => ({ axis, isBackward: !isBackward });

/** The gradients of the body's outputs; a value that is several outputs gets the sum. */
class Seeds {
  readonly #parts = new Map<Value, Value[]>();

  add(output: Value | undefined, seed: Value): void {
    if (output === undefined) return;
    this.#parts.set(output, [...(this.#parts.get(output) ?? []), seed]);
  }

  summed(body: Graph, { names }: Inner, prefix: string): ReadonlyMap<Value, Value> {
    return new Map(
      [...this.#parts].flatMap(([output, parts]): readonly (readonly [Value, Value])[] => {
        const [first] = parts;
        if (first === undefined) return [];
        if (parts.length === 1) return [[output, first]];
        const name = names.fresh(prefix);
        const sum = new Value(`${name}:out`, output.type);
        body.append(new Node("Sum", parts, [sum], { name }));
        return [[output, sum]];
      }),
    );
  }
}

const repeated = (of: (b: Backward) => Repetition): GradientRule => ({
  gradient: () => [],
  captured: (b, inner) => backThrough(b, of(b), inner),
});

export const LOOP_RULES: GradientTable = { Scan: repeated(scanOf), Loop: repeated(loopOf) };
