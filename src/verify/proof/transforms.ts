import { DataType } from "../../graph/data-type.ts";
import { Value } from "../../graph/graph.ts";
import type { Model } from "../../graph/model.ts";
import { encodeModel } from "../../graph/serde/encode.ts";
import { removeDeadNodes } from "../../passes/dead-nodes.ts";
import { valuesByName } from "../../passes/find-optimizers/plain-step/flat-step.ts";
import type { OrtModule } from "../../runtime/ort-node/load.ts";
import { NO_LOG } from "../../runtime/session-options.ts";
import { randomInputs, randomValues } from "../random-inputs.ts";
import { floats } from "./draw.ts";

/** A gradient, and what further down could be what the optimizer reads in its place, the highest first. */
export interface Descent {
  readonly parameter: string;
  readonly gradient: string;
  readonly below: readonly string[];
}

export interface Transformed {
  readonly tensor: string;
  readonly transform: "clipping" | "centralization";
}

/** Gradients so small are not clipped by anything. */
const SMALL = 1e-6;
const TOLERANCE = 1e-4;

/**
 * Follows gradients through the transforms that stand before optimizers, by what they do to gradients put in their place:
 * clipping (by value, by norm, adaptive) passes small ones as they are, centralization takes their mean away. Optimizers do
 * neither.
 */
export async function transformsOf(
  ort: OrtModule,
  step: Model,
  descents: readonly Descent[],
): Promise<ReadonlyMap<string, readonly Transformed[]>> {
  const found = new Map<string, Transformed[]>();
  let open = descents.filter(({ below }) => below.length > 0);
  while (open.length > 0) {
    const results = await respond(ort, step, open);
    const next: Descent[] = [];
    for (const { parameter, gradient, below } of open) {
      const response = results?.get(gradient);
      const passed = below.findLast((tensor) => response !== undefined && transformOf(response, tensor) !== null);
      const transform = passed === undefined || response === undefined ? null : transformOf(response, passed);
      if (passed === undefined || transform === null) continue;
      found.set(parameter, [...(found.get(parameter) ?? []), { tensor: passed, transform }]);
      next.push({ parameter, gradient: passed, below: below.slice(below.indexOf(passed) + 1) });
    }
    open = next.filter(({ below }) => below.length > 0);
  }
  return found;
}

interface Response {
  readonly given: Float64Array;
  readonly dims: readonly number[];
  readonly of: ReadonlyMap<string, ArrayLike<number>>;
}

async function respond(
  ort: OrtModule,
  step: Model,
  descents: readonly Descent[],
): Promise<ReadonlyMap<string, Response> | null> {
  const model = step.clone();
  const values = valuesByName(model.graph);
  const outputs: Value[] = [];
  const given = new Map<string, Response["given"]>();
  for (const { gradient, below } of descents) {
    const value = values.get(gradient);
    if (value === undefined) continue;
    outputs.push(...below.flatMap((name) => values.get(name) ?? []));
    const fed = new Value(`${gradient} (given)`, value.type);
    value.replaceAllUsesWith(fed);
    model.graph.inputs.push(fed);
  }
  model.graph.replaceOutputs([...new Set(outputs)]);
  removeDeadNodes(model.graph);
  const feeds = randomInputs(model.graph, 1);
  if (typeof feeds === "string") return null;
  const all: Record<string, (typeof feeds)[string]> = { ...feeds };
  const responses = new Map<string, Response>();
  for (const [index, { gradient }] of descents.entries()) {
    const like = all[`${gradient} (given)`];
    if (like === undefined) continue;
    const small = randomValues(like.size, 31 + index).map((value) => value * SMALL);
    given.set(gradient, small);
    all[`${gradient} (given)`] = floats(DataType.float, small, (value) => value, like.dims);
  }
  try {
    const session = await ort.InferenceSession.create(encodeModel(model), NO_LOG);
    const results = await session.run(all);
    await session.release();
    for (const { gradient, below } of descents) {
      const small = given.get(gradient);
      const dims = all[`${gradient} (given)`]?.dims;
      if (small === undefined || dims === undefined) continue;
      const of = new Map(below.map((name) => [name, (results[name]?.data ?? []) as ArrayLike<number>]));
      responses.set(gradient, { given: small, dims, of });
    }
    return responses;
  } catch {
    return null;
  }
}

function transformOf({ given, dims, of }: Response, tensor: string): Transformed["transform"] | null {
  const made = of.get(tensor);
  if (made?.length !== given.length) return null;
  const isClose = (expected: Float64Array): boolean =>
    expected.every((value, index) => Math.abs(value - (made[index] ?? Number.NaN)) <= TOLERANCE * SMALL);
  if (isClose(given)) return "clipping";
  const centred = [
    dims.map((_, axis) => axis),
    ...dims.map((_, kept) => dims.flatMap((_, axis) => (axis === kept ? [] : [axis]))),
  ];
  return centred.some((axes) => axes.length > 0 && isClose(centralized(given, dims, axes))) ? "centralization" : null;
}

/** A tensor less its mean over some axes. */
function centralized(values: Float64Array, dims: readonly number[], axes: readonly number[]): Float64Array {
  const groupOf = (index: number): number => {
    let [rest, group] = [index, 0];
    for (let axis = dims.length - 1, scale = 1; axis >= 0; axis--) {
      const size = dims[axis] ?? 1;
      if (!axes.includes(axis)) {
        group += (rest % size) * scale;
        scale *= size;
      }
      rest = Math.floor(rest / size);
    }
    return group;
  };
  const sums = new Map<number, { sum: number; count: number }>();
  for (const [index, value] of values.entries()) {
    const group = sums.get(groupOf(index)) ?? { sum: 0, count: 0 };
    sums.set(groupOf(index), { sum: group.sum + value, count: group.count + 1 });
  }
  return values.map((value, index) => {
    const { sum, count } = sums.get(groupOf(index)) ?? { sum: 0, count: 1 };
    return value - sum / count;
  });
}
