import { DataType } from "../../graph/data-type.ts";
import { Node, type Value } from "../../graph/graph.ts";
import { opTypes } from "../../ops/operators/index.ts";

/** What reads a weight as a layer does, and what stands for it under another name or on its side. */
const LAYERS = opTypes(
  ["MatMul", "Gemm", "Conv", "ConvTranspose", "Gather", "LSTM", "GRU", "RNN"],
  ["Identity", "Transpose"],
);

/** How many names are told. */
const MOST_NAMED = 5;

/**
 * What is said of weights that are one tensor in several layers, and of those that were one in the program that was exported: whether
 * either is meant, the file does not say.
 */
export function notesOfTies(parameters: readonly Value[]): readonly string[] {
  const shared = parameters.filter(
    (value) => value.tensor !== null && value.tensor.dims.length > 1 && readers(value) > 1,
  );
  const apart = transposedPairs(parameters);
  return [
    ...(shared.length === 0
      ? []
      : [
          `weights that several layers read are trained as one: ${listed(shared.map(({ name }) => `"${name}"`))}; that is right where the model ties them. Exporters also merge layers that were only equal, as copies of a fresh layer are: export with training=TrainingMode.TRAINING and do_constant_folding=False to have them apart`,
        ]),
    ...(apart.length === 0
      ? []
      : [
          `weights that are each other's transpose are trained apart: ${listed(apart.map((pair) => pair.map(({ name }) => `"${name}"`).join(" and ")))}; where the model ties them, export with do_constant_folding=False to have them as one`,
        ]),
  ];
}

const readers = ({ uses }: Value): number =>
  new Set(uses.flatMap(({ user }) => (user instanceof Node && LAYERS.has(user.opType) ? [user] : []))).size;

const listed = (names: readonly string[]): string =>
  names.length <= MOST_NAMED
    ? names.join(", ")
    : `${names.slice(0, MOST_NAMED).join(", ")} and ${names.length - MOST_NAMED} more`;

/** Matrices of which one has the numbers of the other, rows for columns. */
function transposedPairs(parameters: readonly Value[]): readonly (readonly [Value, Value])[] {
  const bySides = new Map<string, Value[]>();
  for (const value of parameters) {
    const { tensor } = value;
    if (tensor?.dims.length !== 2 || tensor.dtype !== DataType.float || tensor.data.kind === "external") continue;
    const sides = tensor.dims.toSorted((a, b) => a - b).join("x");
    bySides.set(sides, [...(bySides.get(sides) ?? []), value]);
  }
  return [...bySides.values()].flatMap((values) =>
    values.flatMap((one, at) =>
      values.slice(at + 1).flatMap((other) => (isTransposed(one, other) ? [[one, other] as const] : [])),
    ),
  );
}

function isTransposed(one: Value, other: Value): boolean {
  const [rows = 0, columns = 0] = one.tensor?.dims ?? [];
  if (other.tensor?.dims[0] !== columns || rows < 2 || columns < 2) return false;
  const [left, right] = [one, other].map(({ tensor }) => tensor?.floatValues());
  if (left === undefined || right === undefined) return false;
  /** Fresh ones are told elsewhere, and would be compared to the end. */
  if (left.subarray(0, columns).every((value) => value === left[0])) return false;
  for (let row = 0; row < rows; row++)
    for (let column = 0; column < columns; column++)
      if (left[row * columns + column] !== right[column * rows + row]) return false;
  return true;
}
