import { Command } from "commander";
import { raiseOpset } from "../../entries/graph.ts";
import { Console, type OutputOptions } from "../console.ts";
import type { Io } from "../io.ts";
import { readModelArgument, STANDARD, writeModelArgument } from "../models.ts";
import { forwardReadingOf, type StrictOption, withStrict } from "../strict.ts";
import { checkTarget } from "../target.ts";
import { wholeNumber } from "../values.ts";

/** What the other commands raise models to. */
const DEFAULT_OPSET = 17;

interface UpgradeOptions extends StrictOption {
  readonly output: string;
  readonly opset: number;
  readonly force?: boolean;
}

export function upgradeCommand(io: Io): Command {
  return withStrict(new Command("upgrade"))
    .description("Raise a model to a later opset; every node computes what it computed before")
    .argument("<model>", "ONNX model, or - for a model on stdin")
    .requiredOption("-o, --output <file>", "the raised model, - for stdout")
    .option("--opset <n>", "the opset", wholeNumber(1), DEFAULT_OPSET)
    .option("--force", "replace a file that exists")
    .addHelpText(
      "after",
      `
What has no equal in the later opset is refused by name. build, gradcheck, lower and train raise models by themselves.

Example:
  onnx-agr upgrade resnet50-v1-12.onnx -o resnet50-17.onnx`,
    )
    .action(async (path: string, options: UpgradeOptions, command: Command) => {
      await upgrade(path, options, new Console(io, command.optsWithGlobals<OutputOptions>()));
    });
}

async function upgrade(path: string, options: UpgradeOptions, console: Console): Promise<void> {
  const { output, opset, force } = options;
  if (output !== STANDARD) {
    await checkTarget(path === STANDARD ? null : path, output, { force: force === true, inPlace: false });
  }
  const model = await readModelArgument(path, console.io.stdin, forwardReadingOf(options, console));
  const report = raiseOpset(model, opset);
  await writeModelArgument(output, console.io.stdout, model);
  for (const note of report.notes) console.note(note);
  if (output === STANDARD) return;
  const { from, to, converted } = report;
  console.result({ command: "upgrade", input: path, output, ...report }, [
    from >= opset ? `${output}: opset ${from} already` : `${output}: opset ${from} to ${to}`,
    ...Object.entries(converted).map(([key, count]) => `  ${key.replace(", ", " (")}): ${count} rewritten`),
  ]);
}
