import type { FindOptions } from "../analysis/find-optimizers/site.ts";
import { type Kind, listOf, NUMBER, oneOf, optional, TEXT } from "../arguments.ts";
import { removeDeadNodes } from "../edits/dead-nodes.ts";
import type { Model } from "../graph/model.ts";
import { uniqueRows } from "../ops/unique-rows.ts";
import type { LearningRateSchedule } from "../optim/schedule.ts";
import { addLoss, LOSS_KINDS, type LossOptions } from "./add-loss.ts";
import { decompose } from "./decompose/index.ts";
import { INITIALIZATIONS, type InitializeOptions, initialize } from "./initialize.ts";
import { inlineFunctions } from "./inline-functions.ts";
import { insertAgr } from "./insert-agr/index.ts";
import type { InsertAgrOptions } from "./insert-agr/options.ts";
import { liftPrecision } from "./lift-precision.ts";
import { addLora, type LoraOptions } from "./lora.ts";
import { lowerOwnModel } from "./lower-training-ops/index.ts";
import { fixSizes, SIZES } from "./open-sizes.ts";
import type { Pass, Report } from "./pass.ts";
import { raiseOwnModel } from "./raise-opset/index.ts";
import { type HeadOptions, replaceHead } from "./replace-head.ts";
import { separateInitializers } from "./separate-initializers.ts";
import { removeLearningRate, setLearningRate } from "./set-learning-rate.ts";
import { simplify } from "./simplify.ts";
import { stripAgr } from "./strip-agr.ts";
import { unwrapMaps } from "./unwrap-maps.ts";

/** A pass that a pipeline can have by name. */
export interface PassDefinition {
  readonly name: string;
  readonly summary: string;
  /** What each of its options must be. */
  readonly options: Readonly<Record<string, Kind>>;
  /** @param options that hold what `options` says */
  readonly make: (options: object) => Pass;
}

type KindsOf<Options extends object> = { readonly [Name in keyof Options]-?: Kind };

function define<Options extends object>(
  name: string,
  summary: string,
  options: KindsOf<Options>,
  run: (model: Model, options: Options) => Report,
): PassDefinition {
  /** The kinds have been checked. */
  const make = (given: object): Pass => ({ name, run: (model) => run(model, given as Options) });
  return { name, summary, options, make };
}

const done = (pass: string, changed: number, notes: readonly string[] = []): Report => ({
  pass,
  changed,
  skipped: [],
  notes,
});

const named = (what: string, names: readonly string[]): readonly string[] =>
  names.length === 0 ? [] : [`${what}: ${names.join(", ")}`];

const NAMES = listOf(TEXT, "a list of names");
interface Seeded {
  /** Default 0. */
  readonly seed?: number;
}

/** What is neither told by the other files of a set nor found by a proof: a new option needs its kind below. */
type AgrOptions = Omit<InsertAgrOptions, "parameters" | "cautious" | keyof FindOptions>;

/** In the order of the help. */
export const PASSES: readonly PassDefinition[] = [
  define<AgrOptions>(
    "insert-agr",
    "AGR before the optimizer",
    {
      scope: optional(oneOf("tensor", "channel", "global")),
      strength: optional(NUMBER),
      minElements: optional(NUMBER),
      minRank: optional(NUMBER),
      include: optional(NAMES),
      exclude: optional(NAMES),
      form: optional(oneOf("function", "inline")),
      count: optional(NUMBER),
      select: optional(NAMES),
      transforms: optional(NAMES),
    },
    insertAgr,
  ),
  define("strip-agr", "AGR taken out again", {}, stripAgr),
  define<LearningRateSchedule>(
    "set-learning-rate",
    "a learning rate or schedule built into ONNX Runtime's optimizer model",
    {
      rate: NUMBER,
      decay: optional(oneOf("constant", "linear", "cosine")),
      warmupSteps: optional(NUMBER),
      totalSteps: optional(NUMBER),
      finalRate: optional(NUMBER),
    },
    setLearningRate,
  ),
  define("remove-learning-rate", "a built-in learning rate taken out again", {}, removeLearningRate),
  define<{ readonly opset: number }>(
    "raise-opset",
    "a later version of ONNX's operators; every node computes what it computed before",
    { opset: NUMBER },
    (model, { opset }) => raiseOwnModel(model, opset),
  ),
  define("lower-training-ops", "operators of ONNX Runtime's training build in standard ones", {}, lowerOwnModel),
  define("inline-functions", "the bodies of the model's functions in place of their calls", {}, (model) => {
    const unused = model.functions.length;
    return done("inline-functions", inlineFunctions(model) + unused);
  }),
  define("decompose", "attention, rotary and fused operators in their parts", {}, (model) => {
    const counts = Object.values(decompose(model));
    return done(
      "decompose",
      counts.reduce((sum, count) => sum + count, 0),
    );
  }),
  define("unwrap-maps", "tensors in place of outputs that are lists of maps", {}, (model) => {
    const names = unwrapMaps(model);
    return done("unwrap-maps", names.length, named("unwrapped", names));
  }),
  define("lift-precision", "float32 in place of float16 and bfloat16", {}, (model) => {
    const notes = liftPrecision(model);
    return done("lift-precision", notes.length, notes);
  }),
  define<{ readonly sizes: Readonly<Record<string, number>> }>(
    "fix-sizes",
    "numbers in place of sizes that the inputs leave open",
    { sizes: SIZES },
    (model, { sizes }) => {
      fixSizes(model, sizes);
      return done("fix-sizes", Object.keys(sizes).length);
    },
  ),
  define<HeadOptions & Seeded & { readonly output?: string }>(
    "replace-head",
    "a fresh last layer, for other classes",
    { classes: NUMBER, output: optional(TEXT), seed: optional(NUMBER) },
    (model, { classes, output, seed = 0 }) => done("replace-head", 1, [replaceHead(model, { classes }, output, seed)]),
  ),
  define<InitializeOptions & Seeded>(
    "initialize",
    "new values for parameters",
    { parameters: NAMES, kind: oneOf(...INITIALIZATIONS), seed: optional(NUMBER) },
    ({ graph }, { parameters, kind, seed = 0 }) => {
      const names = initialize(graph, [{ parameters, kind }], seed).map(([name]) => name);
      return done("initialize", names.length, named("initialized", names));
    },
  ),
  define("separate-initializers", "parameters that an exporter merged by chance, apart again", {}, (model) => {
    const names = separateInitializers(model);
    return done("separate-initializers", names.length, named("taken apart", names));
  }),
  define<LoraOptions>(
    "add-lora",
    "low-rank adapters beside the weights",
    { rank: NUMBER, targets: NAMES, alpha: optional(NUMBER), seed: optional(NUMBER) },
    (model, options) => {
      const names = addLora(model, options);
      return done("add-lora", names.length, named("adapters", names));
    },
  ),
  define<LossOptions>(
    "add-loss",
    "a loss as the first output, and what it is measured against as an input",
    {
      kind: oneOf(...LOSS_KINDS),
      output: optional(TEXT),
      reduction: optional(oneOf("mean", "sum")),
      classAxis: optional(NUMBER),
      labelSmoothing: optional(NUMBER),
      ignoreIndex: optional(NUMBER),
      classWeights: optional(listOf(NUMBER, "a list of numbers")),
      threshold: optional(NUMBER),
      positiveWeight: optional(NUMBER),
    },
    (model, options) => {
      const { inputs } = addLoss(model, options);
      return done("add-loss", 1 + inputs.length);
    },
  ),
  define("simplify", "known sizes as constants, equal nodes once, nothing that is not read", {}, (model) =>
    done("simplify", simplify(model)),
  ),
  define("remove-dead-nodes", "nothing that is not read", {}, ({ graph }) =>
    done("remove-dead-nodes", removeDeadNodes(graph)),
  ),
];

const BY_NAME = uniqueRows(
  "passes",
  PASSES.map((each) => [each.name, each] as const),
);

/** The pass of a name; undefined where there is none. */
export const definitionOf = (name: string): PassDefinition | undefined => BY_NAME.get(name);
