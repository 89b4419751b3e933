import { type Command, InvalidArgumentError, Option } from "commander";
import type { GraphTensor, NamedTensor } from "../entries/graph.ts";
import { type TableOptions, TEXT_TARGETS, type TextOptions } from "../entries/run.ts";
import type { InputSpec } from "../entries/training.ts";
import { type Dataset, type DatasetOptions, readDataFile, readDataset, UsageError } from "../index.ts";
import { nonNegative, wholeNumber } from "./values.ts";

/** Options that say how data become the inputs of a model. */
export interface InputFlags {
  readonly columns?: readonly string[];
  readonly label?: string | false;
  readonly header?: boolean;
  readonly classes?: readonly string[];
  readonly scale?: number;
  readonly normalize?: "computed" | { readonly mean: readonly number[]; readonly std: readonly number[] };
  readonly stream?: boolean;
  readonly imageSize?: readonly [height: number, width: number];
  readonly tokenizer?: string;
  readonly text?: (typeof TEXT_TARGETS)[number];
  readonly length?: number;
  readonly lineByLine?: boolean;
  readonly maskProbability?: number;
  /** Of every input that is the same for all batches: a number, or the path of a data file. */
  readonly input: Readonly<Record<string, number | string>>;
  readonly sampleAxis: Readonly<Record<string, number>>;
}

export const DATA_HELP =
  ".safetensors, .npz, .npy, IDX, CIFAR's .bin, .csv, .tsv or .parquet, also .gz; several with commas between; a folder of MNIST or CIFAR, or of images (.png, .jpg, .webp) by class; text (.txt) with --tokenizer";

/** Adds to a command the options of how tables are read. */
export function withTables(command: Command): Command {
  return command
    .option(
      "--columns <list>",
      "tables: the columns of the features, by name or number (default: all but the label's)",
      list,
    )
    .option("--label <column>", "tables: the column of the label (default: label, class, target or y, else the last)")
    .option("--no-label", "tables: no column is a label")
    .option("--header", "tables: the first row has names (default: what it looks like)")
    .option("--no-header", "tables: the first row has data")
    .option(
      "--classes <list>",
      "tables and folders of images: the words of the classes, by their numbers (default: in alphabetical order)",
      list,
    );
}

/** Adds to a command the options of how text becomes samples. */
export function withText(command: Command): Command {
  return command
    .option("--tokenizer <file>", "text: the tokenizer.json that makes tokens of it")
    .addOption(
      new Option(
        "--text <target>",
        "text: what is to be found, the token after each or tokens that are masked (default: next-token)",
      ).choices([...TEXT_TARGETS]),
    )
    .option("--length <tokens>", "text: tokens of a sample (default: what the model takes, else 128)", wholeNumber(2))
    .option(
      "--line-by-line",
      "text: each line is a sample, cut off or filled up (default: lines follow each other, and are cut where a sample is full)",
    )
    .option(
      "--mask-probability <p>",
      "text: with --text masked, of each token to be one that is to be found (default: 0.15)",
      probability,
    );
}

/** Adds to a command the options that say what data become. */
export function withInputs(command: Command): Command {
  return withConstants(withImageSize(withText(withTables(command))))
    .option("--scale <x>", "what samples are multiplied by (default: 1/255 for images of bytes, else 1)", nonNegative)
    .option(
      "--normalize <computed|mean,std>",
      "per channel: of the data, or numbers: 0.5,0.25; means/deviations of several channels with spaces between",
      normalization,
    )
    .option(
      "--stream",
      "read samples when batches need them (default: images, and files beyond 1 GiB; tables by way of a temporary file)",
    )
    .option("--no-stream", "read all samples into memory");
}

/** Adds to a command the option of what size the images of a folder get. */
export function withImageSize(command: Command): Command {
  return command.option(
    "--image-size <height>x<width>",
    "folders of images: scale them to this size (default: to what the model takes, else all must have that of the first)",
    imageSize,
  );
}

/** Adds to a command the options of inputs that are no samples. */
export function withConstants(command: Command): Command {
  return command
    .option(
      "--input <name=constant:value>",
      "an input that is the same for every batch: a number that fills its shape, or a data file; repeatable",
      constant,
      {},
    )
    .option(
      "--sample-axis <name=axis>",
      "the axis along which an input has its samples, where it is not 0; repeatable",
      sampleAxis,
      {},
    );
}

const CONSTANT = /^(.+)=constant:(.+)$/s;
const AXIS = /^(.+)=(\d{1,2})$/s;
const NUMERAL = /^[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?$/i;

function constant(text: string, earlier: InputFlags["input"]): InputFlags["input"] {
  const [, name, value] = CONSTANT.exec(text) ?? [];
  if (name === undefined || value === undefined) {
    throw new InvalidArgumentError("Give a name and a value or a file: rate=constant:16000, h=constant:h.npz.");
  }
  return { ...earlier, [name]: NUMERAL.test(value) ? Number(value) : value };
}

function sampleAxis(text: string, earlier: InputFlags["sampleAxis"]): InputFlags["sampleAxis"] {
  const [, name, axis] = AXIS.exec(text) ?? [];
  if (name === undefined) throw new InvalidArgumentError("Give a name and an axis, counted from 0: h=1.");
  return { ...earlier, [name]: Number(axis) };
}

const list = (text: string): readonly string[] => text.split(",").map((item) => item.trim());

function probability(text: string): number {
  const value = nonNegative(text);
  if (value > 0 && value <= 1) return value;
  throw new InvalidArgumentError("Give a number above 0 and at most 1.");
}

const SIZE = /^(\d{1,5})(?:x(\d{1,5}))?$/;

function imageSize(text: string): readonly [number, number] {
  const [, height, width = height] = SIZE.exec(text) ?? [];
  const size = [Number(height), Number(width)] as const;
  if (!size.every((side) => side >= 1))
    throw new InvalidArgumentError("Give pixels: 224, or height and width: 224x320.");
  return size;
}

function normalization(text: string): NonNullable<InputFlags["normalize"]> {
  if (text === "computed") return text;
  const [mean, std, ...more] = text.split(",").map((part) => part.trim().split(/\s+/).map(Number));
  if (mean === undefined || std === undefined || more.length > 0 || ![...mean, ...std].every(Number.isFinite))
    throw new InvalidArgumentError(
      'Give computed, or a mean and a deviation: 0.5,0.25, or "0.49 0.48 0.45,0.25 0.24 0.26".',
    );
  return { mean, std };
}

/** The data of a command line, as its model takes them. @throws what `readDataset` throws */
export async function datasetOf(
  inputs: readonly InputSpec[],
  flags: InputFlags & { readonly data: string },
  tell: (note: string) => void,
): Promise<Dataset> {
  const { scale, normalize, stream, imageSize: size } = flags;
  return readDataset(inputs, flags.data, {
    ...(stream === undefined ? {} : { stream }),
    ...(size === undefined ? {} : { imageSize: size }),
    ...tableOptionsOf(flags),
    ...textOptionsOf(flags),
    ...(scale === undefined ? {} : { scale }),
    ...(normalize === undefined ? {} : { normalize }),
    ...(await datasetOptionsOf(flags)),
    tell,
  });
}

/** How tables are read. */
export function tableOptionsOf({ columns, label, header, classes }: InputFlags): TableOptions {
  return {
    ...(columns === undefined ? {} : { columns }),
    ...(label === undefined ? {} : { label: label === false ? null : label }),
    ...(header === undefined ? {} : { header }),
    ...(classes === undefined ? {} : { classes }),
  };
}

/** How text becomes samples. @throws UsageError `E_OPTION` where there is no tokenizer */
export function textOptionsOf(flags: InputFlags): { readonly text?: TextOptions } {
  const { tokenizer, text: target, length, lineByLine, maskProbability } = flags;
  if (tokenizer === undefined) {
    const [odd] = Object.entries({
      text: target,
      length,
      "line-by-line": lineByLine,
      "mask-probability": maskProbability,
    }).flatMap(([name, value]) => (value === undefined ? [] : [name]));
    if (odd === undefined) return {};
    throw new UsageError("E_OPTION", `--${odd} needs --tokenizer`, {
      field: odd,
      hint: "It is for text: --tokenizer tokenizer.json.",
    });
  }
  return {
    text: {
      tokenizer,
      ...(target === undefined ? {} : { target }),
      ...(length === undefined ? {} : { length }),
      ...(lineByLine === undefined ? {} : { lineByLine }),
      ...(maskProbability === undefined ? {} : { maskProbability }),
    },
  };
}

/** With the files read. @throws what `readDataFile` throws; UsageError `E_OPTION` where a file does not say which tensor */
export async function datasetOptionsOf({ input, sampleAxis: sampleAxes }: InputFlags): Promise<DatasetOptions> {
  const constants: Record<string, number | GraphTensor> = {};
  for (const [name, value] of Object.entries(input)) {
    constants[name] = typeof value === "number" ? value : pick(await readDataFile(value), name, value);
  }
  return { constants, sampleAxes };
}

/** The tensor of the input's name, or the only one. */
function pick(tensors: readonly NamedTensor[], name: string, file: string): GraphTensor {
  const found = tensors.find((each) => each.name === name) ?? (tensors.length === 1 ? tensors[0] : undefined);
  if (found !== undefined) return found.tensor;
  throw new UsageError("E_OPTION", `${file} has no tensor "${name}" and not one alone`, {
    field: name,
    hint: `It has ${tensors.map((each) => each.name).join(", ") || "nothing"}.`,
  });
}
