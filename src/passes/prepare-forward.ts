import { requireOption } from "../errors.ts";
import type { Model } from "../graph/model.ts";
import { addBatchAxis } from "./add-batch-axis.ts";
import { BATCH_NORM_STATISTICS, type BatchNormStatistics } from "./batch-norm-modes.ts";
import { restoreProgram } from "./exported-program/index.ts";
import { inlineFunctions } from "./inline-functions.ts";
import { liftPrecision } from "./lift-precision.ts";
import { liftWeights } from "./lift-weights.ts";
import { fixSizes, nameOpenSizes } from "./open-sizes.ts";
import { raiseOpset } from "./raise-opset/index.ts";
import { restoreBatchNorm } from "./restore-batch-norm.ts";
import { separateInitializers, separateStatistics } from "./separate-initializers.ts";
import { splitSequences } from "./split-sequences.ts";
import { unfoldSequences } from "./unfold-sequences.ts";
import { unwrapMaps } from "./unwrap-maps.ts";

/** What older graphs are raised to: scatters add since 16, LayerNormalization is there since 17. */
const TARGET_OPSET = 17;
const TARGET_IR = 8;

export const PRECISIONS = ["float32", "float16", "bfloat16"] as const;
export type Precision = (typeof PRECISIONS)[number];

/** How a forward model is read before anything is added to it. */
export interface ForwardOptions {
  /** Sizes to fix that the inputs leave open, by name: `{ batch: 32 }`; one without a name is `<input>.<axis>`. Default: none. */
  readonly sizes?: Readonly<Record<string, number>>;
  /**
   * `float32`: a model of float16 or bfloat16 computes and is trained in float32. The other two do the same with the parameters, and
   * `buildTrainingArtifacts` rounds what products take and give. Default: as it is.
   */
  readonly precision?: Precision;
  /**
   * What BatchNormalization normalizes by while it is trained: the statistics of each batch, renewing the running ones, or the running
   * ones, which stay. Default: as the file has it, where it was exported in train mode; else `batch`.
   */
  readonly batchNorm?: BatchNormStatistics;
}

/**
 * Makes a forward model as the passes behind take it: the opset is raised, functions are put in, sizes have names or are
 * fixed, and what is trained are initializers, one per use. Changes the model it is given.
 * @throws PassError `E_OPSET`, `E_NO_UPGRADE`; UsageError `E_OPTION`
 */
export function prepareForward(
  model: Model,
  { sizes = {}, precision, batchNorm }: ForwardOptions,
): {
  readonly notes: readonly string[];
  readonly roles: ReadonlyMap<string, string | null>;
} {
  requireOption(precision === undefined || PRECISIONS.includes(precision), "precision", PRECISIONS.join(" or "));
  const isKnown = batchNorm === undefined || BATCH_NORM_STATISTICS.includes(batchNorm);
  requireOption(isKnown, "batchNorm", BATCH_NORM_STATISTICS.join(" or "));
  const { notes: raised } = raiseOpset(model, TARGET_OPSET);
  const inlined = inlineFunctions(model);
  splitSequences(model);
  unfoldSequences(model);
  const { graph } = model;
  const initializers = new Set(graph.initializers.map(({ name }) => name));
  graph.replaceInputs(graph.inputs.filter(({ name }) => !initializers.has(name)));
  const widened = precision === undefined ? [] : liftPrecision(model);
  nameOpenSizes(model);
  fixSizes(model, sizes);
  const unwrapped = unwrapMaps(model);
  const single = addBatchAxis(model);
  const lifted = liftWeights(model);
  const restored = restoreBatchNorm(model);
  const program = restoreProgram(model);
  const apart = separateInitializers(model).length;
  const statistics = separateStatistics(model);
  const notes = [
    ...(inlined > 0 ? [`${inlined} calls of functions were replaced by the functions' bodies`] : []),
    ...widened,
    ...unwrapped.map((name) => `the output "${name}" is the tensor that ZipMap makes maps of`),
    ...(single.length > 0
      ? [`${single.join(", ")}: one sample without a batch axis; it gets one, and is trained with batches of 1`]
      : []),
    ...(lifted > 0 ? [`${lifted} constants in nodes or branches are taken for weights`] : []),
    ...(apart > 0
      ? [
          `${apart} parameters that the exporter had merged, since all their elements were equal, are by themselves again`,
        ]
      : []),
    ...(statistics.length > 0
      ? [
          `running statistics that shared a tensor with a parameter or with each other have one of their own: ${statistics.join(", ")}`,
        ]
      : []),
    ...restored,
    ...(program?.notes ?? []),
    ...raised,
  ];
  model.irVersion = Math.max(model.irVersion, TARGET_IR);
  return { notes, roles: program?.roles ?? new Map() };
}
