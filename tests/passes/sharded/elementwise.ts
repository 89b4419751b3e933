import { attribute, DataType, GraphTensor } from "../../../src/entries/graph.ts";
import { ELEMENTWISE } from "../../../src/ops/elementwise.ts";
import type { SmallStep } from "../../support/small-steps.ts";
import { averaged, BATCH, casesOf, columns, counted, type RuleCase, samples, stretches, summed } from "./case.ts";

const to = (type: keyof typeof DataType) => attribute.int("to", DataType[type]);
const cast = (s: SmallStep, value: string, type: keyof typeof DataType): string => s.op("Cast", [value], to(type));
const truth = (s: SmallStep, value: string): string => cast(s, value, "bool");

type Operands = (s: SmallStep) => readonly string[];

const one = (s: SmallStep): readonly string[] => [samples(s, 4)];
const positive = (s: SmallStep): readonly string[] => [s.fed([BATCH, 4], [1.1, 3])];
const two: Operands = (s) => [samples(s, 4), s.state([4], [0.5, 2])];
const many: Operands = (s) => [samples(s, 1, 4), s.state([3, 1]), samples(s, 3, 4)];
const bits: Operands = (s) => [cast(s, s.places([BATCH, 4], 9), "uint8"), cast(s, s.places([BATCH, 1], 4), "uint8")];
const truths: Operands = (s) => [truth(s, s.places([BATCH, 4], 2)), truth(s, s.state([4]))];

/** What operators take, other than one tensor or two of float32. */
const OPERANDS: Readonly<Record<string, Operands>> = {
  Acosh: positive,
  And: truths,
  BitShift: bits,
  BitwiseAnd: bits,
  BitwiseNot: (s) => bits(s).slice(0, 1),
  BitwiseOr: bits,
  BitwiseXor: bits,
  CastLike: two,
  Log: positive,
  Max: many,
  Mean: many,
  Min: many,
  Mod: (s) => [s.places([BATCH, 4], 9), s.ints(3)],
  Not: (s) => truths(s).slice(0, 1),
  Or: truths,
  Pow: (s) => [...positive(s), s.state([4])],
  Sqrt: positive,
  Sum: many,
  Where: (s) => [truth(s, s.places([BATCH, 1], 2)), samples(s, 4), s.state([4])],
  Xor: truths,
};
const BINARY = ["Add", "Div", "Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual", "Mul", "PRelu", "Sub"];

/** Of an opset that ONNX Runtime has no kernel for, or functions of later ones. */
const OPSETS: Readonly<Record<string, number>> = { Swish: 24 };

const each = ([...ELEMENTWISE] as readonly string[]).flatMap((op): readonly RuleCase[] => {
  const operands = OPERANDS[op] ?? (BINARY.includes(op) ? two : one);
  const attributes = op === "Cast" ? [to("float16")] : op === "BitShift" ? [attribute.string("direction", "LEFT")] : [];
  const opset = OPSETS[op];
  return casesOf(op, [
    "pieces",
    "axis 0",
    (s) => s.op(op, operands(s), ...attributes),
    opset === undefined ? {} : { opset },
  ]);
});

const int64 = (number: number): GraphTensor => GraphTensor.from(DataType.int64, [], BigInt64Array.of(BigInt(number)));

export const ELEMENTWISE_CASES: readonly RuleCase[] = [
  ...each,
  ...casesOf(
    "Add",
    ["pieces of the last axis", "axis 1", (s) => s.op("Add", [columns(s), s.state([4, 1])])],
    ["a row of one number per sample", "axis 1", (s) => s.op("Add", [columns(s), samples(s)])],
    ["pieces of other axes", "refused", (s) => s.op("Add", [columns(s), s.fed([BATCH, 4, BATCH])])],
    ["stretches", "axis 0 in 4", (s) => s.op("Add", [stretches(s), s.filled([24], 0.5)])],
    ["stretches and pieces", "refused", (s) => s.op("Add", [stretches(s), s.fed([24])])],
    ["all of equal numbers", "axis 0", (s) => s.op("Add", [samples(s, 4), s.filled([BATCH, 4], 0.5)])],
    ["all of a column of equal numbers", "axis 0", (s) => s.op("Add", [s.filled([BATCH, 1], 0.5), samples(s, 4)])],
    ["all of other numbers", "refused", (s) => s.op("Add", [samples(s, 4), s.state([BATCH, 4])])],
    ["a number per sample that all have", "refused", (s) => s.op("Add", [samples(s, 4), s.state([BATCH, 1])])],
    ["a mask of the size of the batch", "refused", (s) => s.op("Add", [s.fed([BATCH, BATCH]), s.state([BATCH, 1])])],
    [
      "a mask of steps as many as samples",
      "refused",
      (s) => s.op("Add", [samples(s, BATCH, BATCH), s.fed([BATCH, BATCH])]),
    ],
    ["sums", "sum", (s) => s.op("Add", [summed(s), s.op("Neg", [summed(s)])])],
    ["means", "mean", (s) => s.op("Add", [averaged(s), averaged(s)])],
    ["a sum and a mean", "left out", (s) => s.op("Add", [summed(s), averaged(s)])],
    ["a sum and what all have", "left out", (s) => s.op("Add", [summed(s), s.state([4, 5])])],
    ["a sum and pieces", "refused", (s) => s.op("Add", [summed(s), samples(s, 1, 5)])],
    ["whole numbers", "sum", (s) => s.op("Add", [counted(s), counted(s)])],
  ),
  ...casesOf(
    "Sub",
    ["sums", "sum", (s) => s.op("Sub", [summed(s), summed(s)])],
    ["from what all have", "left out", (s) => s.op("Sub", [s.state([4, 5]), summed(s)])],
  ),
  ...casesOf(
    "Sum",
    ["sums", "sum", (s) => s.op("Sum", [summed(s), summed(s), summed(s)])],
    ["one", "sum", (s) => s.op("Sum", [summed(s)])],
  ),
  ...casesOf(
    "Mul",
    ["a sum", "sum", (s) => s.op("Mul", [s.state([3, 4, 5]), summed(s)])],
    ["a mean", "mean", (s) => s.op("Mul", [averaged(s), s.state([])])],
    [
      "a sum and itself",
      "left out",
      (s) => {
        const sum = summed(s);
        return s.op("Mul", [sum, sum]);
      },
    ],
    ["a sum and a mean", "left out", (s) => s.op("Mul", [summed(s), averaged(s)])],
    ["a sum and pieces", "refused", (s) => s.op("Mul", [averaged(s), samples(s, 5)])],
    ["whole numbers", "sum", (s) => s.op("Mul", [counted(s), s.constant(int64(3))])],
  ),
  ...casesOf(
    "Div",
    ["a sum", "sum", (s) => s.op("Div", [summed(s), s.state([4, 5], [0.5, 2])])],
    ["by a sum", "left out", (s) => s.op("Div", [s.state([4, 5]), summed(s)])],
    ["a sum by a sum", "left out", (s) => s.op("Div", [summed(s), summed(s)])],
    ["whole numbers, which are rounded", "left out", (s) => s.op("Div", [counted(s), s.constant(int64(2))])],
    ["pieces by a sum", "refused", (s) => s.op("Div", [samples(s, 5), averaged(s)])],
  ),
  ...casesOf("Neg", ["a sum", "sum", (s) => s.op("Neg", [summed(s)])]),
  ...casesOf("Identity", ["a mean", "mean", (s) => s.op("Identity", [averaged(s)])]),
  ...casesOf(
    "Cast",
    ["a sum to numbers with a point", "sum", (s) => cast(s, counted(s), "float")],
    ["a sum to whole numbers", "left out", (s) => cast(s, summed(s), "int32")],
    ["a sum to truth", "left out", (s) => cast(s, summed(s), "bool")],
  ),
  ...casesOf(
    "CastLike",
    ["like pieces", "all", (s) => s.op("CastLike", [s.state([3]), samples(s, 4)])],
    ["like pieces of its own size", "all", (s) => s.op("CastLike", [s.state([BATCH, 4]), samples(s, 4)])],
    ["pieces like what has other axes", "axis 0", (s) => s.op("CastLike", [samples(s, 4), s.state([3])])],
    ["pieces like a sum", "axis 0", (s) => s.op("CastLike", [samples(s, 4), summed(s)])],
    ["a sum like whole numbers", "left out", (s) => s.op("CastLike", [summed(s), s.ints(1)])],
  ),
  ...casesOf("Abs", ["a sum", "left out", (s) => s.op("Abs", [summed(s)])]),
  ...casesOf("Max", ["sums", "left out", (s) => s.op("Max", [summed(s), summed(s)])]),
  ...casesOf("Mean", ["sums", "left out", (s) => s.op("Mean", [summed(s), summed(s)])]),
  ...casesOf("Where", [
    "a sum",
    "left out",
    (s) => s.op("Where", [truth(s, s.state([5])), summed(s), s.filled([], 0)]),
  ]),
  ...casesOf(
    "Clip",
    ["within bounds", "axis 0", (s) => s.op("Clip", [samples(s, 4), s.filled([], -0.5), s.filled([], 0.25)])],
    ["below a bound", "axis 0", (s) => s.op("Clip", [samples(s, 4), "", s.filled([], 0.25)])],
    ["a sum", "left out", (s) => s.op("Clip", [summed(s), s.filled([], -0.5)])],
  ),
  ...casesOf("Gelu", ["by tanh", "axis 1", (s) => s.op("Gelu", [columns(s)], attribute.string("approximate", "tanh"))]),
];
