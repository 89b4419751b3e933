import { type Attribute, attribute } from "../../graph/attribute.ts";
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
const AGR_FUNCTION = "AGR";
const AGR_SUM_FUNCTION = "AGRSum";

/** What one insertion is: the same for all gradients of a model. */
export interface Plan {
  readonly settings: Settings;
  readonly predicate: Predicate | null;
  readonly form: "function" | "inline";
  /** Element type of the gradients. */
  readonly dtype: number;
}

/**
 * Emits the formula in primitive operators: float16 and bfloat16 are computed in float32 and turned back, and what the
 * plan's predicate leaves out comes through as it was.
 */
function emitFormula(build: Builder, gradient: Value, sum: Value | null, constants: AgrConstants, plan: Plan): Value {
  const narrow = plan.dtype !== DataType.float;
  const wide = narrow ? build.cast(gradient, DataType.float) : gradient;
  const magnitude = build.emit("Abs", [wide]);
  const total = sum ?? sumOfMagnitudes(build, magnitude, plan.settings.scope);
  const result = regularize(build, wide, magnitude, total, constants);
  const typed = narrow ? build.cast(result, plan.dtype) : result;
  if (plan.predicate === null) return typed;
  const apply = emitPredicate(build, gradient, plan.predicate, plan.settings.scope);
  return build.emit("Where", [apply, typed, gradient], { hint: "selected" });
}

/** Emits the sum of |g| that one gradient adds to the global sum: zero where the predicate leaves it out. */
function emitShare(build: Builder, gradient: Value, plan: Plan): Value {
  const wide = plan.dtype === DataType.float ? gradient : build.cast(gradient, DataType.float);
  const sum = sumOfMagnitudes(build, build.emit("Abs", [wide]), "global");
  if (plan.predicate === null) return sum;
  const apply = emitPredicate(build, gradient, plan.predicate, plan.settings.scope);
  const zero = build.constant(Tensor.scalar(DataType.float, 0), "zero");
  return build.emit("Where", [apply, sum, zero], { hint: "selected_sum" });
}

/** How one gradient is written: as calls of functions, or as primitive operators on the spot. */
interface Writer {
  readonly share: (build: Builder, gradient: Value) => Value;
  readonly regularized: (build: Builder, gradient: Value, sum: Value | null) => Value;
}

function inlineWriter(build: Builder, plan: Plan): Writer {
  const constants = agrConstants(build, plan.settings.strength);
  return {
    share: (each, gradient) => emitShare(each, gradient, plan),
    regularized: (each, gradient, sum) => emitFormula(each, gradient, sum, constants, plan),
  };
}

const STRENGTH = "strength";

function callWriter({ settings }: Plan): Writer {
  const call = (build: Builder, name: string, inputs: readonly Value[], attributes: readonly Attribute[]): Value =>
    build.emit(name, inputs, { domain: AGR_DOMAIN, attributes });
  return {
    share: (build, gradient) => call(build, AGR_SUM_FUNCTION, [gradient], []),
    regularized: (build, gradient, sum) =>
      call(build, AGR_FUNCTION, sum === null ? [gradient] : [gradient, sum], [
        attribute.float(STRENGTH, settings.strength),
      ]),
  };
}

/** The model-local functions behind the nodes: `AGR`, and for the global scope `AGRSum`, one gradient's share of the sum. */
export function agrFunctions(model: Model, plan: Plan): readonly GraphFunction[] {
  const names = new Names(model);
  const isGlobal = plan.settings.scope === "global";
  const agr = defineFunction(AGR_FUNCTION, model.opset, names, (build, input) => {
    const source: Attribute = { name: "value_float", kind: "reference", value: { attribute: STRENGTH, type: "float" } };
    const gradient = input("gradient");
    const sum = isGlobal ? input("sum") : null;
    const strength = build.emit("Constant", [], { hint: STRENGTH, attributes: [source] });
    return emitFormula(build, gradient, sum, agrConstants(build, strength), plan);
  });
  agr.attributes.push(STRENGTH);
  agr.docString = "Adaptive gradient regularization, arXiv 2407.16944: g - strength * |g| / sum(|g|) * g";
  if (!isGlobal) return [agr];
  return [
    agr,
    defineFunction(AGR_SUM_FUNCTION, model.opset, names, (build, input) => emitShare(build, input("gradient"), plan)),
  ];
}

function defineFunction(
  name: string,
  opset: number,
  names: Names,
  emit: (build: Builder, input: (hint: string) => Value) => Value,
): GraphFunction {
  const definition = new GraphFunction(name, AGR_DOMAIN);
  definition.opsets.set(ONNX_DOMAIN, opset);
  const build = new Builder({ prefix: name, names, opset });
  const result = emit(build, (hint) => {
    const value = build.input(hint, null);
    definition.body.inputs.push(value);
    return value;
  });
  definition.body.append(...build.nodes);
  definition.body.addOutput(result);
  return definition;
}

/** Takes the sequence apart, regularizes each of its `count` tensors and puts it together again. */
export function emitUnrolled(build: Builder, sequence: Value, count: number, plan: Plan): Value {
  const writer = plan.form === "function" ? callWriter(plan) : inlineWriter(build, plan);
  const emitEach = (emit: (each: Builder, index: number) => Value): Value[] =>
    Array.from({ length: count }, (_, index) => {
      const each = build.within(String(index));
      const value = emit(each, index);
      build.nodes.push(...each.nodes);
      return value;
    });
  const gradients = emitEach((each, index) =>
    each.emit("SequenceAt", [sequence, each.constant(Tensor.scalar(DataType.int64, index), "position")]),
  );
  const at = (index: number): Value => {
    const gradient = gradients[index];
    if (gradient === undefined) throw new RangeError(`There is no gradient ${index}`);
    return gradient;
  };
  const shares = plan.settings.scope === "global" ? emitEach((each, index) => writer.share(each, at(index))) : null;
  const sum = shares === null ? null : build.emit("Sum", shares, { hint: "global_sum" });
  return build.emit(
    "SequenceConstruct",
    emitEach((each, index) => writer.regularized(each, at(index), sum)),
  );
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
      const share = emitShare(each, gradient, plan);
      share.type = tensorType(DataType.float);
      return share;
    });
    const list = build.emit("ConcatFromSequence", [shares], {
      attributes: [attribute.int("axis", 0), attribute.int("new_axis", 1)],
    });
    sum = build.reduceSum(list, null, false);
  }
  return map("each", "SequenceMap", (each, gradient) => inlineWriter(each, plan).regularized(each, gradient, sum));
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
