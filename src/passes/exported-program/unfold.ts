import { attribute } from "../../graph/attribute.ts";
import { DataType } from "../../graph/data-type.ts";
import type { Value } from "../../graph/graph.ts";
import { Tensor } from "../../graph/tensor.ts";
import type { Builder } from "../../ops/builder.ts";
import type { Slot } from "./assign.ts";
import type { ExportedProgram } from "./program.ts";
import { rearrange, transposed } from "./rearrange.ts";

/** A parameter, and how the constant that the exporter made of it is computed from it. */
export interface Unfolded {
  readonly parameter: Tensor;
  /** Null where the constant is the parameter. */
  readonly compute: ((build: Builder, parameter: Value) => Value) | null;
  /** What the exporter computed and cannot be told: the constant is trained in the parameter's stead. */
  readonly lost: string | null;
  /** Whether the parameter is only what was looked up of the program's. */
  readonly isPart: boolean;
}

/** Operations of the program that only move elements, or change their type, by the names it gives their results. */
const MOVES =
  /^(val|_to_copy|alias|clone|contiguous|convert_element_type(_default)?|detach|embedding|expand|gather|index|index_select|lift_fresh_copy|permute|repeat|reshape|select|slice|squeeze|t|to|transpose|unsqueeze|view)(_\d+)?$/;

/** Those that make the places that elements are looked up at. */
const PLACES = /^(add|arange|cumsum|full|ones|ones_like|sub|sym_size_int|zeros|zeros_like)(_\d+)?$/;

/** Takes back what the exporter computed of one parameter ahead of time. */
export function unfold(program: ExportedProgram, value: Value, tensor: Tensor, slots: readonly Slot[]): Unfolded {
  const sources = program.foldedFrom(value);
  const same = { parameter: tensor, compute: null, lost: null, isPart: false };
  if (sources === null) return same;
  const steps = sources.filter((name) => !program.targets.has(name) && !/^val_\d+$/.test(name));
  const made = [value.name, ...steps];
  const targets = sources.filter((name) => program.targets.has(name));
  /** A buffer beside the parameter is where it was looked up, or something it was computed with. */
  if (targets.length > 1 && !made.some((name) => LOOKUPS.test(name))) {
    return { ...same, lost: `the exporter computed it ahead of time, of ${targets.join(" and ")}` };
  }
  const isWeight = ({ node, index, call }: Slot): boolean =>
    node.opType === "MatMul" && index === 1 && call.op.startsWith("aten.linear");
  const isTurned =
    (slots.length > 0 && slots.every(isWeight)) ||
    (/^(t|transpose|permute)(_\d+)?$/.test(value.name) && steps.length === 0);
  if (isTurned && tensor.dims.length === 2) {
    return { ...same, parameter: transposed(tensor), compute: (build, from) => build.emit("Transpose", [from]) };
  }
  const isLookedUp = made.some((name) => LOOKUPS.test(name));
  const isPart = made.some((name) => PARTS.test(name));
  const isOfPlaces = (name: string): boolean => (isLookedUp || isPart) && name !== value.name && PLACES.test(name);
  const computed = made.filter((name) => !MOVES.test(name) && !isOfPlaces(name));
  const before = takeBack(computed, tensor);
  if (before === null) return { ...same, lost: `the exporter computed it ahead of time (${computed.join(", ")})` };
  const found = isLookedUp ? repeated(before.parameter) : null;
  if (found === null && isLookedUp && isMuchAlike(tensor)) {
    return {
      ...same,
      lost: "the exporter looked it up ahead of time, and which of its elements were one cannot be told",
    };
  }
  const computes = [found?.compute ?? null, before.compute].filter((each) => each !== null);
  return { ...same, parameter: found?.parameter ?? before.parameter, compute: inTurn(computes), isPart };
}

type Compute = NonNullable<Unfolded["compute"]>;

const inTurn = (computes: readonly Compute[]): Compute | null =>
  computes.length === 0 ? null : (build, from) => computes.reduce((value, compute) => compute(build, value), from);

/** Takes back what was computed of each element: nothing, exp, or -exp, as Mamba has its decay. Null where that cannot be told. */
function takeBack(computed: readonly string[], tensor: Tensor): Pick<Unfolded, "parameter" | "compute"> | null {
  if (computed.length === 0) return { parameter: tensor, compute: null };
  const functions = computed.map((name) => name.replace(/_\d+$/, "")).sort();
  const sign = functions.join() === "exp" ? 1 : functions.join() === "exp,neg" ? -1 : 0;
  if (sign === 0 || (tensor.dtype !== DataType.float && tensor.dtype !== DataType.double)) return null;
  const values = tensor.realValues().map((value) => Math.log(sign * value));
  if (!values.every(Number.isFinite)) return null;
  return {
    parameter: Tensor.from(tensor.dtype, tensor.dims, values),
    compute: (build, from) => {
      const power = build.emit("Exp", [from]);
      return sign > 0 ? power : build.emit("Neg", [power]);
    },
  };
}

/** Operations that may leave elements out. */
const PARTS = /^(embedding|gather|index|index_select|select|slice)(_\d+)?$/;

/** Operations that may read an element more than once. */
const LOOKUPS = /^(embedding|expand|gather|index|index_select|repeat)(_\d+)?$/;

/** Some elements of a table are equal by chance; this share of all is not. */
const DISTINCT_SHARE = 0.75;

const isMuchAlike = (tensor: Tensor): boolean =>
  tensor.size > 1 && new Set<number | bigint>(tensor.values()).size <= DISTINCT_SHARE * tensor.size;

/** Slices of fewer elements are equal by chance, above all in half precision. */
const LEAST_ELEMENTS = 4;

/** Slices along an axis that are there more than once were looked up, or stretched, by the program. */
function repeated(tensor: Tensor): { readonly parameter: Tensor; readonly compute: Compute } | null {
  const values = tensor.values();
  if (values.every((value: number | bigint) => value === values[0])) return stretchedOverBatch(tensor);
  let parameter = tensor;
  const lookups: { readonly axis: number; readonly places: readonly number[] }[] = [];
  for (const axis of tensor.dims.keys()) {
    const { places, first } = distinct(parameter, axis);
    const isOne = first.length === 1;
    if (first.length === places.length || (!isOne && parameter.size < LEAST_ELEMENTS * places.length)) continue;
    parameter = take(parameter, axis, first);
    lookups.push({ axis, places });
  }
  if (lookups.length === 0) return null;
  const isStretched = lookups.every(({ places }) => places.every((place) => place === 0));
  const compute = (build: Builder, from: Value): Value => {
    if (isStretched) return build.emit("Expand", [from, build.constant(Tensor.ints(tensor.dims))]);
    return lookups.reduce(
      (value, { axis, places }) =>
        build.emit("Gather", [value, build.constant(Tensor.ints(places))], {
          attributes: [attribute.int("axis", axis)],
        }),
      from,
    );
  };
  return { parameter, compute };
}

/** A token of equal elements, [1, 1, channels], that was stretched over a batch; null for other shapes, which could be of others. */
function stretchedOverBatch(tensor: Tensor): { readonly parameter: Tensor; readonly compute: Compute } | null {
  const [batch = 1, places, channels = 1, ...others] = tensor.dims;
  if (places !== 1 || batch < 2 || channels < 2 || others.length > 0) return null;
  const compute: Compute = (build, from) => build.emit("Expand", [from, build.constant(Tensor.ints(tensor.dims))]);
  return { parameter: take(tensor, 0, [0]), compute };
}

/** For each slice along an axis the place of its like among the distinct ones, and where those are. */
function distinct(
  tensor: Tensor,
  axis: number,
): { readonly places: readonly number[]; readonly first: readonly number[] } {
  const { outer, length, inner } = strides(tensor, axis);
  const values = tensor.values();
  const first: number[] = [];
  const byKey = new Map<number, number[]>();
  const at = (slice: number, element: number): number | bigint | undefined =>
    values[Math.floor(element / inner) * length * inner + slice * inner + (element % inner)];
  const isSame = (a: number, b: number): boolean => {
    for (let element = 0; element < outer * inner; element++) if (at(a, element) !== at(b, element)) return false;
    return true;
  };
  const places = Array.from({ length }, (_, slice) => {
    const key = Number(at(slice, 0));
    const alike = byKey.get(key) ?? [];
    byKey.set(key, alike);
    const known = alike.find((place) => isSame(first[place] ?? 0, slice));
    if (known !== undefined) return known;
    alike.push(first.length);
    first.push(slice);
    return first.length - 1;
  });
  return { places, first };
}

function take(tensor: Tensor, axis: number, slices: readonly number[]): Tensor {
  const { length, inner } = strides(tensor, axis);
  const dims = tensor.dims.map((dim, each) => (each === axis ? slices.length : dim));
  return rearrange(tensor, dims, (place) => {
    const row = Math.floor(place / inner);
    const slice = slices[row % slices.length] ?? 0;
    return (Math.floor(row / slices.length) * length + slice) * inner + (place % inner);
  });
}

function strides(
  { dims }: Tensor,
  axis: number,
): { readonly outer: number; readonly length: number; readonly inner: number } {
  const product = (sizes: readonly number[]): number => sizes.reduce((total, size) => total * size, 1);
  return { outer: product(dims.slice(0, axis)), length: dims[axis] ?? 1, inner: product(dims.slice(axis + 1)) };
}
