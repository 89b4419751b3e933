import { Command } from "commander";
import { dataTypeName, writeFileAtomic } from "../../entries/graph.ts";
import {
  type ContactSheet,
  contactSheet,
  type DataContent,
  describeData,
  openData,
  type TensorDescription,
} from "../../entries/run.ts";
import { Console, type OutputOptions } from "../console.ts";
import {
  DATA_HELP,
  type InputFlags,
  tableOptionsOf,
  textOptionsOf,
  withImageSize,
  withTables,
  withText,
} from "../input-options.ts";
import type { Io } from "../io.ts";
import { checkTarget } from "../target.ts";

interface DataFlags extends InputFlags {
  readonly sheet?: string;
  readonly force?: boolean;
}

/** Of a sample of text, what is shown. */
const SHOWN = 300;
/** Means of more channels are not for --normalize. */
const MOST_CHANNELS = 4;

export function dataCommand(io: Io): Command {
  return withImageSize(
    withText(
      withTables(
        new Command("data")
          .description("Say what training data hold, as train and eval read them: shapes, ranges, classes, tokens")
          .argument("<data>", DATA_HELP),
      ),
    ),
  )
    .option("--sheet <file>", "write a PNG of samples that are pictures, a row for each class")
    .option("--force", "replace the file of --sheet")
    .addHelpText(
      "after",
      `
Examples:
  onnx-agr data train-images-idx3-ubyte.gz,train-labels-idx1-ubyte.gz --sheet sheet.png
  onnx-agr data iris.csv --label species
  onnx-agr data corpus.txt --tokenizer tokenizer.json --length 128`,
    )
    .action(async (specification: string, options: DataFlags, command: Command) => {
      const console = new Console(io, command.optsWithGlobals<OutputOptions>());
      const { imageSize, sheet: path, force = false } = options;
      if (path !== undefined) await checkTarget(specification, path, { force, inPlace: false });
      const content = await openData(specification, {
        ...tableOptionsOf(options),
        ...textOptionsOf(options),
        ...(imageSize === undefined ? {} : { imageSize, images: { isResized: true, size: imageSize } }),
        tell: (note) => console.note(note),
      });
      const sheet = path === undefined ? null : await contactSheet(content);
      const tensors = await describeData(content);
      const text = await textOf(content);
      if (sheet !== null && path !== undefined) await writeFileAtomic(path, sheet.png);
      const counts = tensors.flatMap(({ name, shape }) => (shape[0] === undefined ? [] : [`${name} ${shape[0]}`]));
      if (new Set(tensors.flatMap(({ shape }) => shape[0] ?? [])).size > 1)
        console.note(`the tensors have different numbers of samples: ${counts.join(", ")}`);
      console.result(
        {
          ...{ command: "data", data: specification, tensors: tensors.map(documentOf) },
          ...(text === null ? {} : { text }),
          ...(sheet === null || path === undefined ? {} : { sheet: { file: path, ...told(sheet) } }),
        },
        [
          ...tensors.flatMap(linesOf),
          ...(text === null ? [] : linesOfText(text)),
          ...(sheet === null || path === undefined ? [] : [`${path}: ${sayOf(sheet, content)}`]),
        ],
      );
    });
}

const documentOf = ({ dtype, range, moments, counts, name, shape, notFinite }: TensorDescription) => ({
  ...{ name, type: dataTypeName(dtype), shape, least: range?.least ?? null, greatest: range?.greatest ?? null },
  ...{ mean: overall(moments?.mean), deviation: deviationOf(moments), notFinite, counts },
  channels: moments !== null && moments.mean.length > 1 ? moments : null,
});

const overall = (means: readonly number[] | undefined): number | null =>
  means === undefined ? null : means.reduce((sum, mean) => sum + mean, 0) / means.length;

/** Of all elements, by those of channels of one size. */
function deviationOf(moments: TensorDescription["moments"]): number | null {
  const mean = overall(moments?.mean);
  if (moments === null || mean === null) return null;
  const squares = moments.mean.map((own, channel) => (moments.std[channel] ?? 0) ** 2 + (own - mean) ** 2);
  return Math.sqrt(squares.reduce((sum, square) => sum + square, 0) / squares.length);
}

function linesOf(tensor: TensorDescription): readonly string[] {
  const { name, dtype, shape, range, moments, notFinite, counts } = tensor;
  const [mean, deviation] = [overall(moments?.mean), deviationOf(moments)];
  const numbers =
    range === null
      ? ""
      : `, ${range.least} to ${range.greatest}, mean ${mean?.toPrecision(4)}, deviation ${deviation?.toPrecision(4)}`;
  const odd = notFinite === 0 ? "" : `, ${notFinite} of them NaN or infinite`;
  return [
    `${name}: ${dataTypeName(dtype)} [${shape.join(",")}]${numbers}${odd}`,
    ...normalizationOf(tensor),
    ...(counts ?? []).map(
      ({ value, count, class: text }) => `  ${value}${text === undefined ? "" : ` ${text}`}: ${count}`,
    ),
  ];
}

/** What `train --normalize` takes for samples that are pictures of bytes, which become floats from 0 to 1. */
function normalizationOf({ dtype, shape, moments }: TensorDescription): readonly string[] {
  const isBytes = dataTypeName(dtype) === "uint8" && shape.length >= 3;
  if (!isBytes || moments === null || moments.mean.length > MOST_CHANNELS) return [];
  const list = (numbers: readonly number[]): string => numbers.map((each) => (each / 255).toFixed(4)).join(" ");
  const [mean, std] = [list(moments.mean), list(moments.std)];
  return [`  after 1/255: --normalize ${moments.mean.length === 1 ? `${mean},${std}` : `"${mean},${std}"`}`];
}

interface Text {
  readonly lines: number;
  readonly tokens: number;
  readonly vocabulary: number;
  readonly different: number;
  readonly unknown: number;
  /** The first sample, as text. */
  readonly sample: string;
}

async function textOf({ text, streamed }: DataContent): Promise<Text | null> {
  const first = await streamed?.get("input_ids")?.read(Uint32Array.of(0), { seed: 0, epoch: 0 });
  if (text === undefined || first === undefined) return null;
  const { lines, tokens, vocabulary, decode, count } = text;
  return { lines, tokens, vocabulary, ...count(), sample: decode(Array.from(first.values(), Number)) };
}

const linesOfText = ({ lines, tokens, vocabulary, different, unknown, sample }: Text): readonly string[] => [
  `text: ${lines} lines, ${tokens} tokens, ${different} different ones of ${vocabulary}, ${unknown} unknown`,
  `  first sample: ${JSON.stringify(sample.slice(0, SHOWN))}${sample.length > SHOWN ? " ..." : ""}`,
];

const told = ({ png: _, ...rest }: ContactSheet): Omit<ContactSheet, "png"> => rest;

function sayOf({ width, height, tensor, rows, leftOut }: ContactSheet, { classes }: DataContent): string {
  const count = rows.reduce((sum, { samples }) => sum + samples.length, 0);
  const words = classes?.["labels"];
  const names = rows.flatMap(({ label }) => (label === null ? [] : [words?.[label] ?? String(label)]));
  const byClass = names.length === 0 ? "the first" : `a row for each class, from above ${names.join(", ")}`;
  const rest = leftOut === 0 ? "" : `; ${leftOut} classes have no row`;
  return `${count} samples of ${tensor}, ${width}x${height} pixels, ${byClass}${rest}`;
}
