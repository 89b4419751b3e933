import type { Value } from "../../graph/graph.ts";
import { elementTypeOf } from "../../ops/element-type.ts";
import { alongAxis, quantizedRange } from "../../ops/quantization.ts";
import { rankOf } from "../../ops/value-types.ts";
import type { Backward, GradientTable, InputGradients } from "../rule.ts";

/** A scale or zero point, as real numbers that broadcast against the tensor. */
function spread(b: Backward, index: number): Value {
  const { f } = b;
  const value = b.input(index);
  const real = elementTypeOf(value) === f.dtype ? value : f.cast(value, f.dtype);
  const rank = rankOf(value);
  if (rank === null) throw b.refuse(`the number of axes of "${value.name}" is not known`);
  if (rank > 1) throw b.refuse("its scales are blocks");
  const shape = rank === 0 ? null : alongAxis(value, b.rank(0), b.int("axis"));
  return shape === null ? real : f.reshape(real, shape);
}

/** q = round(x / scale) + zero is taken for x / scale + zero, and where it is limited for a constant. */
function quantize(b: Backward): InputGradients {
  const { f } = b;
  const range = quantizedRange(b.node);
  if (range === null) throw b.refuse("it does not quantize to integers");
  const scale = spread(b, 1);
  const rounded = f.round(f.div(b.input(0), scale));
  const q = b.optional(2) === null ? rounded : f.add(rounded, spread(b, 2));
  const [least, most] = range;
  const isInside = f.not(f.emit("Or", [f.emit("Less", [q, least]), f.greater(q, most)]));
  return [f.where(isInside, f.div(b.dy, scale), 0)];
}

/** The range is the tensor's own: nothing is limited. */
const quantizeDynamically = (b: Backward): InputGradients => [b.f.div(b.dy, b.output(1))];

/** y = (q - zero) scale */
const dequantize = (b: Backward): InputGradients => [b.f.mul(b.dy, spread(b, 1))];

const SOURCE = "Bengio et al. 2013, arXiv 1308.3432; Jacob et al. 2017, arXiv 1712.05877";

export const QUANTIZATION_RULES: GradientTable = {
  QuantizeLinear: { source: SOURCE, isEstimate: true, gradient: quantize },
  DynamicQuantizeLinear: { source: SOURCE, isEstimate: true, gradient: quantizeDynamically },
  DequantizeLinear: { source: SOURCE, isEstimate: true, gradient: dequantize },
};
