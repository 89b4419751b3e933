import { Tensor } from "onnxruntime-common";
import type { Plan } from "../../artifacts/portable/plan.ts";
import { numbersOf } from "../ort-tensor.ts";
import type { NamedTensors } from "../session.ts";
import type { Program } from "./program.ts";
import type { Programs } from "./programs.ts";
import type { ReadyStep } from "./separated.ts";
import type { SessionState } from "./session-state.ts";
import type { ReadyGradients } from "./sharded-gradients.ts";
import { Stack } from "./stack.ts";
import type { Renewals } from "./state-store.ts";
import { StepNumbers } from "./step-numbers.ts";
import type { StepPrograms } from "./step-programs.ts";

/** What one call of several steps takes of batches at most: their bytes, and how many. */
const MOST_IN_CALL = { bytes: 2 ** 24, steps: 16 };

/** Those of the batches that one call takes: they are copied before its first step begins. */
function togetherOf(batches: readonly NamedTensors[]): readonly NamedTensors[] {
  let bytes = 0;
  const end = batches.findIndex((batch, index) => {
    for (const { data } of Object.values(batch)) bytes += "byteLength" in data ? data.byteLength : 0;
    return index > 0 && (index >= MOST_IN_CALL.steps || bytes > MOST_IN_CALL.bytes);
  });
  return end === -1 ? batches : batches.slice(0, end);
}

/** Runs the programs of a session on its state, and makes what they renewed the state. */
export class StepRunner {
  /** The learning rate of an update counted from 1. */
  rate: (step: number) => number;
  readonly #programs: Programs;
  readonly #state: SessionState;
  readonly #stack = new Stack();
  readonly #numbers = new StepNumbers();

  constructor(programs: Programs, state: SessionState, rate: (step: number) => number) {
    this.#programs = programs;
    this.#state = state;
    this.rate = rate;
  }

  /** Forward and backward: the gradients take the place of those accumulated, or are added to them. */
  async accumulate(feeds: NamedTensors, outputs: readonly string[]): Promise<NamedTensors> {
    const { ran, commit } = await this.#backward(feeds, outputs);
    commit(ran.renewals);
    return ran.outputs;
  }

  /** Forward and backward, to look at: the gradients take the place of those accumulated, running statistics stay. */
  async look(feeds: NamedTensors): Promise<void> {
    this.#state.resets = true;
    const { ran, program, commit } = await this.#backward(feeds, []);
    const sums = new Set(program.plan.gradients.map(([, sum]) => sum));
    commit(ran.renewals.filter(([name]) => sums.has(name)));
    const others = ran.renewals.filter(([name]) => !sums.has(name));
    this.#state.store.discard(others, ran.outputs);
  }

  async #backward(feeds: NamedTensors, outputs: readonly string[]) {
    const steps = this.#programs.stepsFor(feeds);
    const { resets, store } = this.#state;
    if (!resets || steps.overwriting === null) store.unplace?.();
    const inParts = await steps.shardedGradients?.prepare(store, resets, outputs);
    const { program, run } = inParts ?? this.#wholeGradients(steps);
    const ran = await run(feeds, outputs);
    return { program, ran, commit: (renewals: Renewals): void => store.commit(renewals, ran.outputs) };
  }

  /** The model that computes the gradients of a whole batch. */
  #wholeGradients({ overwriting, adding, gradients }: StepPrograms): ReadyGradients {
    const { resets, store } = this.#state;
    const program = (resets ? overwriting : adding) ?? gradients ?? this.#programs.first;
    const { reset } = program.plan;
    const flag = reset === null ? {} : { [reset]: new Tensor("bool", Uint8Array.of(resets ? 1 : 0), [1]) };
    return { program, run: (feeds, outputs) => program.run({ ...feeds, ...flag }, store, outputs) };
  }

  /** The optimizer's update. */
  async update(apply: Program, gradientOf: (parameter: string) => Tensor): Promise<void> {
    if (apply.renewals.length === 0) {
      this.#state.steps++;
      return;
    }
    const gradients = apply.plan.gradients.map(([parameter, input]) => [input, gradientOf(parameter)] as const);
    const scalarsOf = (plan: Plan): NamedTensors => this.#scalars(plan, [this.rate(this.#state.steps + 1)]);
    const { store } = this.#state;
    const separated = apply === this.#programs.apply ? this.#programs.separatedApply : null;
    const step = (await separated?.prepare(store)) ?? this.#whole(apply);
    const ran = await step.run(Object.fromEntries(gradients), scalarsOf, []);
    store.commit(ran.renewals, ran.outputs);
    this.#state.steps++;
  }

  /**
   * Whole steps, in one call where there is a program for it and the batches are alike; ends after a loss that is not finite.
   * @param rates one per batch. Default: the session's own
   */
  async train(batches: readonly NamedTensors[], rates?: readonly number[]): Promise<readonly number[]> {
    const all = rates ?? batches.map((_, index) => this.rate(this.#state.steps + index + 1));
    const losses: number[] = [];
    for (let at = 0; at < batches.length && losses.every(Number.isFinite); ) {
      const steps = this.#programs.stepsFor(batches[at] ?? {});
      const other = batches.findIndex((feeds, index) => index > at && this.#programs.stepsFor(feeds) !== steps);
      const end = other === -1 ? batches.length : other;
      losses.push(...(await this.#trainBy(steps, batches.slice(at, end), all.slice(at, end))));
      at = end;
    }
    return losses;
  }

  /** Whole steps by the same models. */
  async #trainBy(
    steps: StepPrograms,
    batches: readonly NamedTensors[],
    rates: readonly number[],
  ): Promise<readonly number[]> {
    const { repeated, separated, trainStep } = steps;
    const together = repeated === null || batches.length === 1 ? null : this.#stack.of(batches);
    if (repeated !== null && together !== null) return this.#advance(this.#whole(repeated), together, rates);
    const losses: number[] = [];
    for (let at = 0; at < batches.length && losses.every(Number.isFinite); ) {
      const isWhole = separated.sharded === null && separated.trainStep === null;
      const step = isWhole ? this.#whole(this.#programs.requireOptimizer(trainStep)) : await this.#stepFor(steps);
      const next = step.runSteps === null ? batches.slice(at, at + 1) : togetherOf(batches.slice(at));
      const own = rates.slice(at, at + next.length);
      const [feeds = {}] = next;
      losses.push(
        ...(step.runSteps === null
          ? await this.#advance(step, feeds, own)
          : await this.#follow(step.runSteps, next, own)),
      );
      at += next.length;
    }
    return losses;
  }

  /** Runs whole steps, one after the other in one call. @throws BackendError `E_RUN`, once those before are counted */
  async #follow(
    runSteps: NonNullable<ReadyStep["runSteps"]>,
    batches: readonly NamedTensors[],
    rates: readonly number[],
  ): Promise<readonly number[]> {
    const first = this.#state.steps + 1;
    const { losses, error } = await runSteps(
      batches.map((feeds, index) => ({
        feeds,
        scalarsOf: (plan) => new StepNumbers().of(plan, rates.slice(index, index + 1), first + index),
      })),
    );
    const made = losses.filter((each) => each.every(Number.isFinite)).length;
    this.#state.steps += made;
    if (made > 0) this.#state.resets = true;
    if (error !== null) throw error;
    return losses.flat();
  }

  /** The way to a step that costs least of those that can be gone. */
  async #stepFor({ separated, trainStep }: StepPrograms): Promise<ReadyStep> {
    const { store } = this.#state;
    const inPlace = (await separated.sharded?.prepare(store)) ?? (await separated.trainStep?.prepare(store));
    return inPlace ?? this.#whole(this.#programs.requireOptimizer(trainStep));
  }

  /** A model that computes a step or steps, and updates what it trains. */
  #whole(program: Program): ReadyStep {
    const { store } = this.#state;
    return {
      program,
      run: (feeds, scalarsOf, wanted) =>
        program.run({ ...feeds, ...scalarsOf(program.plan) }, store, wanted, { lends: true }),
      runSteps: null,
    };
  }

  /** Runs whole steps; what they renewed becomes the state where every loss is finite. */
  async #advance(step: ReadyStep, feeds: NamedTensors, rates: readonly number[]): Promise<readonly number[]> {
    const [loss = ""] = step.program.plan.outputs;
    const { store } = this.#state;
    const { outputs, renewals } = await step.run(feeds, (plan) => this.#scalars(plan, rates), [loss]);
    const losses = outputs[loss] === undefined ? [] : numbersOf(outputs[loss]);
    if (!losses.every(Number.isFinite)) {
      store.discard(renewals, outputs);
      return losses;
    }
    store.commit(renewals, outputs);
    this.#state.steps += losses.length;
    this.#state.resets = true;
    return losses;
  }

  /** As they are until the next time. */
  #scalars(plan: Plan, rates: readonly number[]): NamedTensors {
    return this.#numbers.of(plan, rates, this.#state.steps + 1);
  }
}
