import { removeDeadNodes } from "../../edits/dead-nodes.ts";
import { attribute } from "../../graph/attribute.ts";
import { DataType } from "../../graph/data-type.ts";
import type { Graph, Value } from "../../graph/graph.ts";
import type { Names } from "../../graph/names.ts";
import { Tensor } from "../../graph/tensor.ts";
import { tensorType } from "../../graph/value-type.ts";
import { Builder } from "../../ops/builder.ts";
import { Formula } from "../../ops/formula.ts";
import { dimsOf, known, rankOf } from "../../ops/value-types.ts";
import { givenMagnitudes, isNumbers, isWrittenApart } from "./gain.ts";
import type { Member, Renewed } from "./members.ts";
import { isReciprocal } from "./operators.ts";
import type { Held, Joined, JoinedPart, JoinPlan, Made, Reduced, Tuple } from "./tuples.ts";

/** A state that is carried joined, and what it is made of. */
export interface JoinedState {
  readonly name: string;
  readonly next: string;
  readonly states: readonly Renewed[];
}

/** Writes the joined update of some members into a graph, in the place of theirs. @returns the state in the place of theirs */
export function writeJoin(graph: Graph, plan: JoinPlan, names: Names, opset: number): readonly JoinedState[] {
  const writer = new Writer(plan, new Builder({ prefix: "joined", names }), opset);
  const { f } = writer;
  const given = new Set<Value>();
  const written = plan.roots.map(({ held, next }) => {
    const value = writer.valueOf(next);
    const output = given.has(value) || value.producer === null ? f.identity(value) : value;
    output.type = value.type;
    given.add(output);
    return { input: writer.valueOf(held), next: output, states: held.states };
  });
  const before = new Set(plan.roots.flatMap(({ held }) => held.states.map(({ next }) => next)));
  graph.replaceOutputs(graph.outputs.filter((value) => !before.has(value)));
  for (const { next } of written) graph.addOutput(next);
  graph.append(f.build.nodes);
  removeDeadNodes(graph);
  /** What the rest of the graph reads of it: first what is made of state, then the state. */
  for (const part of plan.parts.toReversed()) {
    if (part.kind === "held" || part.kind === "made") separate(part, writer, graph);
  }
  const gone = new Set(plan.roots.flatMap(({ held }) => held.states.map(({ input }) => input)));
  graph.replaceInputs([...graph.inputs.filter((value) => !gone.has(value)), ...written.map(({ input }) => input)]);
  return written.map(({ input, next, states }) => ({ name: input.name, next: next.name, states }));
}

/** Gives what is still read of a tuple as a piece of the whole. */
function separate(part: Held | Made, writer: Writer, graph: Graph): void {
  const isRead = part.tuple.map((value) => value.isUsed && (value.producer?.graph ?? graph) === graph);
  if (!part.isOfState || !isRead.includes(true) || (part.kind === "made" && part.form === "number")) return;
  const { build } = writer.f;
  const count = build.nodes.length;
  const pieces = writer.piecesOf(part);
  for (const [index, value] of part.tuple.entries()) {
    const piece = pieces[index];
    const shape = known(dimsOf(value));
    if (piece === undefined || shape === null || !isRead[index]) continue;
    const shaped = shape.length === 1 ? piece : writer.f.reshape(piece, shape);
    shaped.type = value.type;
    value.replaceAllUsesWith(shaped);
  }
  graph.append(build.nodes.slice(count));
  removeDeadNodes(graph);
}

class Writer {
  readonly f: Formula;
  readonly #members: readonly Member[];
  readonly #sizes: readonly number[];
  readonly #values = new Map<Joined, Value>();
  readonly #pieces = new Map<Joined, readonly Value[]>();
  readonly #spread = new Map<Joined, Value>();
  #places: Value | null = null;

  constructor(plan: JoinPlan, build: Builder, opset: number) {
    this.f = new Formula(build, opset);
    this.#members = plan.members;
    this.#sizes = plan.members.map(({ size }) => size);
  }

  get #total(): number {
    return this.#sizes.reduce((sum, size) => sum + size, 0);
  }

  typeOf({ form, dtype }: { readonly form: string; readonly dtype: number }): Value["type"] {
    return tensorType(dtype, [form === "flat" ? this.#total : this.#sizes.length]);
  }

  valueOf(part: Joined): Value {
    const found = this.#values.get(part);
    if (found !== undefined) return found;
    const value = this.#write(part);
    if (part.kind !== "shared") value.type = this.typeOf(part);
    this.#values.set(part, value);
    return value;
  }

  /** The tensors of the members, or their numbers, each a vector. */
  piecesOf(part: JoinedPart): readonly Value[] {
    const found = this.#pieces.get(part);
    if (found !== undefined) return found;
    const pieces = part.kind === "given" ? this.#vectors(part.tuple) : this.#split(this.valueOf(part), part);
    this.#pieces.set(part, pieces);
    return pieces;
  }

  #split(value: Value, { form, dtype }: JoinedPart): readonly Value[] {
    const sizes = this.#sizes.map((size) => (form === "flat" ? size : 1));
    const pieces = this.f.build.emitAll("Split", [value, this.f.ints(sizes)], sizes.length, {
      attributes: [attribute.int("axis", 0)],
    });
    for (const [index, piece] of pieces.entries()) piece.type = tensorType(dtype, sizes.slice(index, index + 1));
    return pieces;
  }

  #vectors(tuple: Tuple): readonly Value[] {
    return tuple.map((value) => (rankOf(value) === 1 ? value : this.f.reshape(value, [-1])));
  }

  #write(part: Joined): Value {
    switch (part.kind) {
      case "shared":
        return this.#shared(part.value);
      case "held":
        return this.f.build.input("state", this.typeOf(part));
      case "given":
        return this.f.concat(this.piecesOf(part), 0);
      case "reduced":
        return this.f.concat(this.#reduced(part), 0);
      case "made":
        return this.#make(part);
    }
  }

  #reduced(part: Reduced): readonly Value[] {
    const attributes = [attribute.int("keepdims", 1)];
    const given = givenMagnitudes(part);
    return given === null
      ? this.piecesOf(part.of).map((piece) => this.f.build.again(part.node, [piece], attributes))
      : this.piecesOf(given).map((piece) => this.f.emit("ReduceL1", [piece], { attributes }));
  }

  /** All members read it: it is fused with none of the nodes that do. */
  #shared(value: Value): Value {
    if (isReciprocal(value.producer)) return this.f.reshape(value, [1]);
    return (rankOf(value) ?? 0) > 1 ? this.f.reshape(value, []) : value;
  }

  #make(part: Made): Value {
    const { build } = this.f;
    if (isWrittenApart(part, this.#members)) {
      const pieces = this.#sizes.map((_, index) =>
        build.again(
          part.node,
          part.inputs.map((input) => {
            if (input === null || input.kind === "shared") return input === null ? null : this.valueOf(input);
            return this.piecesOf(input)[index] ?? null;
          }),
        ),
      );
      this.#pieces.set(part, pieces);
      return this.f.concat(pieces, 0);
    }
    const inputs = part.inputs.map((input) => {
      if (input === null) return null;
      return part.form === "flat" && isNumbers(input) ? this.#spreadOf(input) : this.valueOf(input);
    });
    return build.again(part.node, inputs);
  }

  /** One number per element, in the place of one per member. */
  #spreadOf(part: Joined): Value {
    const found = this.#spread.get(part);
    if (found !== undefined) return found;
    this.#places ??= this.f.build.constant(
      Tensor.from(
        DataType.int32,
        [this.#total],
        Int32Array.from(this.#sizes.flatMap((size, index) => Array.from({ length: size }, () => index))),
      ),
    );
    const spread = this.f.gatherElements(this.valueOf(part), this.#places, 0);
    this.#spread.set(part, spread);
    return spread;
  }
}
