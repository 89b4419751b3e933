import { Tensor } from "onnxruntime-common";
import { findOptimizers } from "../../analysis/find-optimizers/index.ts";
import type { GradientEdge } from "../../analysis/find-optimizers/site.ts";
import { removeDeadNodes } from "../../edits/dead-nodes.ts";
import { DataType } from "../../graph/data-type.ts";
import { Node, Value } from "../../graph/graph.ts";
import type { Model } from "../../graph/model.ts";
import { encodeModel } from "../../graph/serde/encode.ts";
import { tensorType } from "../../graph/value-type.ts";
import { type Masked, notMasked, updateOf } from "../../passes/insert-agr/cautious.ts";
import { type CautiousUpdate, type InsertAgrOptions, settingsOf } from "../../passes/insert-agr/options.ts";
import { judge } from "../../passes/insert-agr/selection.ts";
import { stripAgr } from "../../passes/strip-agr.ts";
import { loadOrtNode } from "../../runtime/ort-node/load.ts";
import { NO_LOG } from "../../runtime/session-options.ts";
import { randomInputs, randomValues } from "../random-inputs.ts";
import { numbersOf } from "./question.ts";

/** Updates so large that what a small rate makes of them is not lost in the parameter. */
const SCALE = 1024;
/** Rounding of a product, and of a sum with a parameter. */
const TOLERANCE = 1e-3;

/** A parameter whose update is fed in the place of the step's own. */
interface Fed extends Pick<Masked, "update"> {
  readonly parameter: string;
  readonly terms: readonly { readonly name: string; readonly sign: 1 | -1 }[];
}

/**
 * Proves where a plain step adds its updates: puts random numbers in the place of each parameter's update, and none, and compares the
 * renewals, which must differ by a multiple of what was put there. Where an update is the gradient itself there is nothing to mask.
 * @param options those of the insertion, with the gradients that were proven
 * @throws PassError `E_CAUTIOUS` for a parameter whose update is not proven
 */
export async function proveUpdates(model: Model, options: InsertAgrOptions): Promise<readonly CautiousUpdate[]> {
  const settings = settingsOf(options);
  const step = model.clone();
  stripAgr(step);
  const { sites } = findOptimizers(step, options);
  const reached = sites.flatMap(({ optimizer, edges }) =>
    edges
      .filter((edge) => judge(settings, edge.parameter ?? { name: edge.value.name, shape: null }) === null)
      .map((edge) => ({ optimizer, edge })),
  );
  const moved = reached.filter(({ edge }) => !isGradient(edge));
  const wanted = (moved.length > 0 ? moved : reached).map(({ optimizer, edge }) => feed(step, optimizer, edge));
  if (wanted.length === 0) return [];
  step.graph.replaceOutputs([...new Set(wanted.map(({ update }) => update.renewal))]);
  removeDeadNodes(step.graph);
  step.graph.replaceInputs(step.graph.inputs.filter(({ isUsed }) => isUsed));
  const feeds = randomInputs(step.graph, 1);
  if (typeof feeds === "string") throw notMasked(wanted[0]?.parameter ?? "", feeds);
  const names = new Map(wanted.flatMap(({ terms }) => terms).map(({ name }, index) => [name, index]));
  const given = new Map(
    [...names].flatMap(([name, index]) => {
      const like = feeds[name];
      return like === undefined
        ? []
        : [[name, randomValues(like.size, 977 + index).map((each) => each * SCALE)] as const];
    }),
  );
  const ort = await loadOrtNode();
  const session = await ort.InferenceSession.create(encodeModel(step), NO_LOG).catch((cause: unknown) => {
    throw notMasked(wanted[0]?.parameter ?? "", `onnxruntime-node does not run the step: ${String(cause)}`);
  });
  try {
    const runWith = (factor: number) => {
      const own = [...given].map(([name, values]): [string, Tensor] => [
        name,
        new Tensor(
          "float32",
          Float32Array.from(values, (each) => each * factor),
          [...(feeds[name]?.dims ?? [])],
        ),
      ]);
      return session.run({ ...feeds, ...Object.fromEntries(own) });
    };
    const [without, once, twice] = [await runWith(0), await runWith(1), await runWith(2)];
    return wanted.map(({ parameter, update, terms }) => {
      const [base, first, second] = [without, once, twice].map((results) => numbersOf(results[update.renewal.name]));
      const size = base?.length ?? 0;
      const added = Float64Array.from({ length: size }, (_, at) =>
        terms.reduce((sum, { name, sign }) => sum + sign * (given.get(name)?.[at] ?? Number.NaN), 0),
      );
      const change = (to: readonly number[] = []): Float64Array =>
        Float64Array.from({ length: size }, (_, at) => (to[at] ?? Number.NaN) - (base?.[at] ?? Number.NaN));
      const factor = factorOf(added, change(first), change(second));
      if (typeof factor === "string") throw notMasked(parameter, factor);
      return { parameter, ascends: factor > 0 };
    });
  } finally {
    await session.release();
  }
}

function isGradient({ update }: GradientEdge): boolean {
  const found = update?.();
  return found !== undefined && "isGradient" in found;
}

/** Lets inputs stand in the place of a parameter's update. */
function feed(step: Model, optimizer: string, edge: GradientEdge): Fed {
  const parameter = edge.parameter?.name ?? edge.value.name;
  const update = updateOf(optimizer, edge);
  const terms = update.terms.map(({ value, use, sign }) => {
    const fed = new Value(`${value.name} (update of ${parameter})`, tensorType(DataType.float, edge.parameter?.shape));
    if (use.user instanceof Node) use.user.setInput(use.index, fed);
    step.graph.inputs.push(fed);
    return { name: fed.name, sign };
  });
  return { parameter, update, terms };
}

/** What `added` was multiplied by before it was added; or why there is no such number. */
function factorOf(added: Float64Array, once: Float64Array, twice: Float64Array): number | string {
  const at = added.reduce((best, value, index) => (Math.abs(value) > Math.abs(added[best] ?? 0) ? index : best), 0);
  const factor = (once[at] ?? Number.NaN) / (added[at] ?? Number.NaN);
  if (!Number.isFinite(factor)) return "its renewal on random inputs is no number";
  if (factor === 0) return "on random inputs its update changes nothing";
  const isMultiple = (made: Float64Array, by: number): boolean =>
    made.every(
      (value, index) =>
        Math.abs(value - by * factor * (added[index] ?? 0)) <= TOLERANCE * Math.abs(by * factor) * SCALE,
    );
  return isMultiple(once, 1) && isMultiple(twice, 2)
    ? factor
    : "its renewal is not the parameter and a multiple of its update";
}
