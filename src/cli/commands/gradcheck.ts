import { Command } from "commander";
import {
  batches,
  checkGradients,
  datasetFor,
  GRADIENT_CHECK_DEFAULTS,
  type GradientCheck,
  type NamedTensors,
  readDataFile,
  readModel,
} from "../../index.ts";
import {
  type LossFlags,
  lossOf,
  type ParameterFlags,
  parametersOf,
  withLoss,
  withParameters,
} from "../build-options.ts";
import { Console, type OutputOptions } from "../console.ts";
import { wholeNumber } from "../values.ts";

interface GradcheckOptions extends LossFlags, ParameterFlags {
  readonly samples: number;
  readonly seed: number;
  readonly data?: string;
  readonly batchSize: number;
}

/** NumericError's exit code: the gradients are not those of the loss. */
const WRONG = 7;

export function gradcheckCommand(): Command {
  const command = new Command("gradcheck")
    .description("Compare a model's gradients with finite differences of its loss, per parameter, the worst first")
    .argument("<model>", "ONNX model, opset 7 or later");
  return withParameters(withLoss(command))
    .option("--samples <n>", "elements of each parameter to move", wholeNumber(1), GRADIENT_CHECK_DEFAULTS.samples)
    .option(
      "--seed <n>",
      "seed of the inputs and of the choice of elements",
      wholeNumber(0),
      GRADIENT_CHECK_DEFAULTS.seed,
    )
    .option("--data <file>", "inputs, .safetensors or .npz (default: seeded random ones)")
    .option("--batch-size <n>", "samples to take of them", wholeNumber(1), 4)
    .addHelpText(
      "after",
      `
Runs in float64 where onnxruntime-node has the kernels, else in float32. Exits with 7 where a difference is larger than rounding explains.

Example:
  onnx-agr gradcheck model.onnx --loss cross-entropy`,
    )
    .action(async (path: string, options: GradcheckOptions, self: Command) => {
      const console = new Console(self.optsWithGlobals<OutputOptions>());
      const { samples, seed, data, batchSize } = options;
      const check = await checkGradients(await readModel(path), {
        ...parametersOf(options),
        ...{ loss: lossOf(options), samples, seed },
        ...(data === undefined ? {} : { feeds: await firstBatch(data, batchSize) }),
      });
      const isRight = check.parameters.every(({ difference, tolerance }) => difference <= tolerance);
      console.result({ command: "gradcheck", input: path, isRight, ...check }, describe(check, isRight));
      if (!isRight) process.exitCode = WRONG;
    });
}

async function firstBatch(file: string, batchSize: number): Promise<NamedTensors> {
  const tensors = await readDataFile(file);
  const specs = tensors.map(({ name, tensor: { dtype, dims } }) => ({ name, dtype, shape: [null, ...dims.slice(1)] }));
  const options = { batchSize, shuffle: false, seed: 0, dropLast: false };
  const [first = {}] = batches(datasetFor(specs, tensors), 0, options);
  return first;
}

function describe(
  { precision, reason, loss, tolerance, parameters }: GradientCheck,
  isRight: boolean,
): readonly string[] {
  const width = Math.max(0, ...parameters.map(({ parameter }) => parameter.length));
  return [
    `loss ${loss.toPrecision(6)}, in ${precision}${reason === null ? "" : ` (not in float64: ${reason})`}`,
    ...parameters.map(
      ({ parameter, difference, element, analytic, numeric }) =>
        `  ${parameter.padEnd(width)}  ${difference.toExponential(1)}  [${element}] ${analytic.toExponential(4)}, by differences ${numeric.toExponential(4)}`,
    ),
    isRight
      ? `all differences are below ${tolerance} and what rounding of the loss explains`
      : `differences above ${tolerance} and what rounding of the loss explains: the gradients are not those of the loss, or it is not smooth there`,
  ];
}
