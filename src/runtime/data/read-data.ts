import { basename } from "node:path";
import { promisify } from "node:util";
import { gunzip } from "node:zlib";
import {
  BOOLEAN,
  type Kind,
  listOf,
  OPTIONS,
  optional,
  PATH,
  requireArgument,
  TEXT,
  withFields,
} from "../../arguments.ts";
import { DataError, OnnxAgrError, UsageError } from "../../errors.ts";
import type { NamedTensor } from "../../graph/attribute.ts";
import { readRegularFile } from "../../graph/io/read-file.ts";
import { mistaken } from "../../graph/sniff.ts";
import { Tensor } from "../../graph/tensor.ts";
import { dataFilesOf } from "./data-files.ts";
import type { DataContent, DataFormat, TableOptions } from "./formats/format.ts";
import { DATA_ENDINGS, DATA_FORMATS } from "./formats/index.ts";

/** What a file may be unpacked to. */
const MAX_UNPACKED = 4 * 2 ** 30;

const TABLE_OPTIONS: Kind = withFields(
  {
    columns: optional(listOf(TEXT, "names of columns")),
    label: optional({ what: "a name or null", holds: (given) => given === null || typeof given === "string" }),
    header: optional(BOOLEAN),
    classes: optional(listOf(TEXT, "names of classes")),
  },
  "options: { columns, label, header, classes }",
);

/**
 * Reads data: `.safetensors`, `.npz`, `.npy`, IDX, CIFAR's binary files, `.csv`, `.tsv`, `.parquet`, gzipped or not.
 *
 * @param specification a file; several with commas between; a folder of MNIST's or CIFAR's training files. Tensors that several
 *   files have are put together along their first axis.
 * @throws DataError `E_DATA_FORMAT`, `E_NPZ`, `E_NPY`, `E_IDX`, `E_CIFAR`, `E_TABLE`, `E_PARQUET`; FormatError `E_SAFETENSORS`, `E_NO_FILE`
 */
export async function readData(specification: string, options: TableOptions = {}): Promise<DataContent> {
  requireArgument("specification", specification, PATH);
  requireArgument("options", options, OPTIONS);
  requireArgument("options", options, TABLE_OPTIONS);
  const files = (await dataFilesOf(specification)).map((path) => ({ path, format: formatOf(path) }));
  const [given] = (["columns", "label", "header", "classes"] as const).filter((name) => options[name] !== undefined);
  if (given !== undefined && !files.some(({ format }) => format.isTable === true)) {
    throw new UsageError("E_OPTION", `--${given} (${given}) is for tables, and ${specification} has none`, {
      field: given,
    });
  }
  const contents: DataContent[] = [];
  for (const { path, format } of files) contents.push(await readOne(path, format, options));
  return together(contents);
}

/** The tensors of `readData`. */
export async function readDataFile(path: string, options: TableOptions = {}): Promise<readonly NamedTensor[]> {
  requireArgument("path", path, PATH);
  return (await readData(path, options)).tensors;
}

const unpackedName = (path: string): string => path.replace(/\.gz$/i, "");

function formatOf(path: string): DataFormat {
  const format = DATA_FORMATS.find(({ names }) => names.test(basename(unpackedName(path))));
  if (format !== undefined) return format;
  throw new DataError("E_DATA_FORMAT", `${path}: names of data files end in ${DATA_ENDINGS}`, { file: path });
}

async function readOne(path: string, format: DataFormat, options: TableOptions): Promise<DataContent> {
  const inside = unpackedName(path);
  const bytes = await readRegularFile(path);
  try {
    const plain = inside === path ? bytes : await unpack(bytes);
    const other = mistaken(plain);
    if (other !== null) throw new DataError("E_DATA_FORMAT", `this is ${other.what}`, { hint: other.hint });
    const content = await format.decode(plain, options, basename(inside));
    const { where } = content;
    return where === undefined ? content : { ...content, where: (name, sample) => `${path}:${where(name, sample)}` };
  } catch (error) {
    throw error instanceof OnnxAgrError ? error.inFile(path) : error;
  }
}

async function unpack(bytes: Uint8Array): Promise<Uint8Array> {
  try {
    return await promisify(gunzip)(bytes, { maxOutputLength: MAX_UNPACKED });
  } catch (cause) {
    const isLarge = cause instanceof RangeError;
    const reason = isLarge ? "it unpacks to more than 4 GiB" : `it is no whole gzip file: ${(cause as Error).message}`;
    throw new DataError("E_DATA_FORMAT", reason, {
      hint: isLarge ? "Unpack it and give parts of it." : "Fetch it again.",
      cause,
    });
  }
}

function together(contents: readonly DataContent[]): DataContent {
  const [first, ...others] = contents;
  if (first !== undefined && others.length === 0) return first;
  const names = new Set(contents.flatMap(({ tensors }) => tensors.map(({ name }) => name)));
  const tensors = [...names].map((name) => {
    const parts = contents.flatMap((content) =>
      content.tensors.flatMap((each) => (each.name === name ? [each.tensor] : [])),
    );
    return { name, tensor: joined(name, parts) };
  });
  const classes = Object.assign({}, ...contents.map((content) => content.classes ?? {}));
  const lists = contents.flatMap((content) => Object.entries(content.classes ?? {}));
  for (const [name, list] of lists) {
    if (JSON.stringify(list) === JSON.stringify(classes[name])) continue;
    throw new DataError("E_DATA", `the files have different classes in "${name}": ${list.join(", ")} in one`, {
      field: name,
      hint: "Say them all: --classes <list> (classes).",
    });
  }
  return { tensors, ...(lists.length === 0 ? {} : { classes }) };
}

/** One after the other along the first axis. @throws DataError `E_DATA` where they do not fit */
function joined(name: string, parts: readonly Tensor[]): Tensor {
  const [first, ...others] = parts;
  if (first === undefined) throw new Error(`no part of ${name}`);
  if (others.length === 0) return first;
  const shapeOf = ({ dtype, dims }: Tensor): string => JSON.stringify([dtype, dims.slice(1), dims.length > 0]);
  const odd = others.find((part) => shapeOf(part) !== shapeOf(first) || part.dims.length === 0);
  if (odd !== undefined) {
    throw new DataError(
      "E_DATA",
      `"${name}" is [${first.dims}] in one file and [${odd.dims}] in another: samples of different kinds`,
      {
        field: name,
      },
    );
  }
  const rows = parts.reduce((sum, part) => sum + (part.dims[0] ?? 0), 0);
  const width = first.dims.slice(1).reduce((product, dim) => product * dim, 1);
  const values = new (first.values().constructor as Float32ArrayConstructor)(rows * width);
  let at = 0;
  for (const part of parts) {
    values.set(part.values() as Float32Array, at);
    at += part.values().length;
  }
  return Tensor.from(first.dtype, [rows, ...first.dims.slice(1)], values);
}
