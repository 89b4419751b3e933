import type { Node, Value } from "../graph/graph.ts";
import { type Model, walkGraphs } from "../graph/model.ts";
import { constantOf } from "../ops/constants.ts";
import { NodeView } from "../ops/node-view.ts";
import { type ExportedProgram, readProgram } from "./exported-program/program.ts";

export const BATCH_NORM_STATISTICS = ["batch", "running"] as const;
/** What BatchNormalization takes its mean and deviation of while it is trained. */
export type BatchNormStatistics = (typeof BATCH_NORM_STATISTICS)[number];

export interface BatchNormModes {
  /** Nodes that are trained with their running statistics. The others take those of each batch. */
  readonly running: ReadonlySet<Node>;
  /** What is chosen where the user does not say. */
  readonly notes: readonly string[];
}

/** How many names are told. */
const MOST_NAMED = 4;

/**
 * Which BatchNormalization is trained with which statistics. A file that was exported in train mode says it of each: those in
 * inference mode there were frozen. In a file all of whose nodes are in inference mode, it says nothing.
 * @param asked for all. Default: as the file has it, and statistics of the batch where it does not say
 */
export function batchNormModes(model: Model, asked: BatchNormStatistics | undefined): BatchNormModes {
  const nodes = [...walkGraphs(model.graph)].flatMap((graph) => graph.nodes.filter(({ domain }) => domain === ""));
  const all = nodes.filter(isWithRunning);
  if (asked !== undefined) return { running: new Set(asked === "running" ? all : []), notes: [] };
  const program = readProgram(model.graph);
  const frozen = all.filter((node) => !trains(node, program));
  if (frozen.length === 0) return { running: new Set(), notes: [] };
  const told = frozen.length < all.length ? "others are" : nodes.some(drops) ? "Dropout is" : null;
  if (told === null) {
    return {
      running: new Set(),
      notes: [
        `the file has every BatchNormalization (${all.length}) in inference mode: they are trained with the statistics of each batch. ` +
          "Where the model was trained with frozen ones, --batch-norm running (batchNorm) keeps the running statistics",
      ],
    };
  }
  const scales = frozen.flatMap(({ inputs }) => inputs[1]?.name ?? []);
  const rest = scales.length > MOST_NAMED ? ` and ${scales.length - MOST_NAMED} more` : "";
  return {
    running: new Set(frozen),
    notes: [
      `${frozen.length} of ${all.length} BatchNormalization are in inference mode in the file, where ${told} in training mode: they keep their running statistics. Their scales ` +
        `and biases are trained (${scales.slice(0, MOST_NAMED).join(", ")}${rest}); where they were frozen too, --freeze takes their names. --batch-norm batch (batchNorm) takes the statistics of each batch for all`,
    ],
  };
}

/** What a train-mode BatchNormalization is in the program of PyTorch's default exporter, which writes its nodes without a mode. */
const TRAINED = /^aten\._native_batch_norm_legit(?:_functional)?\./;

const trains = (node: Node, program: ExportedProgram | null): boolean =>
  new NodeView(node).int("training_mode") !== 0 || TRAINED.test(program?.callOf(node)?.op ?? "");

/** BatchNormalization whose statistics are tensors of the file, not computed in the graph. */
export const isWithRunning = ({ domain, opType, inputs }: Node): boolean =>
  domain === "" && opType === "BatchNormalization" && isTensor(inputs[3]) && isTensor(inputs[4]);

const isTensor = (value: Value | null | undefined): boolean => value?.tensor !== null && value?.tensor !== undefined;

/** Dropout that is told to drop, whatever the share. */
function drops({ opType, inputs }: Node): boolean {
  const mode = opType === "Dropout" ? (inputs[2] ?? null) : null;
  return mode !== null && Number(constantOf(mode)?.values()[0] ?? 0) === 1;
}
