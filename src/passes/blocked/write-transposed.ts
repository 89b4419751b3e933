import { placesOf } from "../../autodiff/formulas/window.ts";
import { attribute } from "../../graph/attribute.ts";
import type { Value } from "../../graph/graph.ts";
import type { Formula } from "../../ops/formula.ts";
import { axesFrom } from "../../ops/value-types.ts";
import type { Blocks } from "./blocks.ts";
import { roundedUp } from "./costs.ts";
import type { Phases } from "./phases.ts";
import { phaseAt, type Transposed, type TransposedSum } from "./transposed.ts";

/**
 * What a sum of transposed convolutions gives, [N, O, H, W]. The results of each phase come from convolutions of stride 1, in blocks of
 * channels; a channel's block of a result is copied as a whole to its place between those of the other phases.
 */
export function writeTransposed(f: Formula, blocks: Blocks, sum: TransposedSum): Value {
  const { size } = blocks;
  const [{ strides, results, outputs, axes }] = sum;
  const [down = 1, across = 1] = strides;
  const [height = 0, width = 0] = results;
  const [rows, columns] = axes.map((axis: Phases, at) => axis.places * (strides[at] ?? 1));
  const terms = sum.map((term) => ({ term, kernels: kernelsOf(f, blocks, term) }));
  const phase = (row: number, column: number): Value => {
    const made = terms.reduce<Value | null>(
      (before, { term, kernels }) => convolved(f, blocks, { term, kernels, row, column, before }) ?? before,
      null,
    );
    if (made === null) throw new RangeError("a phase has a place of a kernel");
    return f.reshape(made, [-1, size]);
  };
  const lines = axesFrom(0, down).map((row) => {
    const parts = axesFrom(0, across).map((column) => phase(row, column));
    return f.reshape(f.concat(parts, 1), [-1, size * (columns ?? 0)]);
  });
  const made = roundedUp(outputs, size);
  const whole = f.reshape(f.concat(lines, 1), [-1, rows ?? 0, size * (columns ?? 0)]);
  const isWhole = rows === height && columns === width;
  const cut = isWhole ? whole : f.slice(whole, [0, 0], [height, size * width], [1, 2]);
  return blocks.unblocked(f.reshape(cut, [-1, made, height, width]), outputs);
}

/** Kernels in blocks: [outputs / block, channels / block, places, block, block]. */
function kernelsOf(f: Formula, blocks: Blocks, { weight, channels, outputs, kernel }: Transposed): Value {
  const { size } = blocks;
  const [from, to] = [roundedUp(channels, size), roundedUp(outputs, size)];
  const laid = blocks.image(blocks.padded(weight, [from - channels, to - outputs, 0, 0]));
  const apart = f.reshape(laid, [from / size, size, to / size, placesOf(kernel), size]);
  return f.transpose(apart, [2, 0, 3, 1, 4]);
}

interface PhaseOfTerm {
  readonly term: Transposed;
  readonly kernels: Value;
  readonly row: number;
  readonly column: number;
  /** What is added to it. */
  readonly before: Value | null;
}

/** Results of a phase, in blocks; null where no place of the kernel meets them. */
function convolved(f: Formula, blocks: Blocks, { term, kernels, row, column, before }: PhaseOfTerm): Value | null {
  const phases = phaseAt(term, row, column);
  if (phases === null) return null;
  const { image, bias, channels, outputs, kernel, axes } = term;
  const [from, to] = [roundedUp(channels, blocks.size), roundedUp(outputs, blocks.size)];
  const shape = phases.map(({ taps }) => taps.length);
  const [down, across] = phases;
  const taken = down?.taps.flatMap((y) => across?.taps.map((x) => y * (kernel[1] ?? 1) + x) ?? []) ?? [];
  const isWhole = taken.length === placesOf(kernel) && taken.every((place, at) => place === at);
  const own = isWhole ? kernels : f.gather(kernels, f.ints(taken), 2);
  const operands = [
    blocks.image(image),
    f.reshape(own, [to, from, ...shape]),
    ...(bias === null && before === null ? [] : [bias && blocks.padded(bias, [to - outputs])]),
    ...(before === null ? [] : [before]),
  ];
  return blocks.emit("Conv", operands, [
    attribute.ints("kernel_shape", shape),
    attribute.ints("strides", [1, 1]),
    attribute.ints(
      "dilations",
      axes.map(({ dilation }) => dilation),
    ),
    attribute.ints("pads", [...phases.map(({ begin }) => begin), ...phases.map(({ end }) => end)]),
    attribute.int("group", 1),
  ]);
}
