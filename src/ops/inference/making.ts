import { DataType } from "../../graph/data-type.ts";
import type { Dimension } from "../../graph/value-type.ts";
import { constantGivenBy } from "../constants.ts";
import { MOST_ELEMENTS } from "./content.ts";
import { elementsOf } from "./elements.ts";
import type { InferenceCall, InferenceRows, InferenceRule, Inferred } from "./inference.ts";
import { isPositive } from "./named-sizes.ts";
import { normalizeAxis, product } from "./shapes.ts";

/** Operators that make tensors: constants, sizes of others, numbers in a row. */

function constant(call: InferenceCall): readonly (Inferred | null)[] {
  const tensor = constantGivenBy(call.node);
  return [tensor === null ? null : { dtype: tensor.dtype, shape: tensor.dims, content: elementsOf(tensor) }];
}

function shape(call: InferenceCall): readonly Inferred[] {
  const dims = call.shape(0)?.slice(call.int("start"), call.intOrNull("end") ?? undefined) ?? null;
  return [{ dtype: DataType.int64, shape: [dims?.length ?? null], content: dims }];
}

/** A tensor of a shape that an input gives. */
const shaped = (dtype: (call: InferenceCall) => number, filling: (call: InferenceCall) => Dimension): InferenceRule => {
  return (call) => {
    const [rank] = call.shape(0) ?? [];
    const dims = call.content(0);
    const size = dims === null ? null : product(dims);
    const content =
      typeof size === "number" && size <= MOST_ELEMENTS && size >= 0
        ? Array.from({ length: size }, () => filling(call))
        : null;
    return [
      dims === null
        ? call.open(dtype(call), typeof rank === "number" ? rank : null)
        : { dtype: dtype(call), shape: dims, content },
    ];
  };
};

const fillingOf = (call: InferenceCall): { readonly dtype: number; readonly value: Dimension } => {
  const value = call.node.attributes.get("value");
  if (value?.kind !== "tensor") return { dtype: DataType.float, value: 0 };
  const { tensor } = value.value;
  return { dtype: tensor.dtype, value: elementsOf(tensor)?.[0] ?? null };
};

function range(call: InferenceCall): readonly Inferred[] {
  const [[start = null] = [], [limit = null] = [], [step = null] = []] = [0, 1, 2].map(
    (index) => call.content(index) ?? [],
  );
  const dtype = call.dtype(0);
  if (start === 0 && step === 1 && typeof limit === "string" && isPositive(limit)) return [{ dtype, shape: [limit] }];
  if (typeof start !== "number" || typeof limit !== "number" || typeof step !== "number") return [call.open(dtype, 1)];
  const size = Math.max(0, Math.ceil((limit - start) / step));
  const isWhole = [start, step].every(Number.isSafeInteger);
  return [
    {
      dtype,
      shape: [size],
      content:
        isWhole && size <= MOST_ELEMENTS ? Array.from({ length: size }, (_, index) => start + index * step) : null,
    },
  ];
}

function oneHot(call: InferenceCall): readonly Inferred[] {
  const dims = call.shape(0);
  const [depth = null] = call.content(1) ?? [];
  if (dims === null) return [{ dtype: call.dtype(2), shape: null }];
  return [{ dtype: call.dtype(2), shape: dims.toSpliced(normalizeAxis(call.int("axis"), dims.length + 1), 0, depth) }];
}

export const MAKING_INFERENCE: InferenceRows = [
  ["Constant", constant],
  ["Shape", shape],
  ["Size", (call) => [{ dtype: DataType.int64, shape: [], content: [product(call.shape(0) ?? [null, null])] }]],
  [
    "ConstantOfShape",
    shaped(
      (call) => fillingOf(call).dtype,
      (call) => fillingOf(call).value,
    ),
  ],
  ["Range", range],
  ["EyeLike", (call) => [{ dtype: call.intOrNull("dtype") ?? call.dtype(0), shape: call.shape(0) }]],
  ["NonZero", (call) => [{ dtype: DataType.int64, shape: [call.rank(0), null] }]],
  ["OneHot", oneHot],
];
