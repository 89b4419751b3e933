import { Argument, Command } from "commander";
import { COMMANDS } from "../commands.ts";
import { bashScript } from "../completion/bash.ts";
import { fishScript } from "../completion/fish.ts";
import { completed } from "../completion/words.ts";
import { zshScript } from "../completion/zsh.ts";
import { Console, type OutputOptions } from "../console.ts";
import { withGlobals } from "../globals.ts";
import type { Io } from "../io.ts";

const SCRIPTS = { bash: bashScript, zsh: zshScript, fish: fishScript } as const;

type Shell = keyof typeof SCRIPTS;

export function completionCommand(io: Io): Command {
  return new Command("completion")
    .description("Print a script that completes commands, options and their values")
    .addArgument(new Argument("<shell>", "which shell it is for").choices(Object.keys(SCRIPTS)))
    .addHelpText(
      "after",
      `
Examples:
  source <(onnx-agr completion bash)           in ~/.bashrc
  source <(onnx-agr completion zsh)            in ~/.zshrc, behind compinit
  onnx-agr completion fish > ~/.config/fish/completions/onnx-agr.fish`,
    )
    .action(async (shell: Shell, _: object, self: Command) => {
      const console = new Console(io, self.optsWithGlobals<OutputOptions>());
      const commands = await Promise.all(
        Object.entries(COMMANDS).map(async ([name, { summary, load }]) =>
          completed(name, summary, withGlobals(await load(io))),
        ),
      );
      const script = SCRIPTS[shell](commands);
      console.result({ command: "completion", shell, script }, script.trimEnd().split("\n"));
    });
}
