import type { Graph, Node, Value } from "../../graph/graph.ts";
import { constantOf, isHeld } from "../../ops/constants.ts";
import { opTypes } from "../../ops/operators/index.ts";
import { type Reading, readingsOf, sourceOf } from "./readings.ts";

/** What frameworks call the statistics that training renews and no gradient changes. */
const STATISTICS = /(?:^|[./_])(?:running|moving)_(?:mean|var|variance)(?:[:/]|$)/;

/** The largest number that is added to a variance to guard its root. */
const LARGEST_EPSILON = 1e-2;

const ROOTS = opTypes(["Sqrt", "Pow"]);
const SUMS = opTypes(["Add", "Sub"]);
const FACTORS = opTypes(["Mul", "Div"]);

/** Normalizations that are written out, by statistics that are initializers of the graph. */
export interface FixedNormalizations {
  /** What an initializer is that no gradient changes, by the initializer. Ends the sentence "it is not trained: it is ...". */
  readonly reasons: ReadonlyMap<Value, string>;
  /** Scales and offsets of which the file does not say whether they are parameters: like the statistics, they meet no data. */
  readonly affine: readonly Value[];
}

/**
 * Finds running means and variances that are read by arithmetic: by their names, by the root that is taken of a variance, and by the shift
 * that `FrozenBatchNorm2d` makes of statistics, scale and offset before it meets data.
 * @param initializers of floating-point numbers
 */
export function fixedNormalizations(graph: Graph, initializers: readonly Value[]): FixedNormalizations {
  const reasons = new Map<Value, string>();
  for (const value of initializers) {
    if (STATISTICS.test(value.name)) reasons.set(value, "a running statistic, by its name");
    else if (isVariance(value)) reasons.set(value, "a variance that a normalization divides by");
  }
  if (reasons.size === 0) return { reasons, affine: [] };
  const made = madeAhead(graph, initializers);
  const sourcesOf = (value: Value | null): ReadonlySet<Value> => (value === null ? none : (made.get(value) ?? none));
  const holdsDeviation = (value: Value | null): boolean =>
    [...sourcesOf(value)].some((source) => reasons.has(source) && isVariance(source));
  const affine = new Set<Value>();
  for (const node of graph) {
    const shift = shiftOf(node, made);
    if (shift === null || !holdsDeviation(shift)) continue;
    for (const source of sourcesOf(shift)) if (!reasons.has(source)) affine.add(source);
  }
  for (const value of initializers) {
    if (reasons.has(value) || affine.has(value)) continue;
    const readings = readingsOf(value);
    if (readings.length > 0 && readings.every((reading) => isMean(reading, holdsDeviation)))
      reasons.set(value, "a mean that a normalization subtracts");
  }
  for (const value of affine) reasons.set(value, "a scale or an offset of a normalization by fixed statistics");
  return { reasons, affine: [...affine] };
}

const none: ReadonlySet<Value> = new Set();

/** A root is taken of it and of nothing else that is made of it, with a small number added. */
function isVariance(value: Value): boolean {
  const readings = readingsOf(value);
  return readings.length > 0 && readings.every(isGuarded) && isNowhereNegative(value);
}

function isGuarded({ node, index }: Reading): boolean {
  if (node.domain !== "" || node.opType !== "Add") return false;
  const other = node.inputs[1 - index] ?? null;
  const amount = other === null ? null : constantOf(sourceOf(other));
  if (amount?.size !== 1) return false;
  const epsilon = Number(amount.values()[0]);
  const [sum] = node.outputs;
  const readers = sum ? readingsOf(sum) : [];
  return epsilon > 0 && epsilon <= LARGEST_EPSILON && readers.length > 0 && readers.every(takesRoot);
}

const takesRoot = ({ node, index }: Reading): boolean => {
  const [, exponent] = node.inputs;
  if (node.domain !== "" || !ROOTS.has(node.opType) || index !== 0) return false;
  return node.opType === "Sqrt" || (exponent !== null && exponent !== undefined && isHalf(exponent));
};

const isHalf = (exponent: Value): boolean => Math.abs(Number(constantOf(exponent)?.values()[0])) === 0.5;

/** float16 and bfloat16 come as bit patterns, of which the sign is not looked at. */
const isNowhereNegative = ({ tensor }: Value): boolean =>
  tensor !== null && tensor.size > 0 && tensor.values().every((value: number | bigint) => value >= 0);

/** Subtracted from data that are divided by a deviation, or multiplied with what holds one, next. */
function isMean({ node, index }: Reading, holdsDeviation: (value: Value | null) => boolean): boolean {
  if (node.domain !== "" || node.opType !== "Sub" || index !== 1) return false;
  const [difference] = node.outputs;
  const readers = difference ? readingsOf(difference) : [];
  return (
    readers.length > 0 &&
    readers.every(
      ({ node: next, index: at }) => FACTORS.has(next.opType) && holdsDeviation(next.inputs[1 - at] ?? null),
    )
  );
}

/** What a sum adds to data without having met any; null where a node is none. */
function shiftOf({ domain, opType, inputs }: Node, made: ReadonlyMap<Value, ReadonlySet<Value>>): Value | null {
  if (domain !== "" || !SUMS.has(opType)) return null;
  const isAhead = (value: Value | null | undefined): boolean => !!value && (made.has(value) || isHeld(value));
  const [first = null, second = null] = inputs;
  if (isAhead(second)) return isAhead(first) ? null : second;
  return isAhead(first) ? first : null;
}

/** The initializers that each value is made of which is made of initializers and constants alone. */
function madeAhead(graph: Graph, initializers: readonly Value[]): ReadonlyMap<Value, ReadonlySet<Value>> {
  const made = new Map<Value, ReadonlySet<Value>>(initializers.map((value) => [value, new Set([value])]));
  for (const node of graph) {
    const inputs = node.inputs.filter((input) => input !== null);
    if (inputs.length === 0 || !inputs.every((input) => made.has(input) || isHeld(input))) continue;
    const sources = new Set(inputs.flatMap((input) => [...(made.get(input) ?? [])]));
    if (sources.size === 0) continue;
    for (const output of node.outputs) if (output !== null) made.set(output, sources);
  }
  return made;
}

/** How many names are told. */
const MOST_NAMED = 4;

/** What is said of scales and offsets that are not trained, though they may be parameters. */
export function notesOfFixed(affine: readonly Value[]): readonly string[] {
  if (affine.length === 0) return [];
  const names = affine.map(({ name }) => name);
  const [first] = names;
  const rest = names.length > MOST_NAMED ? ` and ${names.length - MOST_NAMED} more` : "";
  return [
    `not trained: ${names.slice(0, MOST_NAMED).join(", ")}${rest}, since they are computed with fixed statistics before they meet data, as the buffers of FrozenBatchNorm2d are; ` +
      `the file does not say whether they are parameters. To train them: --params '*' --params '${first}', with a flag or a glob for each`,
  ];
}
