import type { EdgeParameter } from "../../analysis/find-optimizers/site.ts";
import { PassError } from "../../errors.ts";
import { DataType } from "../../graph/data-type.ts";
import type { Value } from "../../graph/graph.ts";
import { Tensor } from "../../graph/tensor.ts";
import type { Builder } from "../../ops/builder.ts";
import { nameMatcher } from "../../ops/name-globs.ts";
import type { Skipped } from "../pass.ts";
import type { Parameter, Settings } from "./options.ts";

/**
 * What a gradient is tested for inside the graph. Which element of the sequence belongs to which parameter is unknown
 * (ONNX Runtime fills it in the order of a hash map), so only the tensor itself can tell. Null: not tested.
 */
export interface Predicate {
  readonly minElements: number | null;
  readonly minRank: number | null;
  readonly shapes: readonly (readonly number[])[] | null;
}

export interface Selection {
  /** Null: every gradient is regularized. */
  readonly predicate: Predicate | null;
  /** Names of the parameters AGR reaches; null where the parameters are not known. */
  readonly reached: readonly string[] | null;
  readonly skipped: readonly Skipped[];
}

/** @throws PassError `E_SELECTION` where names cannot be told apart by shape, or are not known at all. */
export function select(settings: Settings, parameters: readonly Parameter[] | undefined): Selection {
  const { minElements, minRank, include, exclude, scope } = settings;
  const byName = include.length > 0 || exclude.length > 0;
  if (parameters === undefined) {
    if (byName) {
      throw new PassError("E_SELECTION", "an optimizer model alone does not know its parameters' names", {
        hint: "Give the artifacts folder, or select by --min-rank or --min-elements.",
      });
    }
    return { predicate: runTimePredicate(settings), reached: null, skipped: [] };
  }
  const isSmall = (each: Parameter): boolean => summed(each.shape, scope) < minElements;
  const judged = parameters.map((parameter) => ({ parameter, reason: judge(settings, parameter) }));
  const reached = judged.filter(({ reason }) => reason === null).map(({ parameter }) => parameter);
  const skipped = judged.flatMap(({ parameter, reason }) => (reason === null ? [] : [{ at: parameter.name, reason }]));
  if (reached.length === 0) {
    throw new PassError("E_SELECTION", `no parameter is left to regularize: ${skipped.map(describe).join("; ")}`, {
      hint: "Loosen --include, --exclude, --min-rank or --min-elements.",
    });
  }
  const predicate: Predicate = {
    minElements: parameters.some(isSmall) ? minElements : null,
    minRank: parameters.some(({ shape }) => shape.length < minRank) ? minRank : null,
    shapes: byName ? shapesOf(reached, judged) : null,
  };
  return { predicate: isEmpty(predicate) ? null : predicate, reached: reached.map(({ name }) => name), skipped };
}

/**
 * Why a parameter is left alone; null where it is not. A shape that is not known is not held against it.
 */
export function judge(settings: Settings, { name, shape }: EdgeParameter): string | null {
  const { minElements, minRank, include, exclude, scope } = settings;
  if (shape !== null && summed(shape, scope) < minElements) {
    return `sums over ${summed(shape, scope)} elements, fewer than ${minElements}`;
  }
  if (shape !== null && shape.length < minRank) return `its rank ${shape.length} is below ${minRank}`;
  if (exclude.length > 0 && nameMatcher(exclude, "exclude")(name)) return "excluded by name";
  return include.length === 0 || nameMatcher(include, "include")(name) ? null : "not included by name";
}

/** What the test that `runTimePredicate` describes says of a shape. */
export function appliesTo({ minElements, minRank, scope }: Settings, shape: readonly number[]): boolean {
  return summed(shape, scope) >= minElements && shape.length >= minRank;
}

/** What is left to test when the graph runs, where the shape is not known before. */
export function runTimePredicate({ minElements, minRank }: Settings): Predicate | null {
  const predicate = { minElements: minElements > 1 ? minElements : null, minRank: minRank || null, shapes: null };
  return isEmpty(predicate) ? null : predicate;
}

const describe = ({ at, reason }: Skipped): string => `${at}: ${reason}`;
const isEmpty = (predicate: Predicate): boolean => Object.values(predicate).every((part) => part === null);
const product = (shape: readonly number[]): number => shape.reduce((size, dim) => size * dim, 1);

/** How many elements one sum of |g| runs over. */
function summed(shape: readonly number[], scope: Settings["scope"]): number {
  return product(scope === "channel" ? shape.slice(1) : shape);
}

function shapesOf(
  reached: readonly Parameter[],
  judged: readonly { readonly parameter: Parameter; readonly reason: string | null }[],
): readonly (readonly number[])[] | null {
  const wanted = new Map(reached.map((each) => [each.shape.join(), each]));
  const left = judged.filter(({ reason }) => reason !== null);
  for (const { parameter, reason } of left) {
    const twin = wanted.get(parameter.shape.join());
    if (twin === undefined) continue;
    throw new PassError(
      "E_SELECTION",
      `"${twin.name}" and "${parameter.name}" (${reason}) both have the shape [${twin.shape.join(",")}], and inside the optimizer ` +
        "only the shape tells gradients apart: the order of the sequence is not the parameters' order",
      { field: twin.name, hint: "Select both or neither, or select by --min-rank or --min-elements." },
    );
  }
  return left.length === 0 ? null : [...wanted.values()].map(({ shape }) => shape);
}

/** Emits the test; the result is a bool scalar. */
export function emitPredicate(build: Builder, gradient: Value, predicate: Predicate, scope: Settings["scope"]): Value {
  let shape: Value | null = null;
  const shapeOf = (): Value => {
    shape ??= build.emit("Shape", [gradient]);
    return shape;
  };
  const int64 = (value: number, hint: string): Value => build.constant(Tensor.scalar(DataType.int64, value), hint);
  const least = (value: Value, minimum: number, hint: string): Value =>
    build.emit("Not", [build.emit("Less", [value, int64(minimum, `min_${hint}`)])], { hint: `enough_${hint}` });
  const tests: Value[] = [];
  if (predicate.minElements !== null) {
    tests.push(least(elementsPerSum(build, gradient, shapeOf, scope), predicate.minElements, "elements"));
  }
  if (predicate.minRank !== null) {
    tests.push(least(build.emit("Size", [shapeOf()], { hint: "rank" }), predicate.minRank, "rank"));
  }
  if (predicate.shapes !== null) tests.push(isOneOf(build, shapeOf(), predicate.shapes));
  return tests.reduce((all, test) => build.emit("And", [all, test]));
}

function elementsPerSum(build: Builder, gradient: Value, shapeOf: () => Value, scope: Settings["scope"]): Value {
  const size = build.emit("Size", [gradient]);
  if (scope !== "channel") return size;
  const ints = (values: readonly number[], hint: string): Value => build.constant(Tensor.ints(values), hint);
  const padded = build.emit("Concat", [shapeOf(), ints([1], "one")], {
    attributes: [{ name: "axis", kind: "int", value: 0n }],
  });
  const first = build.emit("Slice", [padded, ints([0], "begin"), ints([1], "end")], { hint: "channels" });
  const channels = build.emit("Max", [first, ints([1], "at_least")], { hint: "channels" });
  return build.reduceSum(build.emit("Div", [size, channels], { hint: "per_channel" }), null, false);
}

/** Pads the shape with -1 to one more than the longest listed shape and compares it with all of them at once. */
function isOneOf(build: Builder, shape: Value, shapes: readonly (readonly number[])[]): Value {
  const width = shapes.reduce((most, { length }) => Math.max(most, length), 0) + 1;
  const fill = (list: readonly number[]): number[] => [...list, ...Array<number>(width - list.length).fill(-1)];
  const ints = (values: readonly number[], hint: string): Value => build.constant(Tensor.ints(values), hint);
  const table = Tensor.from(DataType.int64, [shapes.length, width], BigInt64Array.from(shapes.flatMap(fill), BigInt));
  const long = build.emit("Concat", [shape, ints(fill([]), "padding")], {
    attributes: [{ name: "axis", kind: "int", value: 0n }],
  });
  const padded = build.emit("Slice", [long, ints([0], "begin"), ints([width], "end")], { hint: "padded_shape" });
  const equal = build.emit("Equal", [padded, build.constant(table, "shapes")]);
  const misses = build.reduceSum(build.cast(build.emit("Not", [equal]), DataType.int32), ints([1], "axis"), false);
  const zero = build.constant(Tensor.scalar(DataType.int32, 0), "zero");
  const hits = build.reduceSum(build.cast(build.emit("Equal", [misses, zero]), DataType.int32), null, false);
  return build.emit("Less", [zero, hits], { hint: "is_selected_shape" });
}
