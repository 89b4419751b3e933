import { type Command, InvalidArgumentError } from "commander";
import { type DatasetOptions, type GraphTensor, type NamedTensor, readDataFile, UsageError } from "../index.ts";

/** Options that say how data become the inputs of a model. */
export interface InputFlags {
  /** Of every input that is the same for all batches: a number, or the path of a data file. */
  readonly input: Readonly<Record<string, number | string>>;
  readonly sampleAxis: Readonly<Record<string, number>>;
}

/** Adds --input and --sample-axis to a command. */
export function withInputs(command: Command): Command {
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
