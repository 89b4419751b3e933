import { Tensor } from "onnxruntime-common";
import { valuesByName } from "../../analysis/find-optimizers/plain-step/flat-step.ts";
import { removeDeadNodes } from "../../edits/dead-nodes.ts";
import { Value } from "../../graph/graph.ts";
import type { Model } from "../../graph/model.ts";
import { encodeModel } from "../../graph/serde/encode.ts";
import type { OrtModule } from "../../runtime/ort-node/load.ts";
import { randomInputs, randomValues } from "../random-inputs.ts";
import { plainly } from "../try-run.ts";
import { numbersOf } from "./question.ts";

/** A gradient, and what further down could be what the optimizer reads in its place, the highest first. */
export interface Descent {
  readonly parameter: string;
  readonly gradient: string;
  /** The same gradient before what scales all gradients together; that looks at all of them. */
  readonly raw: string;
  readonly below: readonly string[];
}

export interface Transformed {
  readonly tensor: string;
  /** Null: a copy, or a choice that is made for other reasons than the gradient's size. */
  readonly transform: "clipping" | "centralization" | null;
}

/** Gradients so small are not clipped by anything, so large ones by whatever clips. */
const SMALL = 1e-6;
const LARGE = 1e3;
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
    const given = new Map(descents.map(({ parameter, raw }) => [parameter, raw]));
    for (const { parameter, gradient } of open) given.set(parameter, gradient);
    const below = [...new Set(open.flatMap((each) => each.below))];
    const answers = (scale: number) => respond(ort, step, given, below, scale);
    // What looks at signs does not do the same to a gradient and to its opposite.
    const results = [await answers(SMALL), await answers(-SMALL)];
    let large: (typeof results)[number] = null;
    const next: Descent[] = [];
    for (const { parameter, raw, below: own } of open) {
      const transformAt = (tensor: string): Transformed["transform"] => {
        const [first = null, ...others] = results.map((each) => transformOf(each?.get(parameter), tensor));
        return others.every((other) => other === first) ? first : null;
      };
      const passed = own.findLast((tensor) => transformAt(tensor) !== null);
      const transform = passed === undefined ? null : transformAt(passed);
      if (passed === undefined || transform === null) continue;
      if (transform === "clipping") large ??= await answers(LARGE);
      const isCopy = transform === "clipping" && transformOf(large?.get(parameter), passed) === "clipping";
      const passage: Transformed = { tensor: passed, transform: isCopy ? null : transform };
      found.set(parameter, [...(found.get(parameter) ?? []), passage]);
      next.push({ parameter, raw, gradient: passed, below: own.slice(own.indexOf(passed) + 1) });
    }
    open = next.filter(({ below }) => below.length > 0);
  }
  return found;
}

interface Response {
  /** The largest element that was given. */
  readonly scale: number;
  readonly given: Float64Array;
  readonly dims: readonly number[];
  readonly of: ReadonlyMap<string, ArrayLike<number>>;
}

/** What becomes of gradients that are put in the place of the step's own. @param gradients the tensors, by parameter */
async function respond(
  ort: OrtModule,
  step: Model,
  gradients: ReadonlyMap<string, string>,
  below: readonly string[],
  scale: number,
): Promise<ReadonlyMap<string, Response> | null> {
  const model = step.clone();
  const values = valuesByName(model.graph);
  const outputs = below.flatMap((name) => values.get(name) ?? []);
  for (const gradient of new Set(gradients.values())) {
    const value = values.get(gradient);
    if (value === undefined) continue;
    const fed = new Value(`${gradient} (given)`, value.type);
    value.replaceAllUsesWith(fed);
    model.graph.inputs.push(fed);
  }
  model.graph.replaceOutputs([...new Set(outputs)]);
  removeDeadNodes(model.graph);
  model.graph.replaceInputs(model.graph.inputs.filter(({ isUsed }) => isUsed));
  const feeds = randomInputs(model.graph, 1);
  if (typeof feeds === "string") return null;
  const all: Record<string, (typeof feeds)[string]> = { ...feeds };
  const given = new Map<string, Pick<Response, "given" | "dims">>();
  /** Two states may be renewed by one gradient. */
  for (const [index, gradient] of [...new Set(gradients.values())].entries()) {
    const like = all[`${gradient} (given)`];
    if (like === undefined) continue;
    const values = randomValues(like.size, 31 + index).map((value) => value * scale);
    given.set(gradient, { given: values, dims: like.dims });
    all[`${gradient} (given)`] = new Tensor("float32", Float32Array.from(values), [...like.dims]);
  }
  try {
    const session = await ort.InferenceSession.create(encodeModel(model), plainly());
    const results = await session.run(all);
    await session.release();
    const of = new Map(below.map((name) => [name, numbersOf(results[name])]));
    return new Map(
      [...gradients].flatMap(([parameter, gradient]) => {
        const each = given.get(gradient);
        return each === undefined ? [] : [[parameter, { ...each, scale: Math.abs(scale), of }] as const];
      }),
    );
  } catch {
    return null;
  }
}

function transformOf(response: Response | undefined, tensor: string): Transformed["transform"] {
  const { given, scale, dims, of } = response ?? { given: null, scale: 0, dims: [], of: new Map() };
  const made: ArrayLike<number> | undefined = of.get(tensor);
  if (given === null || made?.length !== given.length) return null;
  const isClose = closeness(scale);
  if (given.every((value, index) => isClose(value, made[index]))) return "clipping";
  const whole = given.length;
  const groupings = [
    { outer: 1, kept: 1, inner: whole },
    ...dims.map((kept, axis) => {
      const outer = dims.slice(0, axis).reduce((size, dim) => size * dim, 1);
      return { outer, kept, inner: whole / Math.max(1, outer * kept) };
    }),
  ];
  return groupings.some((grouping) => grouping.kept < whole && isCentralized(given, made, grouping, isClose))
    ? "centralization"
    : null;
}

type Closeness = (expected: number, made: number | undefined) => boolean;

const closeness =
  (scale: number): Closeness =>
  (expected, made) =>
    Math.abs(expected - (made ?? Number.NaN)) <= TOLERANCE * scale;

/** A tensor of three axes, whose means over the first and last were taken away. */
interface Grouping {
  readonly outer: number;
  readonly kept: number;
  readonly inner: number;
}

function isCentralized(
  given: Float64Array,
  made: ArrayLike<number>,
  { outer, kept, inner }: Grouping,
  isClose: Closeness,
): boolean {
  for (let group = 0; group < kept; group++) {
    let sum = 0;
    for (let first = 0; first < outer; first++) {
      const begin = (first * kept + group) * inner;
      for (let index = begin; index < begin + inner; index++) sum += given[index] ?? 0;
    }
    const mean = sum / (outer * inner);
    for (let first = 0; first < outer; first++) {
      const begin = (first * kept + group) * inner;
      for (let index = begin; index < begin + inner; index++)
        if (!isClose((given[index] ?? 0) - mean, made[index])) return false;
    }
  }
  return true;
}
