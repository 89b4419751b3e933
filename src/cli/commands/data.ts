import { Command } from "commander";
import { dataTypeName } from "../../entries/graph.ts";
import type { DataContent } from "../../entries/run.ts";
import { readData } from "../../index.ts";
import { Console, type OutputOptions } from "../console.ts";
import { DATA_HELP, type InputFlags, tableOptionsOf, withTables } from "../input-options.ts";
import type { Io } from "../io.ts";

/** Of a column of classes, at most. */
const MAX_CLASSES = 1000;

interface Described {
  readonly name: string;
  readonly type: string;
  readonly shape: readonly number[];
  readonly least: number | null;
  readonly greatest: number | null;
  readonly mean: number | null;
  readonly notFinite: number;
  /** How often each whole number occurs, of tensors of one axis that have few. */
  readonly counts: readonly { readonly value: number; readonly count: number; readonly class?: string }[] | null;
}

export function dataCommand(io: Io): Command {
  return withTables(
    new Command("data")
      .description("Say what training data hold, as train and eval read them: shapes, ranges, classes")
      .argument("<data>", DATA_HELP),
  )
    .addHelpText(
      "after",
      `
Examples:
  onnx-agr data train-images-idx3-ubyte.gz,train-labels-idx1-ubyte.gz
  onnx-agr data iris.csv --label species`,
    )
    .action(async (specification: string, options: InputFlags, command: Command) => {
      const console = new Console(io, command.optsWithGlobals<OutputOptions>());
      const content = await readData(specification, tableOptionsOf(options));
      const tensors = content.tensors.map(({ name }) => describe(content, name));
      console.result({ command: "data", data: specification, tensors }, tensors.flatMap(linesOf));
    });
}

function describe({ tensors, classes }: DataContent, name: string): Described {
  const tensor = tensors.find((each) => each.name === name)?.tensor;
  if (tensor === undefined) throw new Error(`no tensor ${name}`);
  const values = tensor.values();
  let [least, greatest, sum, notFinite] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, 0, 0];
  const counts = new Map<number, number>();
  for (const each of values) {
    const value = Number(each);
    if (!Number.isFinite(value)) {
      notFinite++;
      continue;
    }
    [least, greatest, sum] = [Math.min(least, value), Math.max(greatest, value), sum + value];
    if (tensor.dims.length === 1 && counts.size <= MAX_CLASSES && Number.isInteger(value))
      counts.set(value, (counts.get(value) ?? 0) + 1);
  }
  const finite = values.length - notFinite;
  const counted = [...counts.values()].reduce((total, count) => total + count, 0);
  const isClasses = tensor.dims.length === 1 && counts.size <= MAX_CLASSES && counted === values.length;
  return {
    ...{ name, type: dataTypeName(tensor.dtype), shape: tensor.dims },
    ...(finite === 0 ? { least: null, greatest: null, mean: null } : { least, greatest, mean: sum / finite }),
    notFinite,
    counts: isClasses
      ? [...counts]
          .sort(([a], [b]) => a - b)
          .map(([value, count]) => {
            const text = classes?.[name]?.[value];
            return { value, count, ...(text === undefined ? {} : { class: text }) };
          })
      : null,
  };
}

function linesOf({ name, type, shape, least, greatest, mean, notFinite, counts }: Described): readonly string[] {
  const range = least === null ? "" : `, ${least} to ${greatest}, mean ${mean?.toPrecision(4)}`;
  const odd = notFinite === 0 ? "" : `, ${notFinite} of them NaN or infinite`;
  return [
    `${name}: ${type} [${shape.join(",")}]${range}${odd}`,
    ...(counts ?? []).map(
      ({ value, count, class: text }) => `  ${value}${text === undefined ? "" : ` ${text}`}: ${count}`,
    ),
  ];
}
