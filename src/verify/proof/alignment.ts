import type { Tensor } from "onnxruntime-common";
import { valuesByName } from "../../analysis/find-optimizers/plain-step/flat-step.ts";
import { GradientError } from "../../errors.ts";
import { DataType } from "../../graph/data-type.ts";
import type { Model } from "../../graph/model.ts";
import { Names } from "../../graph/names.ts";
import { tensorType } from "../../graph/value-type.ts";
import { Builder } from "../../ops/builder.ts";
import { Formula } from "../../ops/formula.ts";
import { inferTypes } from "../../ops/inference/infer-types.ts";
import { addGradients } from "../../passes/add-gradients.ts";
import { explain } from "../../runtime/ort-errors.ts";
import type { OrtModule } from "../../runtime/ort-node/load.ts";
import type { NamedTensors } from "../../runtime/session.ts";
import { randomFloats } from "../random-inputs.ts";
import { Difference, slopeAlong } from "./difference.ts";
import { dotOf, movedAlong, piecesOf, sumInPieces, unit } from "./directions.ts";
import { draw, SIGNS } from "./draw.ts";
import {
  fedConstants,
  numbersOf,
  only,
  open,
  type Precision,
  prepare,
  prepareLoss,
  type Question,
  STEPS,
} from "./question.ts";

/** How one tensor lies to the derivative. */
export interface Alignment {
  /** The cosine that is farthest from 1 or -1, of all draws. */
  readonly cosine: number;
  /** Whether it is the derivative but for a factor and for rounding. */
  readonly exact: boolean;
}

export interface Alignments {
  readonly precision: Precision;
  /** The whole derivative by reverse mode, or its products with random directions by central differences. */
  readonly method: "gradients" | "differences";
  /** Why not by reverse mode in float64; null where it was. */
  readonly reason: string | null;
  /** Whether the derivative by reverse mode was compared with a central difference. */
  readonly isCrossChecked: boolean;
  /** By parameter, then by tensor; nothing where the derivative was zero in every draw. */
  readonly of: ReadonlyMap<string, ReadonlyMap<string, Alignment>>;
}

/** Draws that have to agree, and how many are tried for them: some are no numbers, or leave a parameter without a gradient. */
const DRAWS = 2;
const ATTEMPTS = 8;
/** Random directions per parameter, where the derivative is known by differences alone. */
const DIRECTIONS = 8;
/** Angle below which two tensors are the same but for a factor. */
const ANGLES = { float64: 1e-4, float32: 2e-3 } as const;
/** Rounding of products by differences, as an angle. */
const DIFFERENCE_ANGLES = { float64: 1e-3, float32: 0.1 } as const;
/** Norms below are those of zeros. */
const SMALLEST = 1e-60;
/** Norms below this share of the largest are rounding. */
const NEGLIGIBLE = { float64: 1e-12, float32: 1e-5 } as const;

/** Runs the step on random inputs. @returns why it does not run, where it does not */
export async function align(ort: OrtModule, question: Question): Promise<Alignments | string> {
  let reason: string | null = null;
  for (const method of ["gradients", "differences"] as const) {
    for (const precision of precisionsFor(question)) {
      try {
        const found = await (method === "gradients" ? byGradients : byDifferences)(ort, question, precision);
        return { precision, method, reason, ...found };
      } catch (cause) {
        reason ??= cause instanceof GradientError ? cause.message : explain(cause).reason;
        if (cause instanceof GradientError) break;
      }
    }
  }
  return reason ?? "it gave no reason";
}

/** float64 takes twice the memory and, of products of matrices, more than twice the time. */
const MOST_IN_DOUBLE = 4_000_000;

function precisionsFor({ step, candidates }: Question): readonly Precision[] {
  const sizes = step.graph.inputs.map(({ name, type }) => {
    const shape = candidates.has(name) && type?.kind === "tensor" ? (type.shape ?? []) : [0];
    return shape.reduce<number>((size, dim) => size * (typeof dim === "number" ? dim : 1), 1);
  });
  return sizes.reduce((sum, size) => sum + size, 0) > MOST_IN_DOUBLE ? ["float32"] : ["float64", "float32"];
}

interface Observation {
  readonly cosine: number;
  readonly angle: number;
}

type Observed = Map<string, Map<string, Observation[]>>;

type Found = Pick<Alignments, "of" | "isCrossChecked">;

/** @throws GradientError where the derivative is not what a central difference of the loss comes to */
async function byGradients(ort: OrtModule, question: Question, precision: Precision): Promise<Found> {
  const { model, values, loss, constants } = prepare(question);
  const parameters = [...question.candidates.keys()].flatMap((name) => values.get(name) ?? []);
  const gradients = addGradients(model, loss, parameters, inferTypes(model), {
    constants: new Set(constants),
  });
  const build = new Builder({ prefix: "proof", names: new Names(model) });
  const f = new Formula(build, model.opset);
  const outputs = new Map<string, { readonly parameter: string; readonly candidate: string }>();
  for (const [parameter, gradient] of gradients) {
    const pieces = piecesOf(parameter);
    const reference = unit(f, gradient, pieces);
    for (const candidate of question.candidates.get(parameter.name) ?? []) {
      const value = values.get(candidate);
      if (value === undefined) continue;
      const tensor = unit(f, value, pieces);
      const dot = sumInPieces(f, f.mul(tensor.direction, reference.direction));
      const sign = f.emit("Sign", [dot]);
      const gap = sumInPieces(f, f.square(f.sub(tensor.direction, f.mul(sign, reference.direction))));
      const parts = [dot, gap, tensor.size, reference.size].map((part) => f.reshape(part, [1]));
      const result = f.concat(parts, 0);
      result.type = tensorType(DataType.float);
      outputs.set(result.name, { parameter: parameter.name, candidate });
    }
  }
  const slope = slopeAlong(f, gradients);
  model.graph.append(build.nodes);
  const made = valuesByName(model.graph);
  const wanted = [...outputs.keys()].flatMap((name) => made.get(name) ?? []);
  model.graph.replaceOutputs([...new Set([loss, slope, ...wanted, ...constants])]);
  const session = await open(ort, model, precision);
  const difference = await Difference.open(ort, question, precision);
  try {
    const of = await observe(question, model, precision, ANGLES[precision], async (feeds, observed) => {
      const results = await session.run(feeds);
      const numbers = [...outputs].map(([name, about]) => ({ about, is: numbersOf(results[name]) }));
      const largest = Math.max(...numbers.map(({ is }) => (Number.isFinite(is[3]) ? (is[3] ?? 0) : 0)));
      for (const { about, is } of numbers) {
        const [dot = Number.NaN, gap = Number.NaN, , norm = Number.NaN] = is;
        if (!(norm > Math.max(NEGLIGIBLE[precision] * largest, SMALLEST))) continue;
        // What is zero has no direction.
        const angle = dot === 0 ? Math.PI / 2 : Math.sqrt(gap);
        record(observed, about.parameter, about.candidate, { cosine: dot, angle });
      }
      const at = numbersOf(results[loss.name])[0] ?? Number.NaN;
      if (Number.isFinite(at))
        await difference.compare(
          { ...feeds, ...fedConstants(results, constants) },
          at,
          numbersOf(results[slope.name])[0],
        );
      return at;
    });
    difference.require(loss.name);
    return { of, isCrossChecked: difference.isCompared };
  } finally {
    await session.release();
    await difference.release();
  }
}

async function byDifferences(ort: OrtModule, question: Question, precision: Precision): Promise<Found> {
  const probe = prepare(question);
  const names = [...new Set([...question.candidates.values()].flat())];
  const tensors = names.flatMap((name) => probe.values.get(name) ?? []);
  probe.model.graph.replaceOutputs([...new Set([probe.loss, ...tensors, ...probe.constants])]);
  const lossOnly = prepareLoss(question);
  lossOnly.model.graph.replaceOutputs([lossOnly.loss]);
  const session = await open(ort, probe.model, precision);
  const losses = await open(ort, lossOnly.model, precision);
  try {
    const of = await observe(
      question,
      probe.model,
      precision,
      DIFFERENCE_ANGLES[precision],
      async (feeds, observed) => {
        const results = await session.run(feeds);
        const fed = only({ ...feeds, ...fedConstants(results, probe.constants) }, losses.inputNames);
        const lossAt = async (parameter: string, moved: Tensor): Promise<number> =>
          numbersOf((await losses.run({ ...fed, [parameter]: moved }))[probe.loss.name])[0] ?? Number.NaN;
        for (const [parameter, candidates] of question.candidates) {
          const at = fed[parameter];
          if (at === undefined) continue;
          const directions = Array.from({ length: Math.min(DIRECTIONS, at.size) }, (_, index) =>
            randomFloats(at.size, 104_729 * (index + 1) + question.seed, (value) => value),
          );
          const slopes: number[] = [];
          for (const direction of directions) {
            const step = STEPS[precision];
            const after = await lossAt(parameter, movedAlong(at, direction, step));
            const before = await lossAt(parameter, movedAlong(at, direction, -step));
            slopes.push((after - before) / (2 * step));
          }
          if (!slopes.some((slope) => Math.abs(slope) > 0)) continue;
          for (const candidate of candidates) {
            const products = directions.map((direction) => dotOf(results[candidate], direction));
            const cosine = cosineOf(products, slopes);
            record(observed, parameter, candidate, { cosine, angle: Math.acos(Math.min(1, Math.abs(cosine))) });
          }
        }
        return numbersOf(results[probe.loss.name])[0] ?? Number.NaN;
      },
    );
    return { of, isCrossChecked: false };
  } finally {
    await session.release();
    await losses.release();
  }
}

/** Runs draws until enough of them gave a finite loss and told something of every parameter. */
async function observe(
  { candidates, state, zeros, seed }: Question,
  { graph }: Model,
  precision: Precision,
  angle: number,
  run: (feeds: NamedTensors, observed: Observed) => Promise<number>,
): Promise<Alignments["of"]> {
  const observed: Observed = new Map();
  let finite = 0;
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    const isKnown = [...candidates.keys()].every((name) => observed.has(name));
    if (finite >= DRAWS && (isKnown || attempt >= SIGNS.length)) break;
    const feeds = draw(graph, state, zeros, SIGNS.length * seed + attempt);
    if (typeof feeds === "string") throw new Error(feeds);
    const seen: Observed = new Map();
    const loss = await run(feeds, seen);
    if (!Number.isFinite(loss)) continue;
    finite++;
    for (const [parameter, tensors] of seen) {
      for (const [tensor, observations] of tensors) {
        for (const each of observations) record(observed, parameter, tensor, each);
      }
    }
  }
  if (finite === 0) throw new Error(`the loss is no finite number on random inputs, in ${precision}`);
  return new Map(
    [...observed].map(([parameter, tensors]) => [
      parameter,
      new Map(
        [...tensors].map(([tensor, observations]): [string, Alignment] => {
          const exact = observations.every((each) => each.angle <= angle);
          const size = ({ cosine }: Observation): number => (Number.isNaN(cosine) ? 0 : Math.abs(cosine));
          const worst = observations.toSorted((a, b) => size(a) - size(b))[0];
          return [tensor, { cosine: worst?.cosine ?? Number.NaN, exact }];
        }),
      ),
    ]),
  );
}

function record(observed: Observed, parameter: string, tensor: string, observation: Observation): void {
  const tensors = observed.get(parameter) ?? new Map<string, Observation[]>();
  tensors.set(tensor, [...(tensors.get(tensor) ?? []), observation]);
  observed.set(parameter, tensors);
}

function cosineOf(a: readonly number[], b: readonly number[]): number {
  const dot = (x: readonly number[], y: readonly number[]): number =>
    x.reduce((sum, value, index) => sum + value * (y[index] ?? 0), 0);
  return dot(a, b) / Math.sqrt(dot(a, a) * dot(b, b));
}
