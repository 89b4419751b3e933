import type { Command } from "commander";
import { PassError, type StripAgrReport, stripAgr } from "../../index.ts";
import { Console, type OutputOptions } from "../console.ts";
import type { Io } from "../io.ts";
import { type RewriteOptions, rewrite, rewriteCommand, type Subject } from "./rewrite.ts";

export function stripCommand(io: Io): Command {
  return rewriteCommand("strip", "Take AGR out again: the model is then what it was before insert")
    .addHelpText(
      "after",
      `
Examples:
  onnx-agr strip artifacts-agr -o artifacts
  onnx-agr strip optimizer_agr.onnx -o optimizer_model.onnx`,
    )
    .action(async (input: string, options: RewriteOptions, command: Command) => {
      const console = new Console(io, command.optsWithGlobals<OutputOptions>());
      const { reports, output, subjects } = await rewrite(input, options, (all) => stripAll(input, all), console);
      const [report] = reports;
      const removed = reports.reduce((sum, each) => sum + each.removed, 0);
      const files = subjects.flatMap(({ file }) => (file === null ? [] : [file]));
      const models =
        files.length === 0 ? {} : { models: reports.map((each, index) => ({ file: files[index], ...each })) };
      const where = output === null ? "nothing written (--dry-run)" : `written to ${output}`;
      const from = files.length < 2 ? "" : ` of ${files.join(", ")}`;
      if (output !== "-")
        console.result({ command: "strip", input, output, ...report, removed, ...models }, [
          `AGR taken out${from}: ${removed} nodes removed`,
          where,
        ]);
    });
}

async function stripAll(input: string, subjects: readonly Subject[]): Promise<readonly StripAgrReport[]> {
  const reports = subjects.map(({ model }) => stripAgr(model));
  if (reports.some(({ changed }) => changed > 0)) return reports;
  throw new PassError("E_NO_AGR", "there is no AGR to take out", {
    file: input,
    hint: "Only what onnx-agr inserted can be stripped.",
  });
}
