import { attribute } from "../../graph/attribute.ts";
import type { Value } from "../../graph/graph.ts";
import { axesFrom } from "../../ops/value-types.ts";
import type { Backward, GradientTable, InputGradients } from "../rule.ts";

/**
 * X = F x over one axis, of pairs of real and imaginary part: dX goes back through the conjugate transpose of F, which is the inverse
 * transform times the length; through the inverse transform, through F over the length. A real input has the real part.
 */
function dft(b: Backward): InputGradients {
  const { f, sizes } = b;
  if (b.optional(1) !== null) throw b.refuse("it has a length of its own (dft_length)");
  const x = b.input(0);
  const rank = b.rank(0);
  const axis = axisOf(b, rank);
  const parts = b.shape(0)?.at(-1);
  if (parts !== 1 && parts !== 2) throw b.refuse("whether its input is real or complex is not known");
  const isInverse = b.int("inverse") === 1;
  const front = axesFrom(0, rank).map(() => 0);
  const missing = sizes.sub(sizes.of(x, 0, rank - 1), sizes.of(b.dy, 0, rank - 1));
  const whole = b.int("onesided") === 1 ? f.emit("Pad", [b.dy, sizes.value(sizes.concat(front, missing, [0]))]) : b.dy;
  const length = f.cast(f.reshape(f.dim(x, axis), []), f.dtype);
  const back = transformed(b, whole, axis, !isInverse);
  const dX = isInverse ? f.div(back, length) : f.mul(back, length);
  return [parts === 1 ? f.slice(dX, [0], [1], [rank - 1]) : dX];
}

/** An attribute until opset 20, then an input; -2 is the axis before the parts. */
function axisOf(b: Backward, rank: number): number {
  const [given = -2] = b.opset < 20 ? [b.int("axis")] : (b.constants(2) ?? []);
  return given < 0 ? given + rank : given;
}

function transformed({ f, opset }: Backward, value: Value, axis: number, isInverse: boolean): Value {
  const inverse = attribute.int("inverse", isInverse ? 1 : 0);
  if (opset < 20) return f.emit("DFT", [value], { attributes: [inverse, attribute.int("axis", axis)] });
  return f.emit("DFT", [value, null, f.reshape(f.ints([axis]), [])], { attributes: [inverse] });
}

export const SIGNAL_RULES: GradientTable = { DFT: { gradient: dft } };
