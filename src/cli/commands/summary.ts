import { Command, InvalidArgumentError } from "commander";
import { readExternalTensors, type SummaryLayer } from "../../entries/graph.ts";
import { type ModelSummary, summarizeModel } from "../../index.ts";
import { Console, type OutputOptions } from "../console.ts";
import type { Io } from "../io.ts";
import { readModelArgument } from "../models.ts";
import { readingOf, type StrictOption, withStrict } from "../strict.ts";
import { collect } from "../values.ts";

interface SummaryCommandOptions extends StrictOption {
  readonly dim: Readonly<Record<string, number>>;
  readonly params: readonly string[];
  readonly freeze: readonly string[];
}

export function summaryCommand(io: Io): Command {
  const command = new Command("summary")
    .description(
      "Say what a forward model consists of, as build would train it: layers, shapes, parameters, multiply-adds, memory",
    )
    .argument("<model>", "forward model, or - for stdin")
    .option("--dim <name=size>", "size of an axis that the model leaves open (default: 1); repeatable", dim, {})
    .option("--params <glob>", "parameters to train (default: all); repeatable", collect, [])
    .option("--freeze <glob>", "parameters to leave as they are; repeatable", collect, [])
    .addHelpText(
      "after",
      `
Examples:
  onnx-agr summary model.onnx
  onnx-agr summary model.onnx --dim batch=32 --freeze 'backbone.*'`,
    )
    .action(async (path: string, options: SummaryCommandOptions, self: Command) => {
      const console = new Console(io, self.optsWithGlobals<OutputOptions>());
      const model = await readModelArgument(path, io.stdin, readingOf(options));
      await readExternalTensors(model);
      const { dim: sizes, params, freeze } = options;
      const summary = summarizeModel(model, { sizes, freeze, ...(params.length === 0 ? {} : { parameters: params }) });
      console.result({ command: "summary", model: path, ...summary }, linesOf(summary));
    });
  return withStrict(command);
}

function dim(text: string, earlier: Readonly<Record<string, number>>): Readonly<Record<string, number>> {
  const [, name, size] = /^(.+)=(\d{1,9})$/s.exec(text) ?? [];
  if (name === undefined || Number(size) < 1) throw new InvalidArgumentError("Give a name and a size: batch=32.");
  return { ...earlier, [name]: Number(size) };
}

const UNITS = ["", " k", " M", " G", " T"];

function short(value: number, base = 1000): string {
  const power = Math.min(UNITS.length - 1, value < base ? 0 : Math.floor(Math.log(value) / Math.log(base)));
  return `${power === 0 ? value : (value / base ** power).toPrecision(4)}${UNITS[power]}`;
}

/** @returns the text in columns; numbers to the right */
function table(rows: readonly (readonly string[])[], toTheRight: readonly boolean[]): readonly string[] {
  const widths = toTheRight.map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  return rows.map((row) =>
    row
      .map((cell, column) =>
        toTheRight[column] ? cell.padStart(widths[column] ?? 0) : cell.padEnd(widths[column] ?? 0),
      )
      .join("  ")
      .trimEnd(),
  );
}

function rowOf({ name, operator, shape, parameters, multiplyAdds }: SummaryLayer): readonly string[] {
  const elements = parameters.reduce((sum, each) => sum + each.elements, 0);
  const frozen = parameters.filter(({ isTrained }) => !isTrained).length;
  const what = frozen === 0 ? "" : frozen === parameters.length ? "frozen" : `${frozen} of ${parameters.length} frozen`;
  return [
    ...[name, operator, shape === null ? "?" : `[${shape.map((size) => size ?? "?").join(",")}]`],
    ...[elements === 0 ? "" : String(elements), multiplyAdds === null ? "?" : short(multiplyAdds), what],
  ];
}

function linesOf({ layers, sizes, elements, multiplyAdds, activationBytes, nodes }: ModelSummary): readonly string[] {
  const { trained, frozen, constant } = elements;
  const megabytes = (bytes: number): string => `${(bytes / 2 ** 20).toFixed(bytes < 2 ** 20 ? 2 : 1)} MiB`;
  const at = Object.entries(sizes).map(([name, size]) => `${name} = ${size}`);
  const open = at.length === 0 ? "" : ` at ${at.join(", ")}`;
  return [
    ...table(
      [["layer", "operator", "output", "parameters", "multiply-adds", ""], ...layers.map(rowOf)],
      [false, false, false, true, true, false],
    ),
    "",
    `${nodes} nodes; ${trained} elements are trained, ${frozen} frozen or running statistics${constant === 0 ? "" : `, ${constant} constants of the program`}`,
    `${short(multiplyAdds)} multiply-adds forward${open}; a training step takes about three times as many`,
    `memory of a step${open}: weights ${megabytes(4 * (trained + frozen))}, gradients ${megabytes(4 * trained)}, two moments (AdamW) ${megabytes(8 * trained)}, activations up to ${megabytes(activationBytes)}`,
  ];
}
