import type { Tensor } from "onnxruntime-common";
import type { Anatomy } from "../../analysis/find-optimizers/plain-step/anatomy.ts";
import { type FlatStep, valuesByName } from "../../analysis/find-optimizers/plain-step/flat-step.ts";
import type { DominatorTree } from "../../analysis/find-optimizers/plain-step/flow.ts";
import type { StatePair } from "../../analysis/find-optimizers/plain-step/pair-state.ts";
import { removeDeadNodes } from "../../edits/dead-nodes.ts";
import { isGradientType } from "../../graph/data-type.ts";
import { Value } from "../../graph/graph.ts";
import { encodeModel } from "../../graph/serde/encode.ts";
import type { OrtModule } from "../../runtime/ort-node/load.ts";
import type { NamedTensors } from "../../runtime/session.ts";
import { NO_LOG } from "../../runtime/session-options.ts";
import { randomInputs } from "../random-inputs.ts";
import { align } from "./alignment.ts";
import type { Match } from "./match.ts";
import type { Miss } from "./miss.ts";
import { numbersOf, type Question } from "./question.ts";

/** So many tensors are looked at for one parameter. */
const MOST = 64;

/**
 * Looks for the derivative of parameters among all tensors on the way to their renewals, where none that all data pass is it.
 * @returns what is known of those that stay without a match now, and the matches
 */
export async function lookAside(
  ort: OrtModule,
  flat: FlatStep,
  anatomy: Anatomy,
  flow: DominatorTree,
  question: Question,
  missing: readonly Miss[],
): Promise<{ readonly misses: readonly Miss[]; readonly matches: readonly Match[] }> {
  const { loss } = question;
  const aside = new Map(missing.map(({ pair }) => [pair.input.name, tensorsAside(flat, anatomy, flow, pair)]));
  const candidates = new Map(
    [...aside]
      .filter(([, values]) => values.length > 0)
      .map(([name, values]) => [name, values.map((each) => each.name)]),
  );
  const measured =
    candidates.size === 0
      ? "nothing is there"
      : await align(ort, { ...question, candidates: new Map([...question.candidates, ...candidates]) });
  if (typeof measured === "string") return { misses: [], matches: [] };
  const found = new Map<StatePair, Match>();
  const misses = missing.flatMap((miss): Miss[] => {
    const { pair } = miss;
    const { name } = pair.input;
    const alignments = measured.of.get(name);
    if (candidates.has(name) && alignments === undefined)
      return [{ ...miss, isZero: true, reason: `the derivative of "${loss}" with respect to it is zero` }];
    const tensor = aside.get(name)?.find((each) => alignments?.get(each.name)?.exact === true);
    if (tensor === undefined) return [];
    const cosine = alignments?.get(tensor.name)?.cosine ?? Number.NaN;
    const match = { pair, loss, tensor, raw: tensor, cosine, isExact: true, below: [], isMixed: true } as const;
    found.set(pair, { ...match, accumulators: [], summedIn: [] });
    const reason = `"${tensor.name}" is the derivative of "${loss}", and what else depends on the data reaches its renewal beside it`;
    return [{ ...miss, best: { tensor: tensor.name, cosine }, reason }];
  });
  const tensors = new Map([...found].map(([pair, { tensor }]) => [pair, tensor]));
  const alone = found.size === 0 ? new Set() : await reachedAlone(ort, flat, anatomy.data, tensors);
  return {
    misses: misses.filter(({ pair }) => !alone.has(pair)),
    matches: [...found.values()].filter(({ pair }) => alone.has(pair)),
  };
}

/** The tensors of a parameter's shape through which some of the data reach its renewal, the highest first. */
function tensorsAside({ graph }: FlatStep, anatomy: Anatomy, flow: DominatorTree, pair: StatePair): readonly Value[] {
  const shape = shapeOf(pair.input);
  const made = graph.nodes.flatMap(({ outputs }) => outputs).filter((value) => value !== null);
  return made
    .filter(
      (value) =>
        value !== pair.output &&
        shapeOf(value) === shape &&
        value.type?.kind === "tensor" &&
        isGradientType(value.type.dtype) &&
        flow.reaches(value) &&
        anatomy.leadsTo(value, [pair]),
    )
    .slice(0, MOST);
}

/** Rounding of a sum in another order. */
const TOLERANCE = 1e-6;

/**
 * Of the parameters those whose renewal the data reach through one tensor alone, though the graph mixes several on the way (flat
 * vectors, stacks): with that tensor held fast other data and other gradients leave the renewal as it was.
 * @param tensors the tensor of each
 */
async function reachedAlone(
  ort: OrtModule,
  { model }: FlatStep,
  data: readonly Value[],
  tensors: ReadonlyMap<StatePair, Value>,
): Promise<ReadonlySet<StatePair>> {
  const copy = model.clone();
  const values = valuesByName(copy.graph);
  const outputs = new Map(copy.graph.outputs.map((value) => [value.name, value]));
  const renewals = [...tensors.keys()].flatMap(({ output }) => outputs.get(output.name) ?? []);
  const given = new Map<StatePair, string>();
  for (const [pair, { name }] of tensors) {
    const value = values.get(name);
    if (value === undefined) continue;
    const fed = new Value(`${name} (held)`, value.type);
    value.replaceAllUsesWith(fed);
    copy.graph.inputs.push(fed);
    given.set(pair, fed.name);
  }
  copy.graph.replaceOutputs(renewals);
  removeDeadNodes(copy.graph);
  copy.graph.replaceInputs(copy.graph.inputs.filter(({ isUsed }) => isUsed));
  const [first, other] = [randomInputs(copy.graph, 1), randomInputs(copy.graph, 2)];
  if (typeof first === "string" || typeof other === "string") return new Set();
  const changed = [...data.map(({ name }) => name), ...given.values()];
  try {
    const session = await ort.InferenceSession.create(encodeModel(copy), NO_LOG);
    const base: NamedTensors = await session.run(first);
    const alone = new Set<StatePair>();
    for (const [pair, held] of given) {
      const moved = changed.filter((name) => name !== held && name in first);
      const feeds = { ...first, ...Object.fromEntries(moved.map((name) => [name, other[name]] as [string, Tensor])) };
      const results = await session.run(feeds);
      const [before, after] = [base, results].map((each) => numbersOf(each[pair.output.name]));
      if (
        before?.every(
          (value, at) => Math.abs(value - (after?.[at] ?? Number.NaN)) <= TOLERANCE * Math.max(1, Math.abs(value)),
        )
      )
        alone.add(pair);
    }
    await session.release();
    return alone;
  } catch {
    return new Set();
  }
}

const shapeOf = ({ type }: Value): string => (type?.kind === "tensor" ? (type.shape?.join() ?? "?") : "?");
