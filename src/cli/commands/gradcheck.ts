import { Command } from "commander";
import { batches, fixedBatchSize } from "../../entries/run.ts";
import {
  checkGradients,
  datasetFor,
  GRADIENT_CHECK_DEFAULTS,
  type GradientCheck,
  type Model,
  type NamedTensors,
  readDataFile,
  readModel,
  UsageError,
} from "../../index.ts";
import {
  type LossFlags,
  lossOf,
  type ParameterFlags,
  parametersOf,
  withLoss,
  withParameters,
  withQat,
} from "../build-options.ts";
import { Console, type OutputOptions } from "../console.ts";
import { refuseIdleLossOptions } from "../idle-options.ts";
import { datasetOptionsOf, type InputFlags, tableOptionsOf, withConstants, withTables } from "../input-options.ts";
import type { Io } from "../io.ts";
import { type ModelFlags, modelOptionsOf, withModel } from "../model-options.ts";
import { forwardReadingOf, type StrictOption, withStrict } from "../strict.ts";
import { positive, wholeNumber } from "../values.ts";

interface GradcheckOptions extends LossFlags, ParameterFlags, ModelFlags, InputFlags, StrictOption {
  readonly samples: number;
  readonly seed: number;
  readonly maxSeconds: number;
  readonly qat?: boolean;
  readonly data?: string;
  readonly batchSize?: number;
}

/** NumericError's exit code: the gradients are not those of the loss. */
const WRONG = 7;

export function gradcheckCommand(io: Io): Command {
  const command = new Command("gradcheck")
    .description("Compare a model's gradients with finite differences of its loss, per parameter, the worst first")
    .argument("<model>", "ONNX model");
  return withStrict(withQat(withConstants(withTables(withModel(withParameters(withLoss(command)), ["float32"])))))
    .option("--samples <n>", "elements of each parameter to move", wholeNumber(1), GRADIENT_CHECK_DEFAULTS.samples)
    .option(
      "--seed <n>",
      "seed of the inputs and of the choice of elements",
      wholeNumber(0),
      GRADIENT_CHECK_DEFAULTS.seed,
    )
    .option(
      "--data <file>",
      "inputs, in a file that data come in, tensors named after the model's inputs (default: seeded random ones)",
    )
    .option("--batch-size <n>", "samples to take of them (default: what the model asks for, else 4)", wholeNumber(1))
    .option(
      "--max-seconds <s>",
      "begin no further element after so many seconds; each parameter has one compared before any has a second",
      positive,
      GRADIENT_CHECK_DEFAULTS.maxSeconds,
    )
    .addHelpText(
      "after",
      `
Runs in float64 where onnxruntime-node has the kernels, else in float32. Exits with 7 where a difference is larger than rounding explains.
Where the time is over before all elements are compared, the result says how many parameters were.
With --qat the model is taken without the rounding of its quantization, of which the straight-through estimate is the gradient: that has differences.

Example:
  onnx-agr gradcheck model.onnx --loss cross-entropy`,
    )
    .action(async (path: string, options: GradcheckOptions, self: Command) => {
      const console = new Console(io, self.optsWithGlobals<OutputOptions>());
      const { samples, seed, maxSeconds, data, input, sampleAxis } = options;
      const ofData = { ...input, ...sampleAxis, ...tableOptionsOf(options) };
      if (data === undefined && Object.keys(ofData).length > 0) {
        throw new UsageError("E_OPTION", "--input, --sample-axis and the options of tables need --data", {
          hint: "Give --data <file>.",
        });
      }
      refuseIdleLossOptions(options);
      const model = await readModel(path, forwardReadingOf(options, console));
      const check = await checkGradients(model, {
        ...parametersOf(options),
        ...modelOptionsOf(options),
        ...{ loss: lossOf(options), samples, seed, maxSeconds, quantizationAware: options.qat === true },
        tell: (note) => console.note(note),
        ...(data === undefined ? {} : { feeds: await firstBatch(model, data, options) }),
      });
      const isRight = check.parameters.every(({ difference, tolerance }) => difference <= tolerance);
      console.result({ command: "gradcheck", input: path, isRight, ...check }, describe(check, isRight));
      if (!isRight) io.exitCode = WRONG;
    });
}

async function firstBatch(model: Model, file: string, options: GradcheckOptions): Promise<NamedTensors> {
  if (/\.(txt|text)(\.gz)?$/i.test(file)) {
    throw new UsageError("E_OPTION", `${file} is text, and gradcheck takes numbers`, {
      field: "--data",
      hint: "Leave --data out, and inputs are random; or give tokens as .npz, named after the model's inputs.",
    });
  }
  const tensors = await readDataFile(file, tableOptionsOf(options));
  const chosen = await datasetOptionsOf(options);
  const { constants = {}, sampleAxes = {} } = chosen;
  const inputs = model.graph.inputs.flatMap(({ name, type, tensor }) =>
    type?.kind === "tensor" && tensor === null ? [{ name, dtype: type.dtype, shape: type.shape }] : [],
  );
  const sampled = tensors.flatMap(({ name, tensor: { dtype, dims } }) =>
    name in constants
      ? []
      : [{ name, dtype, shape: dims.map((dim, axis) => (axis === (sampleAxes[name] ?? 0) ? null : dim)) }],
  );
  const same = inputs.filter(({ name }) => name in constants);
  const dataset = datasetFor([...sampled, ...same], tensors, chosen);
  const rankOf = (input: string): number => tensors.find(({ name }) => name === input)?.tensor.dims.length ?? 0;
  /** An input of one axis less than its data takes a sample at a time. */
  const batched = inputs.map((input) =>
    input.shape?.length === rankOf(input.name) - 1 ? { ...input, shape: [1, ...input.shape] } : input,
  );
  const batchSize = options.batchSize ?? fixedBatchSize(batched, dataset) ?? 4;
  const [first = {}] = batches(dataset, 0, { batchSize, shuffle: false, seed: 0, dropLast: false });
  return first;
}

function describe(
  { precision, reason, loss, tolerance, parameters, unchecked, isComplete }: GradientCheck,
  isRight: boolean,
): readonly string[] {
  const all = parameters.length + unchecked.length;
  const unseen = parameters.filter((each) => each.tolerance > 1).length;
  const width = Math.max(0, ...parameters.map(({ parameter }) => parameter.length));
  return [
    `loss ${loss.toPrecision(6)}, in ${precision}${reason === null ? "" : ` (not in float64: ${reason})`}`,
    ...parameters.map(
      ({ parameter, difference, element, analytic, numeric }) =>
        `  ${parameter.padEnd(width)}  ${difference.toExponential(1)}  [${element}] ${analytic.toExponential(4)}, by differences ${numeric.toExponential(4)}`,
    ),
    ...(isComplete
      ? []
      : [
          unchecked.length === 0
            ? "the time was over: not all elements were compared, of every parameter at least one"
            : `the time was over: ${parameters.length} of ${all} parameters were compared, spread over the model; give more with --max-seconds`,
        ]),
    ...(unseen === 0
      ? []
      : [
          `${unseen} of ${all} parameters cannot be judged on these inputs: their gradients are smaller than what the loss's rounding, bends and jumps explain`,
        ]),
    isRight
      ? `all differences are below ${tolerance} and what rounding of the loss explains`
      : `differences above ${tolerance} and what rounding of the loss explains: the gradients are not those of the loss, or it is not smooth there`,
  ];
}
