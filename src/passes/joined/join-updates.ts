import { AGR_DOMAIN } from "../../edits/agr-domain.ts";
import { orderNodes } from "../../edits/order-nodes.ts";
import { Names } from "../../graph/names.ts";
import { inferTypes } from "../../ops/inference/infer-types.ts";
import { inlineFunctions } from "../inline-functions.ts";
import type { StateTensor, StepModel } from "../portable/step-model.ts";
import { nodesSaved } from "./gain.ts";
import { findMembers, renewedState } from "./members.ts";
import { separateState } from "./separate-state.ts";
import { planJoin } from "./tuples.ts";
import { type JoinedState, writeJoin } from "./write-join.ts";

/** A step whose small parameters, and their slots, are state in one piece. */
export interface JoinedStep {
  readonly step: StepModel;
  /** How many parameters are joined. */
  readonly parameters: number;
  /** Gives what was made of the step the state back as it was: joined at its inputs, separated at its outputs. */
  readonly separate: (made: StepModel) => StepModel;
}

/**
 * Updates small parameters that are updated alike as one vector, bit for bit as one by one: a node on a small tensor takes as
 * long as it takes to begin it. Changes the model it is given.
 */
export function joinUpdates(step: StepModel): JoinedStep {
  const { model } = step;
  inlineFunctions(model, AGR_DOMAIN);
  inferTypes(model);
  const names = new Names(model);
  const renewed = new Map(renewedState(step));
  const joined: JoinedState[] = [];
  let parameters = 0;
  for (const members of findMembers(step, renewed)) {
    const plan = planJoin(members, renewed);
    /** Taking a tensor out of the whole, and its gradient in, costs about one node more. */
    if (plan === null || nodesSaved(plan) <= members.length) continue;
    const states = writeJoin(model.graph, plan, names, model.opset);
    for (const each of states.flatMap((state) => state.states)) renewed.delete(each.input);
    joined.push(...states);
    parameters += members.length;
  }
  if (joined.length === 0) return { step, parameters, separate: (made) => made };
  orderNodes(model.graph);
  const gone = new Set(joined.flatMap(({ states }) => states.map(({ state }) => state)));
  const state = [
    ...step.state.filter((each) => !gone.has(each)),
    ...joined.map(({ name, next }): StateTensor => ({ name, next, kind: "slot" })),
  ];
  return {
    step: { ...step, state },
    parameters,
    separate: (made) => separateState(made, joined, step.state),
  };
}
