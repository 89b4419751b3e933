import { attribute } from "../../graph/attribute.ts";
import { DataType, isGradientType } from "../../graph/data-type.ts";
import type { Value } from "../../graph/graph.ts";
import { elementTypeOf } from "../../ops/element-type.ts";
import type { Formula } from "../../ops/formula.ts";
import type { OperatorName } from "../../ops/operators/index.ts";
import { sigmoidDerivative, swishDerivative, tanhDerivative } from "../formulas/activations.ts";
import { bell, erfGate, geluDerivative, tanhGeluDerivative } from "../formulas/gelu.ts";
import type { Backward, GradientRule, GradientTable, InputGradients } from "../rule.ts";

/** A rule of an operator that broadcasts its inputs. */
const broadcasting = (gradient: (b: Backward) => InputGradients): GradientRule => ({ broadcasts: true, gradient });

/** A rule of an operator of one input: dX = dY times the derivative. */
const derivative = (of: (f: Formula, b: Backward, x: Value) => Value): GradientRule => ({
  gradient: (b) => [b.f.mul(b.dy, of(b.f, b, b.input(0)))],
});

/** dX = dY where a condition holds, else 0. */
const masked = (holds: (f: Formula, b: Backward, x: Value) => Value): GradientRule => ({
  gradient: (b) => [b.f.where(holds(b.f, b, b.input(0)), b.dy, 0)],
});

/**
 * dX = dY where y > 0, else 0. In float32 as a product with min(y * largest, 1), which is 1 for every normal y: Greater and Where
 * take twice the time on ONNX Runtime's CPU provider.
 */
function relu({ f, dy, output }: Backward): InputGradients {
  const y = output(0);
  if (f.dtype !== DataType.float) return [f.where(f.greater(y, 0), dy, 0)];
  const attributes = [attribute.float("alpha", LARGEST), attribute.float("beta", 0)];
  return [f.mul(dy, f.emit("HardSigmoid", [y], { attributes }))];
}

/** The largest float32. */
const LARGEST = 3.4028234663852886e38;

/** x where x > 0, else something else of x: dX = dY, else dY times the derivative of that. */
const below = (slope: (f: Formula, b: Backward, x: Value) => Value | number): GradientRule => ({
  gradient: (b) => {
    const { f, dy } = b;
    const x = b.input(0);
    return [f.where(f.greater(x, 0), dy, f.mul(dy, slope(f, b, x)))];
  },
});

/** Max and Min: what ties shares the gradient equally, as PyTorch has it. */
const extreme = broadcasting(({ f, node, dy, output, input }) => {
  const isLargest = node.inputs.map((_, index) => f.cast(f.equal(input(index), output(0)), f.dtype));
  const [only] = isLargest;
  if (only === undefined || isLargest.length === 1) return [dy];
  const share = f.div(dy, f.emit("Sum", isLargest));
  return isLargest.map((each) => f.mul(share, each));
});

/** d/dx x^p = p x^(p-1);  d/dp x^p = x^p ln x, 0 where x is not positive. */
const pow = broadcasting((b) => {
  const { f, dy } = b;
  const x = b.input(0);
  const given = b.input(1);
  const exponent = elementTypeOf(given) === f.dtype ? given : f.cast(given, f.dtype);
  const base = f.mul(dy, f.mul(exponent, f.pow(x, f.sub(exponent, 1))));
  if (!b.wants(1)) return [base];
  const log = f.where(f.greater(x, 0), f.emit("Log", [f.where(f.greater(x, 0), x, 1)]), 0);
  return [base, f.mul(dy, f.mul(b.output(0), log))];
});

/** softplus'(x) = sigmoid(x); mish(x) = x tanh(softplus(x)) */
function mishDerivative(f: Formula, x: Value): Value {
  const t = f.tanh(f.emit("Softplus", [x]));
  return f.add(t, f.mul(f.mul(x, f.sigmoid(x)), f.sub(1, f.square(t))));
}

/** Before opset 11 the bounds are attributes. */
function clip(b: Backward): InputGradients {
  const { f, dy } = b;
  const x = b.input(0);
  const bound = (name: "min" | "max", index: number): Value | null =>
    b.gives(name) ? f.number(b.float(name)) : b.optional(index);
  const [low, high] = [bound("min", 1), bound("max", 2)];
  const below = low === null ? null : f.emit("Less", [x, low]);
  const above = high === null ? null : f.greater(x, high);
  const [first, second] = [below, above].flatMap((outside) => (outside === null ? [] : [f.not(outside)]));
  if (first === undefined) return [dy];
  /** Bounds that are trained may cross: then all is the upper one. */
  const crossed = (): Value | null => (low === null || high === null ? null : f.greater(low, high));
  const either = (one: Value, other: Value | null): Value => (other === null ? one : f.emit("Or", [one, other]));
  const without = (one: Value, other: Value | null): Value => (other === null ? one : f.and(one, f.not(other)));
  const ofBound = (places: Value, index: number): Value =>
    f.reshape(f.sum(f.where(places, dy, 0), null, false), b.sizes.target(b.input(index)));
  return [
    f.where(second === undefined ? first : f.and(first, second), dy, 0),
    below !== null && b.wants(1) ? ofBound(without(below, crossed()), 1) : null,
    above !== null && b.wants(2) ? ofBound(either(above, crossed()), 2) : null,
  ];
}

/** Outside training mode it does nothing; in it, what was kept was divided by 1 - ratio. */
function dropout(b: Backward): InputGradients {
  const { f, dy } = b;
  const training = b.optional(2);
  if (training === null || training.tensor?.values()[0] === 0) return [dy];
  const mask = b.node.outputs[1];
  if (!mask) throw b.refuse("it is in training mode and does not give its mask, so that what it dropped is not known");
  const ratio = b.optional(1);
  const kept = f.sub(1, ratio === null ? 0.5 : f.cast(f.reshape(ratio, []), f.dtype));
  const scaled = f.where(f.reshape(training, []), f.div(dy, kept), dy);
  return [f.where(mask, scaled, 0)];
}

function castBack(b: Backward): InputGradients {
  const to = elementTypeOf(b.input(0));
  return [isGradientType(to) ? b.f.cast(b.dy, to) : null, null];
}

const isSigmoidOf = ({ producer }: Value, x: Value): boolean =>
  producer?.opType === "Sigmoid" && producer.domain === "" && producer.inputs[0] === x;

/**
 * d(a b) = b da + a db. Of y = x s, with s the sigmoid of x, all goes to x at once, dY (s + y (1 - s)): two passes less than what would
 * flow to both. So it does of y = h g with h = a x and g = c (erf(z) + o), z = b x, as GELU is written: dH = dY (g + c z erf'(z)).
 */
function mul(b: Backward): InputGradients {
  const { f, dy, input } = b;
  for (const index of [0, 1]) {
    const [x, gate] = [input(index), input(1 - index)];
    const slope = b.wants(index) ? gateSlope(b, x, gate) : null;
    if (slope === null) continue;
    const dX = f.mul(dy, f.add(gate, slope));
    return index === 0 ? [dX, null] : [null, dX];
  }
  return [f.mul(dy, input(1)), f.mul(dy, input(0))];
}

/** x dg/dx of y = x g, where the gate g depends on x alone and that takes fewer passes than the gradients of both; else null. */
function gateSlope(b: Backward, x: Value, gate: Value): Value | null {
  const { f } = b;
  if (isSigmoidOf(gate, x)) return f.mul(b.output(0), f.sub(1, gate));
  const erf = erfGate(gate, x, (value) => !b.isWanted(value));
  return erf === null ? null : f.mul(erf.z, bell(f, erf.z, erf.scale));
}

export const ELEMENTWISE_RULES: GradientTable = {
  Add: broadcasting(({ dy }) => [dy, dy]),
  Sub: broadcasting(({ f, dy }) => [dy, f.neg(dy)]),
  Mul: broadcasting(mul),
  Div: broadcasting(({ f, dy, input, output }) => {
    const part = f.div(dy, input(1));
    return [part, f.neg(f.mul(part, output(0)))];
  }),
  Sum: broadcasting(({ node, dy }) => node.inputs.map(() => dy)),
  Mean: broadcasting(({ f, node, dy }) => node.inputs.map(() => f.mul(dy, 1 / node.inputs.length))),
  /** y = a - b trunc(a / b), and (a - y) / b is that whole number. */
  Mod: broadcasting(({ f, dy, input, output }) => [
    dy,
    f.neg(f.mul(dy, f.round(f.div(f.sub(input(0), output(0)), input(1))))),
  ]),
  Max: extreme,
  Min: extreme,
  Pow: pow,
  Where: broadcasting(({ f, dy, input }) => [null, f.where(input(0), dy, 0), f.where(input(0), 0, dy)]),
  PRelu: broadcasting(({ f, dy, input }) => {
    const x = input(0);
    const isPositive = f.greater(x, 0);
    return [f.where(isPositive, dy, f.mul(dy, input(1))), f.where(isPositive, 0, f.mul(dy, x))];
  }),
  Neg: { gradient: ({ f, dy }) => [f.neg(dy)] },
  Identity: { gradient: ({ dy }) => [dy] },
  Cast: { gradient: castBack },
  CastLike: { gradient: castBack },
  Dropout: { gradient: dropout },
  Clip: { gradient: clip },
  Abs: derivative((f, _, x) => f.emit("Sign", [x])),
  Reciprocal: derivative((f, b) => f.neg(f.square(b.output(0)))),
  Sqrt: { gradient: ({ f, dy, output }) => [f.div(f.mul(dy, 0.5), output(0))] },
  Exp: derivative((_, b) => b.output(0)),
  Log: { gradient: ({ f, dy, input }) => [f.div(dy, input(0))] },
  Sin: derivative((f, _, x) => f.emit("Cos", [x])),
  Cos: derivative((f, _, x) => f.neg(f.emit("Sin", [x]))),
  Tan: derivative((f, b) => f.add(f.square(b.output(0)), 1)),
  Sinh: derivative((f, _, x) => f.emit("Cosh", [x])),
  Cosh: derivative((f, _, x) => f.emit("Sinh", [x])),
  Asin: { gradient: ({ f, dy, input }) => [f.div(dy, f.sqrt(f.sub(1, f.square(input(0)))))] },
  Acos: { gradient: ({ f, dy, input }) => [f.neg(f.div(dy, f.sqrt(f.sub(1, f.square(input(0))))))] },
  Atan: { gradient: ({ f, dy, input }) => [f.div(dy, f.add(f.square(input(0)), 1))] },
  Asinh: { gradient: ({ f, dy, input }) => [f.div(dy, f.sqrt(f.add(f.square(input(0)), 1)))] },
  Acosh: { gradient: ({ f, dy, input }) => [f.div(dy, f.sqrt(f.sub(f.square(input(0)), 1)))] },
  Atanh: { gradient: ({ f, dy, input }) => [f.div(dy, f.sub(1, f.square(input(0))))] },
  Tanh: derivative((f, b) => tanhDerivative(f, b.output(0))),
  Sigmoid: derivative((f, b) => sigmoidDerivative(f, b.output(0))),
  Erf: derivative((f, _, x) => bell(f, x, 1)),
  Softplus: derivative((f, _, x) => f.sigmoid(x)),
  Softsign: { gradient: ({ f, dy, input }) => [f.div(dy, f.square(f.add(f.emit("Abs", [input(0)]), 1)))] },
  Gelu: derivative((f, b, x) => (b.string("approximate") === "tanh" ? tanhGeluDerivative(f, x) : geluDerivative(f, x))),
  Relu: { gradient: relu },
  Shrink: masked((f, b, x) => f.greater(f.emit("Abs", [x]), b.float("lambd"))),
  ThresholdedRelu: masked((f, b, x) => f.greater(x, b.float("alpha"))),
  LeakyRelu: below((_, b) => b.float("alpha")),
  Elu: below((f, b, x) => f.mul(f.exp(x), b.float("alpha"))),
  Celu: below((f, b, x) => f.exp(f.mul(x, 1 / b.float("alpha")))),
  Selu: derivative((f, b, x) => {
    const [alpha, gamma] = [b.float("alpha"), b.float("gamma")];
    return f.where(f.greater(x, 0), gamma, f.mul(f.exp(x), alpha * gamma));
  }),
  HardSigmoid: {
    gradient: (b) => {
      const { f, dy } = b;
      const y = b.output(0);
      const slope = b.float("alpha");
      return [f.where(f.and(f.greater(y, 0), f.emit("Less", [y, f.number(1)])), f.mul(dy, slope), 0)];
    },
  },
  HardSwish: derivative((f, _, x) => {
    const middle = f.add(f.mul(x, 1 / 3), 0.5);
    return f.where(f.greater(x, 3), 1, f.where(f.emit("Less", [x, f.number(-3)]), 0, middle));
  }),
  Mish: derivative((f, _, x) => mishDerivative(f, x)),
  Swish: derivative((f, b, x) => swishDerivative(f, x, b.float("alpha"))),
  "com.microsoft.QuickGelu": derivative((f, b, x) => swishDerivative(f, x, b.float("alpha"))),
  "com.microsoft.Gelu": derivative((f, _, x) => geluDerivative(f, x)),
  "com.microsoft.FastGelu": broadcasting((b) => {
    const { f, dy } = b;
    const bias = b.optional(1);
    const gradient = f.mul(dy, tanhGeluDerivative(f, bias === null ? b.input(0) : f.add(b.input(0), bias)));
    return [gradient, gradient];
  }),
  "com.microsoft.BiasGelu": broadcasting((b) => {
    const gradient = b.f.mul(b.dy, geluDerivative(b.f, b.f.add(b.input(0), b.input(1))));
    return [gradient, gradient];
  }),
};

/** Operators that are flat, or of which what they make or read is no number that could move. */
// biome-ignore format: a list
const FLAT: readonly OperatorName[] = [
  "Sign", "Floor", "Ceil", "Round", "Shape", "Size", "NonZero", "ArgMax", "ArgMin", "ConstantOfShape", "Constant",
  "Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual", "And", "Or", "Xor", "Not", "IsNaN", "IsInf",
  "OneHot", "Range", "EyeLike", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike",
  "Bernoulli", "Multinomial", "Hardmax", "Unique", "BitShift", "NonMaxSuppression",
];

/** Operators that pass no gradient. */
export const ZERO_RULES: GradientTable = Object.fromEntries(FLAT.map((op) => [op, "zero" as const]));
