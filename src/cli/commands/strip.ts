import type { Command } from "commander";
import { PassError, stripAgr } from "../../index.ts";
import { Console, type OutputOptions } from "../console.ts";
import { type RewriteOptions, rewrite, rewriteCommand } from "./rewrite.ts";

export function stripCommand(): Command {
  return rewriteCommand("strip", "Take AGR out again: the model is then what it was before insert")
    .addHelpText(
      "after",
      `
Examples:
  onnx-agr strip artifacts-agr -o artifacts
  onnx-agr strip optimizer_agr.onnx -o optimizer_model.onnx`,
    )
    .action(async (input: string, options: RewriteOptions, command: Command) => {
      const console = new Console(command.optsWithGlobals<OutputOptions>());
      const { report, output } = await rewrite(
        input,
        options,
        (model) => {
          const result = stripAgr(model);
          if (result.changed === 0) {
            throw new PassError("E_NO_AGR", "there is no AGR to take out", {
              file: input,
              hint: "Only what onnx-agr inserted can be stripped.",
            });
          }
          return result;
        },
        console,
      );
      const where = output === null ? "nothing written (--dry-run)" : `written to ${output}`;
      if (output !== "-")
        console.result(
          { command: "strip", input, output, ...report },
          `AGR taken out: ${report.removed} nodes removed\n${where}`,
        );
    });
}
