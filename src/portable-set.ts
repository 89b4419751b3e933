import { valueRanges } from "./analysis/value-ranges.ts";
import { type Plan, type Role, writePlan } from "./artifacts/portable/plan.ts";
import type { PortableArtifacts } from "./artifacts/portable/portable-artifacts.ts";
import { Model } from "./graph/model.ts";
import type { ValueRange } from "./graph/value-range.ts";
import { gradientSteps } from "./optim/gradient-steps.ts";
import type { ParameterGroup } from "./optim/parameter-groups.ts";
import { insertAgr } from "./passes/insert-agr/index.ts";
import type { InsertAgrOptions } from "./passes/insert-agr/options.ts";
import { toEvaluation } from "./passes/portable/evaluation.ts";
import { toGradients } from "./passes/portable/gradients.ts";
import { lookaheadFor, makeApply, type OptimizerSource, toTrainStep } from "./passes/portable/optimizer.ts";
import type { StateTensor, StepModel } from "./passes/portable/step-model.ts";
import { copyTrainingGraph, type TrainingGraph } from "./passes/training-graph.ts";

export interface PortableSetOptions {
  /** Null: the set has no optimizer. */
  readonly optimizer: OptimizerSource | null;
  /** AGR to put before the optimizer; null: none. */
  readonly agr: InsertAgrOptions | null;
  readonly groups: readonly ParameterGroup[];
}

/** The models of a portable set, and the state that its step takes: the gradients' where there is no optimizer. */
export interface PortableSet extends Omit<PortableArtifacts, "state"> {
  readonly planned: readonly StateTensor[];
}

/**
 * Writes a training graph as a portable set. The models it is given are changed.
 * @param evaluation takes the training graph's parameters and constants by their names
 * @throws as the passes of `passes/portable`
 */
export function makePortableSet(
  training: TrainingGraph,
  evaluation: Model | null,
  { optimizer, agr, groups }: PortableSetOptions,
): PortableSet {
  const ranges = valueRanges(training.model);
  const names = (values: readonly { readonly name: string }[]): ReadonlySet<string> =>
    new Set(values.map(({ name }) => name));
  const [trainable, constants] = [
    names(training.parameters.map(({ parameter }) => parameter)),
    names(training.constants),
  ];
  const lookahead = optimizer === null ? null : lookaheadFor(optimizer);
  const gradients = planned(toGradients(copyTrainingGraph(training), lookahead), "gradients", ranges);
  const carry = training.carried.map(({ input, next }) => [input.name, next.name] as const);
  const evalModel = evaluation === null ? null : evalModelOf(evaluation, trainable, constants, carry);
  if (optimizer === null) {
    return { trainStep: null, gradients: gradients.model, apply: null, evalModel, planned: gradients.state };
  }
  const again = optimizer instanceof Model ? optimizer.clone() : optimizer;
  const apply = planned(makeApply(training, again, groups), "apply", new Map());
  const trainStep = planned(toTrainStep(training, optimizer, groups), "train_step", ranges);
  const wanted = agr ?? agrOf(optimizer);
  if (wanted !== null) for (const { model } of [apply, trainStep]) insertAgr(model, wanted);
  return {
    trainStep: trainStep.model,
    gradients: gradients.model,
    apply: apply.model,
    evalModel,
    planned: trainStep.state,
  };
}

function evalModelOf(
  model: Model,
  trainable: ReadonlySet<string>,
  constants: ReadonlySet<string>,
  carried: NonNullable<Plan["carried"]>,
): Model {
  const ranges = valueRanges(model);
  return planned(toEvaluation(model, trainable, constants), "eval", ranges, carried).model;
}

/** @param ranges what numbers inputs take: the model that the step was made of has losses and tables that say so */
function planned(
  step: StepModel,
  role: Role,
  ranges: ReadonlyMap<string, ValueRange>,
  carried: NonNullable<Plan["carried"]> = [],
): StepModel {
  const { model, ...plan } = step;
  writePlan(model, {
    ...{ role, ...plan },
    ...(ranges.size === 0 ? {} : { ranges: [...ranges] }),
    ...(carried.length === 0 ? {} : { carried }),
  });
  return step;
}

/** A list of transforms may have AGR in it. */
function agrOf(optimizer: OptimizerSource): InsertAgrOptions | null {
  return !(optimizer instanceof Model) && gradientSteps(optimizer.transforms ?? []).hasAgr ? {} : null;
}
