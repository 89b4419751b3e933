import { Command } from "commander";
import { buildTrainingArtifacts, readModel, writeBuilt } from "../../index.ts";
import {
  type BuildFlags,
  buildOptionsOf,
  OPTIMIZER_HELP,
  withAgr,
  withLora,
  withLoss,
  withOptimizer,
  withParameters,
  withTargets,
} from "../build-options.ts";
import { Console, type OutputOptions } from "../console.ts";
import { checkTarget, withFolder } from "../target.ts";

interface BuildCommandOptions extends BuildFlags {
  readonly output: string;
  readonly force?: boolean;
}

export function buildCommand(): Command {
  const command = new Command("build")
    .description("Make training artifacts from a forward model: loss, gradients, optimizer, checkpoint")
    .argument("<model>", "ONNX model, opset 7 or later")
    .requiredOption("-o, --output <folder>", "the artifacts");
  return withTargets(withLora(withAgr(withOptimizer(withParameters(withLoss(command))))))
    .option("--force", "replace files that exist")
    .addHelpText(
      "after",
      `
Optimizers and their defaults:
${OPTIMIZER_HELP}

Data for training carry the names of the model's inputs, and "labels" (cross-entropy) or "target" (the other losses).

Examples:
  onnx-agr build model.onnx --loss cross-entropy --agr -o artifacts
  onnx-agr build gpt.onnx --loss cross-entropy --class-axis -1 --optimizer adan --agr --decay-min-rank 2 -o artifacts
  onnx-agr build gpt.onnx --loss cross-entropy --class-axis -1 --lora 8 --target '*attn*' -o adapters
  onnx-agr build model.onnx --loss mse --freeze 'encoder.*' --clip-norm 1 -o artifacts`,
    )
    .action(async (path: string, options: BuildCommandOptions, self: Command) => {
      await build(path, options, new Console(self.optsWithGlobals<OutputOptions>()));
    });
}

async function build(path: string, options: BuildCommandOptions, console: Console): Promise<void> {
  const { output, force } = options;
  await checkTarget(path, output, { force: force === true, inPlace: false, kind: "folder" });
  const built = await buildTrainingArtifacts(await readModel(path), buildOptionsOf(options));
  const { onnxruntime, portable, report } = built;
  const files = await withFolder(output, () => writeBuilt(output, built, { replace: force === true }));
  for (const note of report.notes) console.note(note);
  for (const { at, reason } of report.skipped) console.note(`not trained: ${at}: ${reason}`);
  const size = report.trainable.reduce((sum, { shape }) => sum + shape.reduce((product, dim) => product * dim, 1), 0);
  const targets = [...(onnxruntime === null ? [] : ["onnxruntime"]), ...(portable === null ? [] : ["portable"])];
  console.result(
    { command: "build", input: path, output, targets, files, ...report },
    [
      `${output}: ${targets.join(" and ")}; ${report.trainable.length} parameters of ${size} numbers are trained` +
        `${report.frozen.length === 0 ? "" : `, ${report.frozen.length} tensors are kept as they are or renewed without a gradient`}`,
      ...report.trainable.map(({ name, shape }) => `  ${name} [${shape.join(",")}]`),
    ].join("\n"),
  );
}
