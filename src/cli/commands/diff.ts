import { Command } from "commander";
import { type Difference, diffModels } from "../../index.ts";
import { Console, type OutputOptions } from "../console.ts";
import { readModelArgument } from "../models.ts";

const MARKS: Readonly<Record<Difference["kind"], string>> = { added: "+", removed: "-", changed: "~", rewired: ">" };

export function diffCommand(): Command {
  return new Command("diff")
    .description("Say what differs between two models: nodes, wires, tensors, types, functions, metadata")
    .argument("<a>", "a model")
    .argument("<b>", "another model, or - for one on stdin")
    .addHelpText(
      "after",
      `
Marks: + added, - removed, ~ changed, > rewired

Example:
  onnx-agr diff optimizer_model.onnx optimizer_agr.onnx`,
    )
    .action(async (a: string, b: string, _options: object, command: Command) => {
      const console = new Console(command.optsWithGlobals<OutputOptions>());
      const differences = diffModels(await readModelArgument(a), await readModelArgument(b));
      const lines = differences.map(({ kind, of, at, from, to }) => {
        const what =
          from !== undefined && to !== undefined
            ? `: ${from} -> ${to}`
            : from === undefined && to === undefined
              ? ""
              : `: ${from ?? to}`;
        return `${MARKS[kind]} ${of} ${at}${what}`;
      });
      const text = lines.length === 0 ? "no structural difference" : lines.join("\n");
      console.result({ command: "diff", a, b, equal: differences.length === 0, differences }, text);
    });
}
