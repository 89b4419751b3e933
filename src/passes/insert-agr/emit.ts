import { attribute } from "../../graph/attribute.ts";
import { DataType } from "../../graph/data-type.ts";
import type { Value } from "../../graph/graph.ts";
import { GraphFunction, type Model, ONNX_DOMAIN } from "../../graph/model.ts";
import { Names } from "../../graph/names.ts";
import { Tensor } from "../../graph/tensor.ts";
import { sequenceType, tensorType } from "../../graph/value-type.ts";
import { Builder } from "../../ops/builder.ts";
import { type AgrConstants, agrConstants, regularize, sumOfMagnitudes } from "../../optim/agr.ts";
import { PREFIX } from "../record.ts";
import type { Settings } from "./options.ts";
import { emitPredicate, type Predicate } from "./selection.ts";

/** Domain of the `AGR` function node. */
export const AGR_DOMAIN = "onnx-agr";
export const AGR_FUNCTION = "AGR";

/** What one insertion is: the same for all gradients of a model. */
export interface Plan {
  readonly settings: Settings;
  readonly predicate: Predicate | null;
  readonly form: "function" | "inline";
  /** Element type of the gradients. */
  readonly dtype: number;
}

/** Turns one gradient into its regularized form. */
type Rewrite = (build: Builder, gradient: Value, sum: Value | null) => Value;

/** Emits the formula in primitive operators: float16 and bfloat16 are computed in float32 and turned back. */
function formula(
  build: Builder,
  gradient: Value,
  sum: Value | null,
  apply: Value | null,
  constants: AgrConstants,
  plan: Plan,
): Value {
  const narrow = plan.dtype !== DataType.float;
  const wide = narrow ? build.cast(gradient, DataType.float) : gradient;
  const magnitude = build.emit("Abs", [wide]);
  const total = sum ?? sumOfMagnitudes(build, magnitude, plan.settings.scope);
  const result = regularize(build, wide, magnitude, total, constants);
  const typed = narrow ? build.cast(result, plan.dtype) : result;
  return apply === null ? typed : build.emit("Where", [apply, typed, gradient], { hint: "selected" });
}

/** The sum of |g| that one gradient adds to the global sum; nothing where the predicate leaves it alone. */
function shareOfGlobalSum(build: Builder, gradient: Value, plan: Plan): Value {
  const wide = plan.dtype === DataType.float ? gradient : build.cast(gradient, DataType.float);
  const sum = sumOfMagnitudes(build, build.emit("Abs", [wide]), "global");
  if (plan.predicate === null) return sum;
  const apply = emitPredicate(build, gradient, plan.predicate, plan.settings.scope);
  const zero = build.constant(Tensor.scalar(DataType.float, 0), "zero");
  return build.emit("Where", [apply, sum, zero], { hint: "selected_sum" });
}

const strengthAttribute = "strength";

/** The model-local function behind the `AGR` node: gradient, then the global sum and the test where the plan has them. */
export function agrFunction(model: Model, plan: Plan): GraphFunction {
  const definition = new GraphFunction(AGR_FUNCTION, AGR_DOMAIN);
  definition.opsets.set(ONNX_DOMAIN, model.opset);
  definition.attributes.push(strengthAttribute);
  definition.docString = "Adaptive gradient regularization, arXiv 2407.16944: g - strength * |g| / sum(|g|) * g";
  const build = new Builder({ prefix: AGR_FUNCTION, names: new Names(model), opset: model.opset });
  const input = (hint: string): Value => {
    const value = build.input(hint, null);
    definition.body.inputs.push(value);
    return value;
  };
  const gradient = input("gradient");
  const sum = plan.settings.scope === "global" ? input("sum") : null;
  const apply = plan.predicate === null ? null : input("apply");
  const strength = build.emit("Constant", [], {
    hint: "strength",
    attributes: [{ name: "value_float", kind: "reference", value: strengthAttribute }],
  });
  const result = formula(build, gradient, sum, apply, agrConstants(build, strength), plan);
  definition.body.append(...build.nodes);
  definition.body.addOutput(result);
  return definition;
}

function functionCall(plan: Plan): Rewrite {
  return (build, gradient, sum) => {
    const apply = plan.predicate === null ? [] : [emitPredicate(build, gradient, plan.predicate, plan.settings.scope)];
    return build.emit(AGR_FUNCTION, [gradient, ...(sum === null ? [] : [sum]), ...apply], {
      domain: AGR_DOMAIN,
      attributes: [attribute.float(strengthAttribute, plan.settings.strength)],
    });
  };
}

function inlineFormula(constants: AgrConstants, plan: Plan): Rewrite {
  return (build, gradient, sum) => {
    const apply = plan.predicate === null ? null : emitPredicate(build, gradient, plan.predicate, plan.settings.scope);
    return formula(build, gradient, sum, apply, constants, plan);
  };
}

/** Takes the sequence apart, regularizes each of its `count` tensors and puts it together again. */
export function emitUnrolled(build: Builder, sequence: Value, count: number, plan: Plan): Value {
  const rewrite =
    plan.form === "function" ? functionCall(plan) : inlineFormula(agrConstants(build, plan.settings.strength), plan);
  const element = tensorType(plan.dtype);
  const gradients = Array.from({ length: count }, (_, index) => {
    const each = build.within(String(index));
    const position = each.constant(Tensor.scalar(DataType.int64, index), "position");
    const gradient = each.emit("SequenceAt", [sequence, position]);
    gradient.type = element;
    build.nodes.push(...each.nodes);
    return gradient;
  });
  const inOwnNames = <T extends Value>(index: number, emit: (each: Builder) => T): T => {
    const each = build.within(String(index));
    const value = emit(each);
    build.nodes.push(...each.nodes);
    return value;
  };
  let sum: Value | null = null;
  if (plan.settings.scope === "global") {
    const shares = gradients.map((gradient, index) =>
      inOwnNames(index, (each) => shareOfGlobalSum(each, gradient, plan)),
    );
    sum = build.emit("Sum", shares, { hint: "global_sum" });
  }
  const regularized = gradients.map((gradient, index) => inOwnNames(index, (each) => rewrite(each, gradient, sum)));
  return build.emit("SequenceConstruct", regularized);
}

/** One SequenceMap over the sequence, however long it is; opset 17 and later. Its body is always inline. */
export function emitMapped(build: Builder, sequence: Value, plan: Plan): Value {
  const map = (name: string, hint: string, body: (each: Builder, gradient: Value) => Value): Value => {
    const gradient = build.within(name).input("gradient", tensorType(plan.dtype));
    const graph = build.graph(name, [gradient], (each) => {
      const result = body(each, gradient);
      result.type ??= tensorType(plan.dtype);
      return [result];
    });
    const mapped = build.emit("SequenceMap", [sequence], { hint, attributes: [attribute.graph("body", graph)] });
    mapped.type = sequenceType(tensorType(plan.dtype));
    return mapped;
  };
  let sum: Value | null = null;
  if (plan.settings.scope === "global") {
    const shares = map("share", "SequenceMap_share", (each, gradient) => {
      const share = shareOfGlobalSum(each, gradient, plan);
      share.type = tensorType(DataType.float);
      return share;
    });
    const list = build.emit("ConcatFromSequence", [shares], {
      attributes: [attribute.int("axis", 0), attribute.int("new_axis", 1)],
    });
    sum = build.reduceSum(list, null, false);
  }
  return map("each", "SequenceMap", (each, gradient) =>
    inlineFormula(agrConstants(each, plan.settings.strength), plan)(each, gradient, sum),
  );
}

export function agrBuilder(model: Model, names: Names, edge: string): Builder {
  const metadata = new Map(
    model.irVersion >= 10
      ? [
          ["onnx-agr.pass", "insert-agr"],
          ["onnx-agr.edge", edge],
        ]
      : [],
  ) as ReadonlyMap<string, string>;
  return new Builder({ prefix: `${PREFIX}/${edge}`, names, opset: model.opset, metadata });
}
