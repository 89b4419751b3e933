import type { GradientEdge } from "../../analysis/find-optimizers/site.ts";
import { PassError } from "../../errors.ts";
import { DataType } from "../../graph/data-type.ts";
import { Value } from "../../graph/graph.ts";
import type { Model } from "../../graph/model.ts";
import { tensorType } from "../../graph/value-type.ts";
import type { Builder } from "../../ops/builder.ts";
import { Formula } from "../../ops/formula.ts";
import { type GradientSteps, gradientSteps } from "../../optim/gradient-steps.ts";
import { asUpdate, type GradientTransform, type Parameter, plain } from "../../optim/transform.ts";
import type { Settings } from "./options.ts";

/** What stands around AGR at the same edges. */
export interface Chain {
  readonly steps: GradientSteps;
  /** Whether something looks at all gradients together. */
  readonly isJoint: boolean;
}

/** The formulas read axes as inputs of ReduceSum. */
const FIRST_OPSET = 15;

/**
 * The transforms that were asked for beside AGR; null for none.
 * @throws PassError `E_TRANSFORM` where these gradients cannot go through them; UsageError `E_OPTION`
 */
export function chooseChain(
  model: Model,
  edges: readonly GradientEdge[],
  list: readonly string[],
  { scope }: Settings,
): Chain | null {
  const steps = gradientSteps(list);
  if (steps.before.length + steps.after.length === 0) return null;
  const fail = (reason: string, hint: string): PassError =>
    new PassError("E_TRANSFORM", `the transforms ${list.join(", ")} cannot be inserted: ${reason}`, { hint });
  if (edges.some(({ kind }) => kind === "sequence")) {
    throw fail(
      "the optimizer takes its gradients as a sequence",
      "Build the portable set: onnx-agr build --transform.",
    );
  }
  if (scope === "global")
    throw fail("one sum over all gradients is taken of what is there before", "Use the scope tensor or channel.");
  if (model.opset < FIRST_OPSET) throw fail(`they need opset ${FIRST_OPSET}`, "Raise it: onnx-agr upgrade.");
  const other = edges.find(({ dtype }) => dtype !== DataType.float);
  if (other !== undefined) throw fail(`"${other.value.name}" is not float32`, "Insert AGR alone.");
  const shapeless = edges.find(({ parameter }) => parameter?.shape == null);
  if (shapeless !== undefined) throw fail(`the shape of "${shapeless.value.name}" is not known`, "Insert AGR alone.");
  const needsValues = list.some((each) => /^agc(:|$)/.test(each));
  const unknown = edges.find(({ parameter }) => parameterIn(model, parameter?.name ?? "") === null);
  if (needsValues && unknown !== undefined)
    throw fail(`the parameter "${unknown.parameter?.name ?? ""}" is not in the graph`, "Leave agc out.");
  return { steps, isJoint: list.some((each) => each.startsWith("clip-norm")) };
}

/**
 * Emits the whole chain for gradients that go through it together.
 * @param regularized emits AGR of one
 * @returns what the optimizer reads, in the order of the edges
 */
export function emitChain(
  model: Model,
  build: Builder,
  { steps }: Chain,
  edges: readonly GradientEdge[],
  regularized: (index: number, gradient: Value) => Value,
): readonly Value[] {
  const f = new Formula(build, model.opset);
  const step = { f, count: new Value("count") };
  const distinct = [...new Set(edges.map(({ value }) => value))];
  const through = (values: readonly Value[], link: GradientTransform): readonly Value[] => {
    const parameters = values.map((gradient, index): Parameter => {
      const edge = edges.find(({ value }) => value === distinct[index]);
      const { name = "", shape = null } = edge?.parameter ?? {};
      const value = parameterIn(model, name) ?? new Value(name, tensorType(DataType.float, shape));
      return { name, value, update: asUpdate(gradient), gradient, slots: [], weightDecay: null, rate: null };
    });
    return link.transform(step, parameters).map(({ update }) => plain(step, update));
  };
  const before = steps.before.reduce(through, distinct);
  const middle = before.map((value, index) =>
    regularized(
      edges.findIndex((edge) => edge.value === distinct[index]),
      value,
    ),
  );
  const after = steps.after.reduce(through, middle);
  return edges.map(({ value }) => after[distinct.indexOf(value)] ?? value);
}

/** The parameter itself; null where no graph has it as an input. */
function parameterIn(model: Model, name: string): Value | null {
  const inputs = model.rootGraphs.flatMap((graph) => [...graph.inputs, ...graph.initializers]);
  return inputs.find((value) => value.name === name) ?? null;
}
