import type { GradientEdge, Update } from "../../analysis/find-optimizers/site.ts";
import type { RecordedEdge } from "../../edits/record.ts";
import { PassError } from "../../errors.ts";
import { DataType } from "../../graph/data-type.ts";
import { Graph, type Value } from "../../graph/graph.ts";
import type { Model } from "../../graph/model.ts";
import type { Names } from "../../graph/names.ts";
import { Formula } from "../../ops/formula.ts";
import { cautiousMask } from "../../optim/transforms.ts";
import type { CautiousUpdate } from "./options.ts";
import { agrBuilder } from "./writer.ts";

/** The formulas need it. */
const FIRST_OPSET = 15;

/** An update that is known. */
export interface Masked extends Pick<CautiousUpdate, "ascends"> {
  readonly update: Exclude<Update, { readonly reason: string }>;
  /** Element type of the gradient. */
  readonly dtype: number;
}

const HINT = "Leave --cautious out. With --exclude a parameter has neither a mask nor AGR.";

/**
 * The updates to mask, by gradient; AGR stands before each of them.
 * @throws PassError `E_CAUTIOUS` where one is not known
 */
export function chooseMasks(
  model: Model,
  dialect: string,
  edges: readonly GradientEdge[],
  cautious: readonly CautiousUpdate[],
): ReadonlyMap<GradientEdge, Masked> {
  if (cautious.length === 0) return new Map();
  const fail = (reason: string, hint = HINT): PassError => new PassError("E_CAUTIOUS", reason, { hint });
  if (model.opset < FIRST_OPSET) throw fail(`cautious masks need opset ${FIRST_OPSET}`, "Raise it: onnx-agr upgrade.");
  return new Map(
    cautious.map(({ parameter, ascends }) => {
      const edge = edges.find((each) => each.parameter?.name === parameter);
      if (edge === undefined) throw fail(`no gradient of "${parameter}" is regularized, whose update is to be masked`);
      return [edge, { update: updateOf(dialect, edge), ascends, dtype: edge.dtype }];
    }),
  );
}

export function notMasked(parameter: string, reason: string, hint = HINT): PassError {
  return new PassError("E_CAUTIOUS", `the update of "${parameter}" cannot be masked: ${reason}`, {
    field: parameter,
    hint,
  });
}

/** @throws PassError `E_CAUTIOUS` */
export function updateOf(dialect: string, edge: GradientEdge): Masked["update"] {
  const name = edge.parameter?.name ?? edge.value.name;
  const fail = (reason: string, hint?: string): PassError => notMasked(name, reason, hint);
  if (edge.update === undefined)
    throw fail(`its optimizer (${dialect}) is no plain step`, "Build the set with it: onnx-agr build --cautious.");
  if (edge.layers !== undefined) throw fail("it is one vector of several layers");
  const found = edge.update();
  if ("reason" in found) throw fail(found.reason);
  return found;
}

/**
 * Multiplies an update by its mask: what does not point against the gradient is left out, the rest scaled by the share that is
 * left. Of an update that is added in several parts the last becomes what they have to come to together.
 * @param gradient what the optimizer reads
 */
export function emitMask(
  model: Model,
  names: Names,
  { update, ascends, dtype }: Masked,
  gradient: Value,
): RecordedEdge {
  const [last, ...before] = update.terms;
  const reader = last?.use.user;
  if (last === undefined || reader === undefined || reader instanceof Graph || reader.graph === null)
    throw new Error("an update is read by a node of a graph");
  const build = agrBuilder(model, names, last.value.name);
  const f = new Formula(build, model.opset);
  const signed = ({ value, sign }: (typeof before)[number]): Value => (sign === 1 ? value : f.emit("Neg", [value]));
  const others = before
    .map(signed)
    .reduce<Value | null>((sum, value) => (sum === null ? value : f.add(sum, value)), null);
  const added = others === null ? last.value : f.add(others, signed(last));
  const product = f.mul(added, dtype === DataType.float ? gradient : f.cast(gradient, DataType.float));
  const { mask, scale } = cautiousMask(f, ascends ? f.emit("Less", [product, 0]) : f.greater(product, 0));
  const whole = f.mul(f.mul(added, mask), scale);
  const rest = others === null ? whole : f.sub(whole, others);
  const result = others === null || last.sign === 1 ? rest : f.emit("Neg", [rest]);
  result.type = last.value.type;
  reader.graph.insertBefore(reader, build.nodes);
  reader.setInput(last.use.index, result);
  const reads = before.map(({ value }) => value.name);
  return { from: last.value.name, to: result.name, mask: true, ...(reads.length === 0 ? {} : { reads }) };
}
