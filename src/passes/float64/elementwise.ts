import { tanhGelu } from "../../autodiff/formulas/gelu.ts";
import type { Value } from "../../graph/graph.ts";
import type { Formula } from "../../ops/formula.ts";
import type { OpType } from "../../ops/operators/index.ts";
import type { Compound } from "../decompose/compound.ts";
import type { Call } from "../lower-training-ops/lowering.ts";
import { erf } from "./erf.ts";

const SOURCE = "ONNX's operators";

/** An operator of one input. */
const of = (op: OpType, y: (f: Formula, x: Value, call: Call) => Value): Compound => ({
  domain: "",
  op,
  source: SOURCE,
  parts: (f, call) => [y(f, call.input(0), call)],
});

const isPositive = (f: Formula, x: Value): Value => f.greater(x, 0);

/** a (e^(x / b) - 1) for what is not positive, where nothing runs over. */
const exponential = (f: Formula, x: Value, a: number, b: number): Value =>
  f.mul(f.sub(f.exp(f.div(f.min(x, 0), b)), 1), a);

const sine = (f: Formula, x: Value): Value => f.emit("Sin", [x]);
const cosine = (f: Formula, x: Value): Value => f.emit("Cos", [x]);
const log = (f: Formula, x: Value): Value => f.emit("Log", [x]);

export const ELEMENTWISE: readonly Compound[] = [
  of("Erf", erf),
  of("Gelu", (f, x, call) =>
    call.string("approximate") === "tanh"
      ? tanhGelu(f, x)
      : f.mul(x, f.mul(f.add(erf(f, f.mul(x, Math.SQRT1_2)), 1), 0.5)),
  ),
  of("Elu", (f, x, call) => f.where(isPositive(f, x), x, exponential(f, x, call.float("alpha"), 1))),
  of("Celu", (f, x, call) => f.where(isPositive(f, x), x, exponential(f, x, call.float("alpha"), call.float("alpha")))),
  of("Selu", (f, x, call) =>
    f.mul(f.where(isPositive(f, x), x, exponential(f, x, call.float("alpha"), 1)), call.float("gamma")),
  ),
  of("Softplus", (f, x) => f.add(f.max(x, 0), log(f, f.add(f.exp(f.neg(f.emit("Abs", [x]))), 1)))),
  of("Softsign", (f, x) => f.div(x, f.add(f.emit("Abs", [x]), 1))),
  of("ThresholdedRelu", (f, x, call) => f.where(f.greater(x, call.float("alpha")), x, 0)),
  of("Shrink", (f, x, call) => {
    const [bias, lambda] = [call.float("bias"), call.float("lambd")];
    const above = f.where(f.greater(x, lambda), f.sub(x, bias), 0);
    return f.where(f.greater(f.neg(x), lambda), f.add(x, bias), above);
  }),
  of("HardSigmoid", (f, x, call) => clipped(f, f.add(f.mul(x, call.float("alpha")), call.float("beta")))),
  of("HardSwish", (f, x) => f.mul(x, clipped(f, f.add(f.div(x, 6), 0.5)))),
  of("Tan", (f, x) => f.div(sine(f, x), cosine(f, x))),
  of("Sinh", (f, x) => f.div(f.sub(f.exp(x), f.exp(f.neg(x))), 2)),
  of("Cosh", (f, x) => f.div(f.add(f.exp(x), f.exp(f.neg(x))), 2)),
  of("Asinh", (f, x) => log(f, f.add(x, f.sqrt(f.add(f.square(x), 1))))),
  of("Acosh", (f, x) => log(f, f.add(x, f.sqrt(f.sub(f.square(x), 1))))),
  of("Atanh", (f, x) => f.div(log(f, f.div(f.add(x, 1), f.sub(1, x))), 2)),
  {
    domain: "",
    op: "Mean",
    source: SOURCE,
    parts: (f, call) => [
      f.div(
        call.inputs.reduce((sum, each) => f.add(sum, each)),
        call.inputs.length,
      ),
    ],
  },
];

const clipped = (f: Formula, x: Value): Value => f.emit("Clip", [x, f.number(0), f.number(1)]);
