import type { InspectedParameter, InspectedStep } from "../../entries/graph.ts";
import { quoted } from "../destination.ts";
import type { Document } from "./document.ts";

/** What a plain train step takes and renews. */
export function describeStep(step: InspectedStep): Document {
  const { losses, parameters, otherState, inferred, open, proof, notProven } = step;
  const flags = open.map((pair) => `--state ${quoted(pair)}`);
  const json = {
    losses,
    parameters: parameters.map(({ proven, unproven, ...rest }) => ({
      ...rest,
      gradient: proven?.gradient ?? null,
      loss: proven?.loss ?? null,
      cosine: proven?.cosine ?? null,
      transforms: proven?.transforms ?? [],
      unproven: unproven?.reason ?? null,
    })),
    otherState,
    inferred,
    flags,
    proof: { precision: proof?.precision ?? null, method: proof?.method ?? null, reason: notProven },
  };
  const how = proof === null ? `by names and data flow: ${notProven}` : "by the derivative of the loss";
  const lines = [
    `  train step, told ${how}`,
    ...losses.map((loss) => `    loss ${loss}`),
    ...parameters.flatMap(linesOf),
    ...otherState.map(({ state, renewedBy, reason }) => `    other state ${state}, renewed by ${renewedBy}: ${reason}`),
    ...(inferred.length === 0
      ? []
      : ["    paired by data flow alone; if a pair is wrong, say the right one with --state"]),
    ...(flags.length === 0 ? [] : [`    what renews what is not unique; say: ${flags.join(" ")}`]),
  ];
  return { json, lines };
}

function linesOf({ state, renewedBy, slots, proven, unproven }: InspectedParameter): readonly string[] {
  const cosine =
    proven?.cosine == null ? "" : `, cosine ${proven.cosine.toFixed(6)} with the derivative of ${proven.loss}`;
  const after = proven === null || proven.transforms.length === 0 ? "" : `, after ${proven.transforms.join(", ")}`;
  return [
    `    parameter ${state}, renewed by ${renewedBy}`,
    ...(proven === null ? [] : [`      gradient ${proven.gradient}${after}${cosine}`]),
    ...(unproven === null ? [] : [`      no gradient is proven: ${unproven.reason}`]),
    ...slots.map((slot) => `      slot ${slot.state}, renewed by ${slot.renewedBy}`),
  ];
}
