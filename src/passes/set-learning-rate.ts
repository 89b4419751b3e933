import { findOptimizers } from "../analysis/find-optimizers/index.ts";
import { requireArgument } from "../arguments.ts";
import { PREFIX, readRecord, undo, writeRecord } from "../edits/record.ts";
import { PassError } from "../errors.ts";
import type { Model } from "../graph/model.ts";
import { A_MODEL } from "../graph/model.ts";
import { Names } from "../graph/names.ts";
import { Builder } from "../ops/builder.ts";
import { completeSchedule, emitSchedule, type LearningRateSchedule, learningRateAt } from "../optim/schedule.ts";
import { type Report, rehearsed } from "./pass.ts";

/** Where in a model's metadata the built-in learning rate is recorded. */
export const LEARNING_RATE_RECORD = "onnx-agr.learning-rate";

export interface SetLearningRateReport extends Report {
  readonly pass: "set-learning-rate";
  readonly schedule: LearningRateSchedule;
}

/**
 * Builds a learning rate, or a schedule over the graph input `step`, into an optimizer model of ONNX Runtime. The graph
 * input `learning_rate` stays, as the training API asks for it, but is no longer read. Replaces an earlier schedule.
 *
 * For runtimes that cannot set the rate: the training API for JavaScript always feeds 0.001.
 * @throws PassError `E_NO_OPTIMIZER`; UsageError `E_OPTION`. The model is unchanged then.
 */
export function setLearningRate(model: Model, schedule: LearningRateSchedule): SetLearningRateReport {
  requireArgument("model", model, A_MODEL);
  const complete = completeSchedule(schedule);
  return rehearsed(model, (each) => writeRate(each, complete));
}

function writeRate(model: Model, complete: Required<LearningRateSchedule>): SetLearningRateReport {
  const earlier = readRecord(model, LEARNING_RATE_RECORD);
  if (earlier !== null) removeLearningRate(model);
  const rates = findOptimizers(model).sites.flatMap(({ learningRate }) =>
    learningRate === null ? [] : [learningRate],
  );
  const step = model.graph.inputs.find(({ name }) => name === "step");
  if (rates.length === 0 || step === undefined) {
    throw new PassError("E_NO_OPTIMIZER", "no optimizer with the inputs learning_rate and step was found", {
      hint: "Give optimizer_model.onnx of a set of ONNX Runtime training artifacts.",
    });
  }
  const build = new Builder({ prefix: `${PREFIX}/learning_rate`, names: new Names(model) });
  const rate = emitSchedule(build, complete, step);
  const edges = rates.map(({ node, input }) => {
    const from = node.inputs[input]?.name ?? "";
    node.setInput(input, rate);
    return { from, to: rate.name };
  });
  const [first] = model.graph.nodes;
  if (first !== undefined) model.graph.insertBefore(first, build.nodes);
  writeRecord(model, LEARNING_RATE_RECORD, { options: { ...complete }, edges });
  return {
    pass: "set-learning-rate",
    changed: edges.length,
    schedule: complete,
    skipped: [],
    notes: earlier === null ? [] : ["an earlier schedule was replaced"],
  };
}

/** The learning rate that is built into a model, of an update counted from 1; null where there is none. */
export function builtInRate(model: Model): ((step: number) => number) | null {
  const record = readRecord(model, LEARNING_RATE_RECORD);
  if (record === null) return null;
  const schedule = completeSchedule(record.options as unknown as LearningRateSchedule);
  return (step) => learningRateAt(schedule, step);
}

/** Takes a built-in learning rate out again. */
export function removeLearningRate(model: Model): Report {
  requireArgument("model", model, A_MODEL);
  const record = readRecord(model, LEARNING_RATE_RECORD);
  const changed = record === null ? 0 : record.edges.length;
  if (record !== null) {
    undo(model, LEARNING_RATE_RECORD, record.edges);
    model.metadata.delete(LEARNING_RATE_RECORD);
  }
  return { pass: "remove-learning-rate", changed, skipped: [], notes: [] };
}
