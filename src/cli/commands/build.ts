import { Command } from "commander";
import { buildTrainingArtifacts, readModel, type Skipped, writeBuilt } from "../../index.ts";
import {
  type BuildFlags,
  buildOptionsOf,
  OPTIMIZER_HELP,
  withAgr,
  withBeginning,
  withLora,
  withLoss,
  withOptimizer,
  withParameters,
  withQat,
  withTargets,
} from "../build-options.ts";
import { Console, type OutputOptions } from "../console.ts";
import { refuseIdleOptions } from "../idle-options.ts";
import type { Io } from "../io.ts";
import { withCarry, withModel } from "../model-options.ts";
import { forwardReadingOf, type StrictOption, withStrict } from "../strict.ts";
import { checkTarget, withFolder } from "../target.ts";

interface BuildCommandOptions extends BuildFlags, StrictOption {
  readonly output: string;
  readonly force?: boolean;
}

/** Names in one line; a large model has hundreds of numbers. */
const NAMES_SHOWN = 10;

export function buildCommand(io: Io): Command {
  const command = new Command("build")
    .description("Make training artifacts from a forward model: loss, gradients, optimizer, checkpoint")
    .argument("<model>", "ONNX model")
    .requiredOption("-o, --output <folder>", "the artifacts");
  return withStrict(
    withTargets(
      withCarry(withQat(withBeginning(withLora(withAgr(withOptimizer(withModel(withParameters(withLoss(command))))))))),
    ),
  )
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
  onnx-agr build resnet.onnx --loss cross-entropy --head classes=7 --layer-decay 0.7 -o flowers
  onnx-agr build resnet.onnx --loss cross-entropy --head classes=7 --params 'head.*' -o probe
  onnx-agr build half.onnx --loss cross-entropy --precision float32 --dim batch=32 -o artifacts
  onnx-agr build model.onnx --loss cross-entropy --precision float16 --agr -o artifacts
  onnx-agr build lstm.onnx --loss cross-entropy --class-axis -1 --dim batch=20 --carry h0=hn --carry c0=cn -o artifacts
  onnx-agr build model.onnx --loss mse --freeze 'encoder.*' --clip-norm 1 -o artifacts`,
    )
    .action(async (path: string, options: BuildCommandOptions, self: Command) => {
      await build(path, options, new Console(io, self.optsWithGlobals<OutputOptions>()));
    });
}

async function build(path: string, options: BuildCommandOptions, console: Console): Promise<void> {
  const { output, force } = options;
  refuseIdleOptions([options]);
  await checkTarget(path, output, { force: force === true, inPlace: false, kind: "folder" });
  const built = await buildTrainingArtifacts(
    await readModel(path, forwardReadingOf(options, console)),
    buildOptionsOf(options),
  );
  const { onnxruntime, portable, report } = built;
  const files = await withFolder(output, () => writeBuilt(output, built, { replace: force === true }));
  for (const note of report.notes) console.note(note);
  for (const line of byReason(report.skipped)) console.note(line);
  const size = report.trainable.reduce((sum, { shape }) => sum + shape.reduce((product, dim) => product * dim, 1), 0);
  const targets = [...(onnxruntime === null ? [] : ["onnxruntime"]), ...(portable === null ? [] : ["portable"])];
  console.result({ command: "build", input: path, output, targets, files, ...report }, [
    `${output}: ${targets.join(" and ")}; ${report.trainable.length} parameters of ${size} numbers are trained` +
      `${report.frozen.length === 0 ? "" : `, ${report.frozen.length} tensors are kept as they are or renewed without a gradient`}`,
    ...report.trainable.map(({ name, shape }) => `  ${name} [${shape.join(",")}]`),
  ]);
}

/** One line per reason. */
function byReason(skipped: readonly Skipped[]): readonly string[] {
  const names = new Map<string, readonly string[]>();
  for (const { at, reason } of skipped) names.set(reason, [...(names.get(reason) ?? []), at]);
  return [...names].map(([reason, all]) => {
    const shown = all.slice(0, NAMES_SHOWN).join(", ");
    const more = all.length > NAMES_SHOWN ? ` and ${all.length - NAMES_SHOWN} more (--json lists them)` : "";
    return `not trained: ${shown}${more}: ${reason}`;
  });
}
