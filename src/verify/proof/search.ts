import { Anatomy, dependsOn, madeCopies, narrows } from "../../analysis/find-optimizers/plain-step/anatomy.ts";
import { type FlatStep, valuesByName } from "../../analysis/find-optimizers/plain-step/flat-step.ts";
import type { DominatorTree } from "../../analysis/find-optimizers/plain-step/flow.ts";
import { uncut } from "../../analysis/find-optimizers/plain-step/index.ts";
import { vectorLayers } from "../../analysis/find-optimizers/plain-step/layers.ts";
import type { StatePair } from "../../analysis/find-optimizers/plain-step/pair-state.ts";
import { isGradientType } from "../../graph/data-type.ts";
import type { Value } from "../../graph/graph.ts";
import { valuesReadBy } from "../../graph/model.ts";
import type { OrtModule } from "../../runtime/ort-node/load.ts";
import { accumulatorsOf } from "./accumulators.ts";
import { type Alignment, type Alignments, align } from "./alignment.ts";
import { lookAside } from "./aside.ts";
import type { OtherState, Proof, ProofOptions, ProvenParameter } from "./index.ts";
import { type Match, matchOf, PROVEN_COSINE } from "./match.ts";
import { type Miss, missOf, unprovenOf } from "./miss.ts";
import type { Question } from "./question.ts";
import { stackOf } from "./stack.ts";
import { transformsOf } from "./transforms.ts";

/** Losses are tried until every parameter is matched; a later one may read what an earlier one renewed. */
const ROUNDS = 2;

export class Search {
  readonly #ort: OrtModule;
  readonly #flat: FlatStep;
  readonly #pairs: readonly StatePair[];
  readonly #losses: readonly Value[];
  readonly #options: ProofOptions;
  readonly #seed: number;
  /** Where names and data flow alone say that gradients are, by parameter. */
  readonly #rules: () => ReadonlyMap<string, string>;
  readonly #matches = new Map<StatePair, Match>();
  readonly #misses = new Map<StatePair, Miss>();
  readonly #used = new Map<Value, Anatomy>();
  #precision: Alignments["precision"] | null = null;
  #method: Alignments["method"] | null = null;
  #isCrossChecked = true;
  #reason: string | null = null;

  constructor(
    ort: OrtModule,
    flat: FlatStep,
    pairs: readonly StatePair[],
    losses: readonly Value[],
    options: ProofOptions,
    seed: number,
    rules: () => ReadonlyMap<string, string>,
  ) {
    this.#ort = ort;
    this.#flat = flat;
    this.#pairs = pairs;
    this.#losses = losses;
    this.#options = options;
    this.#seed = seed;
    this.#rules = rules;
  }

  async run(): Promise<Omit<Proof, "inferred">> {
    for (let round = 0; round < ROUNDS; round++) {
      const before = this.#matches.size;
      for (const loss of this.#losses) if (!this.#isSettled()) await this.#examine(loss);
      if (this.#matches.size === before) break;
    }
    return this.#proof();
  }

  /** Whether every state is a matched parameter, or a slot or average of such. */
  #isSettled(): boolean {
    const anatomies = [...this.#used.values()];
    return (
      anatomies.length > 0 &&
      this.#pairs.every(
        (pair) =>
          this.#matches.get(pair)?.isExact === true ||
          this.#isAverage(pair) ||
          anatomies.every((anatomy) => !anatomy.isParameter(pair) && this.#leadsToMatch(anatomy, pair)),
      )
    );
  }

  /** What one loss takes for a statistic may be what another trains. */
  #isAverage(pair: StatePair): boolean {
    const miss = this.#misses.get(pair);
    return miss?.reason === null && miss.isStatistic !== true;
  }

  #leadsToMatch(anatomy: Anatomy, pair: StatePair): boolean {
    return anatomy.leadsTo(
      pair.input,
      anatomy.parameters.filter((each) => this.#matches.has(each)),
    );
  }

  async #examine(loss: Value): Promise<void> {
    const constants = new Set([...this.#matches.keys()].flatMap(({ output }) => madeCopies(output)));
    const anatomy = new Anatomy(this.#flat.graph, this.#pairs, [loss], { constants });
    const isSlot = (pair: StatePair): boolean =>
      [...this.#used.values()].some((used) => !used.isParameter(pair) && this.#leadsToMatch(used, pair));
    const isZero = (pair: StatePair): boolean => {
      const miss = this.#misses.get(pair);
      return miss?.isZero === true && miss.loss === loss.name;
    };
    const wanted = anatomy.parameters.filter(
      (pair) =>
        !isZero(pair) &&
        this.#matches.get(pair)?.isExact !== true &&
        !isSlot(pair) &&
        isGradientType(elementType(pair.input)),
    );
    if (wanted.length === 0) return;
    const found = await accumulatorsOf(this.#ort, this.#flat, anatomy);
    // What a branch adds up is handed to an optimizer as a whole (optax.MultiSteps): AGR stands before it, on each gradient.
    const isBranch = ({ output }: StatePair): boolean => this.#flat.originOf(output)?.producer?.opType === "If";
    const sums = new Set([...found].filter((sum) => !isBranch(sum)));
    const summed = [...sums].map(({ input }) => input);
    // Without the ways of scalars what lies before a clipping by norm is a candidate too: the last choice, or with "raw" the first.
    const order = this.#options.at === "raw" ? [false, true] : [true, false];
    const ways = order.map((scalars) => anatomy.dominators({ scalars, sums: summed }));
    const flow = ways[order.indexOf(true)];
    const isFit = (pair: StatePair, value: Value): boolean =>
      shapeOf(value) === shapeOf(pair.input) &&
      isGradientType(elementType(value)) &&
      this.#flat.originOf(value) !== null;
    const plans = wanted.map((pair) => {
      const slots = anatomy.slotsOf(pair);
      const feeders = anatomy.feedersOf(pair);
      const accumulators = feeders.filter((slot) => sums.has(slot)).map(({ input }) => input);
      const group = [pair, ...slots.filter((slot) => !sums.has(slot))];
      const chains = ways.map((each) => narrows(each, group).filter((value) => isFit(pair, value)));
      const summedIn = feeders.filter((slot) => found.has(slot) && !sums.has(slot)).map(({ input }) => input.name);
      return { pair, slots, accumulators, summedIn, chains };
    });
    const candidates = new Map(
      plans.map(({ pair, chains }) => [pair.input.name, [...new Set(chains.flat())].map(({ name }) => name)]),
    );
    const question: Question = {
      step: this.#flat.model,
      loss: loss.name,
      candidates,
      constants: [...constants].map(({ name }) => name),
      state: new Set(this.#pairs.map(({ input }) => input.name)),
      zeros: new Set(summed.map(({ name }) => name)),
      seed: this.#seed,
    };
    const measured = await align(this.#ort, question);
    if (typeof measured === "string") {
      this.#reason ??= measured;
      return;
    }
    this.#reason ??= measured.reason;
    this.#precision ??= measured.precision;
    if (measured.precision === "float32") this.#precision = "float32";
    if (this.#method !== "differences") this.#method = measured.method;
    this.#isCrossChecked &&= measured.isCrossChecked;
    this.#used.set(loss, anatomy);
    for (const { pair, slots, accumulators, summedIn, chains } of plans) {
      const isAverage = flow?.reaches(pair.output) !== true;
      const alignments = measured.of.get(pair.input.name) ?? new Map<string, Alignment>();
      const cut = vectorLayers(pair.input);
      const uncutReason = cut !== null && "reason" in cut ? uncut(cut.reason) : null;
      const readsParameter = ({ producer }: Value): boolean =>
        producer !== null &&
        valuesReadBy(producer).some(
          (read) => shapeOf(read) === shapeOf(pair.input) && !flow?.reaches(read) && dependsOn(read, [pair.input]),
        );
      const match = isAverage || uncutReason !== null ? null : matchOf(chains, alignments, readsParameter);
      if (uncutReason !== null && !isAverage) {
        const [best = null] = chains.flatMap((chain) => matchOf([chain], alignments, readsParameter) ?? []);
        const nearest = best === null ? null : { tensor: best.tensor.name, cosine: best.cosine };
        this.#misses.set(pair, { pair, loss: loss.name, best: nearest, reason: uncutReason, role: "" });
      } else if (match !== null && (match.isExact || !this.#matches.has(pair))) {
        const names = accumulators.map(({ name }) => name);
        this.#matches.set(pair, { pair, loss: loss.name, accumulators: names, summedIn, ...match });
        this.#misses.delete(pair);
      } else if (!this.#matches.has(pair) && this.#isOpen(pair)) {
        this.#misses.set(
          pair,
          missOf(anatomy, loss, pair, slots, isAverage, alignments, () => this.#ruled(pair)),
        );
      }
    }
    if (flow !== undefined) await this.#lookAside(anatomy, flow, question);
  }

  /** Whether a loss may still say something new of a parameter without a match. */
  #isOpen(pair: StatePair): boolean {
    const miss = this.#misses.get(pair);
    return miss === undefined || miss.isZero === true || this.#isAverage(pair);
  }

  /** Of parameters without a match: the derivative off the way that all data pass, or that it is zero. */
  async #lookAside(anatomy: Anatomy, flow: DominatorTree, question: Question): Promise<void> {
    const missing = [...this.#misses.values()].filter(
      ({ pair, loss, reason, role }) =>
        loss === question.loss && reason !== null && role === "" && vectorLayers(pair.input) === null,
    );
    const { misses, matches } = await lookAside(this.#ort, this.#flat, anatomy, flow, question, missing);
    for (const miss of misses) this.#misses.set(miss.pair, miss);
    for (const match of matches) {
      this.#matches.set(match.pair, match);
      this.#misses.delete(match.pair);
    }
  }

  /** The tensor that a person may name: what the data flow says, else the derivative. */
  #flagFor({ input }: StatePair, best: Miss["best"]): string | null {
    const isNear = best !== null && Math.abs(best.cosine) >= PROVEN_COSINE;
    return this.#rules().get(input.name) ?? (isNear ? best.tensor : null);
  }

  #ruled({ input }: StatePair): Value | undefined {
    return valuesByName(this.#flat.graph).get(this.#rules().get(input.name) ?? "");
  }

  /** What is zero cannot be compared: there the data flow alone says which the gradient is. */
  #takeZeros(): void {
    for (const { pair, loss, isZero } of [...this.#misses.values()]) {
      const tensor = isZero === true ? this.#ruled(pair) : undefined;
      if (tensor === undefined) continue;
      const match = { pair, loss, tensor, raw: tensor, cosine: null, isExact: false, below: [] };
      this.#matches.set(pair, { ...match, accumulators: [], summedIn: [] });
      this.#misses.delete(pair);
    }
  }

  async #proof(): Promise<Omit<Proof, "inferred">> {
    this.#takeZeros();
    const { gradient = [], at = "transformed" } = this.#options;
    const told = new Map(gradient.map((each) => [each.slice(each.indexOf("=") + 1), each.slice(0, each.indexOf("="))]));
    const matches = [...this.#matches.values()].filter(({ pair }) => !told.has(pair.input.name));
    const transforms =
      at === "raw"
        ? new Map<string, readonly { readonly tensor: string; readonly transform: string }[]>()
        : await transformsOf(
            this.#ort,
            this.#flat.model,
            matches.map(({ pair, tensor, raw, below }) => ({
              parameter: pair.input.name,
              gradient: tensor.name,
              raw: elementType(raw) === elementType(tensor) ? raw.name : tensor.name,
              below: below.map(({ name }) => name),
            })),
          );
    const found = this.#pairs.flatMap((pair): ProvenParameter[] => {
      const parameter = pair.input.name;
      const named = told.get(parameter);
      const match = this.#matches.get(pair);
      if (named === undefined && match === undefined) return [];
      const isTold = named !== undefined;
      const passed = isTold ? [] : (transforms.get(parameter) ?? []);
      const tensor = named ?? passed.at(-1)?.tensor ?? match?.tensor.name ?? "";
      const isMatch = match !== undefined && (!isTold || named === match.tensor.name);
      return [
        {
          parameter,
          gradient: tensor,
          loss: isMatch && match.cosine !== null ? match.loss : null,
          cosine: isMatch ? match.cosine : null,
          transforms: passed.flatMap(({ transform }) => transform ?? []),
          accumulators: isMatch ? match.accumulators : [],
          summedIn: isMatch ? match.summedIn : [],
          layers: stackOf(pair.input),
          isMixed: isMatch && match.isMixed === true,
          told: isTold,
        },
      ];
    });
    const misses = [...this.#misses.values()].filter(({ pair }) => !told.has(pair.input.name));
    const unproven = misses.flatMap((miss) => unprovenOf(miss, this.#flagFor(miss.pair, miss.best)));
    const other = misses.flatMap(({ pair, reason, role, isStatistic = false }): OtherState[] =>
      reason === null ? [{ state: pair.input.name, reason: role, isStatistic }] : [],
    );
    return {
      precision: this.#precision,
      method: this.#method,
      isCrossChecked: this.#method !== null && this.#isCrossChecked,
      reason: this.#reason,
      losses: [...new Set(found.flatMap(({ loss }) => loss ?? []))],
      parameters: found,
      unproven,
      otherState: other,
      options: {
        state: this.#options.state ?? [],
        gradient: found.map(({ parameter, gradient: tensor }) => `${tensor}=${parameter}`),
        trainable: found.map(({ parameter }) => parameter),
      },
    };
  }
}

const elementType = ({ type }: Value): number => (type?.kind === "tensor" ? type.dtype : 0);
const shapeOf = ({ type }: Value): string => (type?.kind === "tensor" ? (type.shape?.join() ?? "?") : "?");
