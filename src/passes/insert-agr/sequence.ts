import type { GradientEdge, OptimizerSite } from "../../analysis/find-optimizers/site.ts";
import type { RecordedEdge } from "../../edits/record.ts";
import { PassError } from "../../errors.ts";
import { attribute } from "../../graph/attribute.ts";
import { DataType } from "../../graph/data-type.ts";
import { Node, type Value } from "../../graph/graph.ts";
import type { Model } from "../../graph/model.ts";
import type { Names } from "../../graph/names.ts";
import { Tensor } from "../../graph/tensor.ts";
import { sequenceType, tensorType } from "../../graph/value-type.ts";
import type { Builder } from "../../ops/builder.ts";
import { accumulationOf } from "../../optim/agr.ts";
import { emitShare, type Treatment } from "./formula.ts";
import type { Intent } from "./intent.ts";
import type { Form, InsertAgrOptions, Settings } from "./options.ts";
import { select } from "./selection.ts";
import { AgrFunctions, agrBuilder, inlineWriter, type Writer } from "./writer.ts";

const FIRST_OPSET_WITH_SEQUENCE_MAP = 17;

/**
 * Decides about an optimizer that takes all gradients as one sequence: AGR goes on every element where their number is
 * known, else on the sequence as a whole.
 * @throws PassError `E_COUNT_NEEDED`, `E_SELECTION`
 */
export function decideSequence(
  model: Model,
  site: OptimizerSite,
  edge: GradientEdge,
  settings: Settings,
  form: Form,
  options: InsertAgrOptions & { readonly opset: number },
): Intent {
  const { predicate, reached, skipped } = select(settings, options.parameters);
  const { parameters, count = parameters?.length } = options;
  if (count === undefined && options.opset < FIRST_OPSET_WITH_SEQUENCE_MAP) {
    throw new PassError(
      "E_COUNT_NEEDED",
      `the number of gradients is unknown, and opset ${options.opset} has no SequenceMap`,
      {
        field: edge.value.name,
        hint: "Give the artifacts folder instead of the optimizer model alone, or the number of trainable parameters with --count.",
      },
    );
  }
  const treatment: Treatment = { settings, predicate, dtype: edge.dtype };
  return {
    structure: count === undefined ? "map" : "unrolled",
    form: count === undefined ? "inline" : form,
    dialect: site.dialect,
    optimizer: site.optimizer,
    settings,
    reached,
    skipped: [...skipped, ...runTimeNote(settings, parameters === undefined)],
    recorded: {
      ...(parameters === undefined ? {} : { parameters: parameters.map(({ name, shape }) => ({ name, shape })) }),
      ...(parameters === undefined && count !== undefined ? { count } : {}),
    },
    apply: (names) => applySequence(model, names, site, edge, treatment, count, form),
  };
}

/** Without known parameters the small ones are sorted out when the graph runs; the report says so once. */
function runTimeNote({ minElements, minRank }: Settings, unknown: boolean): Intent["skipped"] {
  const rules = [
    ...(unknown && minElements > 1 ? [`sums over fewer than ${minElements} elements`] : []),
    ...(unknown && minRank > 0 ? [`has a rank below ${minRank}`] : []),
  ];
  return rules.length === 0
    ? []
    : [{ at: "any gradient", reason: `left alone at run time where it ${rules.join(" or ")}` }];
}

function applySequence(
  model: Model,
  names: Names,
  site: OptimizerSite,
  { value, uses }: GradientEdge,
  treatment: Treatment,
  count: number | undefined,
  form: Form,
): readonly RecordedEdge[] {
  const build = agrBuilder(model, names, value.name);
  let result: Value;
  if (count === undefined) result = emitMapped(build, value, treatment);
  else {
    const writer = form === "function" ? new AgrFunctions(model).writer(treatment) : inlineWriter(build, treatment);
    result = emitUnrolled(build, value, count, writer, treatment.settings);
  }
  for (const { user, index } of uses) {
    if (!(user instanceof Node)) continue;
    site.graph.insertBefore(user, build.nodes);
    user.setInput(index, result);
  }
  return [{ from: value.name, to: result.name }];
}

/** Takes the sequence apart, regularizes each of its `count` tensors and puts it together again. */
function emitUnrolled(build: Builder, sequence: Value, count: number, writer: Writer, { scope }: Settings): Value {
  const emitEach = (emit: (each: Builder, index: number) => Value): Value[] =>
    Array.from({ length: count }, (_, index) => {
      const each = build.within(String(index));
      const value = emit(each, index);
      for (const node of each.nodes) build.nodes.push(node);
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
  const shares = scope === "global" ? emitEach((each, index) => writer.share(each, at(index))) : null;
  const sum = shares === null ? null : build.emit("Sum", shares, { hint: "global_sum" });
  return build.emit(
    "SequenceConstruct",
    emitEach((each, index) => writer.regularized(each, at(index), sum)),
  );
}

/** One SequenceMap over the sequence, however long it is; opset 17 and later. Its body is always inline. */
function emitMapped(build: Builder, sequence: Value, treatment: Treatment): Value {
  const { dtype, settings } = treatment;
  const map = (
    name: string,
    hint: string,
    elementType: number,
    body: (each: Builder, gradient: Value) => Value,
  ): Value => {
    const gradient = build.within(name).input("gradient", tensorType(dtype));
    const graph = build.graph(name, [gradient], (each) => {
      const result = body(each, gradient);
      result.type = tensorType(elementType);
      return [result];
    });
    const mapped = build.emit("SequenceMap", [sequence], { hint, attributes: [attribute.graph("body", graph)] });
    mapped.type = sequenceType(tensorType(elementType));
    return mapped;
  };
  let sum: Value | null = null;
  if (settings.scope === "global") {
    const shares = map("share", "SequenceMap_share", accumulationOf(dtype).dtype, (each, gradient) =>
      emitShare(each, gradient, treatment),
    );
    const list = build.emit("ConcatFromSequence", [shares], {
      attributes: [attribute.int("axis", 0), attribute.int("new_axis", 1)],
    });
    sum = build.reduceSum(list, null, false);
  }
  return map("each", "SequenceMap", dtype, (each, gradient) =>
    inlineWriter(each, treatment).regularized(each, gradient, sum),
  );
}
