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
import { readRange, readRegularFile, withFile } from "../../graph/io/read-file.ts";
import { mistaken } from "../../graph/sniff.ts";
import { Tensor } from "../../graph/tensor.ts";
import { dataFilesOf } from "./data-files.ts";
import type { DataContent, DataFormat, TableOptions } from "./formats/format.ts";
import { DATA_ENDINGS, DATA_FORMATS } from "./formats/index.ts";
import { type ImageShape, imageFolderAt, openImages, withClasses } from "./images.ts";
import { spooled } from "./spool.ts";
import { placeholder, type Streamed, streamedFrom } from "./streamed.ts";
import { checkTextOptions, type TextOptions, type TextShape } from "./text/options.ts";
import { together } from "./together.ts";

/** What a file may be unpacked to. */
const MAX_UNPACKED = 4 * 2 ** 30;
/** Samples of larger files stay there. */
const STREAM_BYTES = 2 ** 30;

const TABLE_OPTIONS: Kind = withFields(
  {
    columns: optional(listOf(TEXT, "names of columns")),
    label: optional({ what: "a name or null", holds: (given) => given === null || typeof given === "string" }),
    header: optional(BOOLEAN),
    classes: optional(listOf(TEXT, "names of classes")),
    stream: optional(BOOLEAN),
  },
  "options: { columns, label, header, classes, stream, text }",
);

export interface ReadDataOptions extends TableOptions {
  /** Of text: its tokenizer, and how it becomes samples. Default: none; text is then refused. */
  readonly text?: TextOptions;
}

/**
 * Reads data: `.safetensors`, `.npz`, `.npy`, IDX, CIFAR's binary files, `.csv`, `.tsv`, `.parquet`, text with a tokenizer, gzipped or
 * not; a folder of images by class, all of one size.
 *
 * @param specification a file; several with commas between; a folder of MNIST's or CIFAR's training files. Tensors that several
 *   files have are put together along their first axis.
 * @throws DataError `E_DATA_FORMAT`, `E_NPZ`, `E_NPY`, `E_IDX`, `E_CIFAR`, `E_TABLE`, `E_PARQUET`, `E_TEXT`, `E_TOKENIZER`; FormatError `E_SAFETENSORS`, `E_NO_FILE`
 */
export async function readData(specification: string, options: ReadDataOptions = {}): Promise<DataContent> {
  requireArgument("options", options, OPTIONS);
  return openData(specification, { ...options, stream: false });
}

/** The same with every sample read. @throws DataError `E_DATA` for more than 4 GiB */
async function inMemory(path: string, { tensors, streamed, ...rest }: DataContent): Promise<DataContent> {
  const bytes = [...(streamed?.values() ?? [])].reduce((sum, each) => sum + (each.dims[0] ?? 0) * each.sampleBytes, 0);
  if (bytes > MAX_UNPACKED) {
    throw new DataError("E_DATA", `the samples take ${(bytes / 2 ** 30).toFixed(1)} GiB, and 4 are read at once`, {
      file: path,
      hint: "Training reads them batch by batch; give a part of them to see what they are.",
    });
  }
  const all = Uint32Array.from({ length: tensors[0]?.tensor.dims[0] ?? 0 }, (_, index) => index);
  const moment = { seed: 0, epoch: 0 };
  return {
    ...rest,
    tensors: await Promise.all(
      tensors.map(async (each) => ({
        ...each,
        tensor: (await streamed?.get(each.name)?.read(all, moment)) ?? each.tensor,
      })),
    ),
  };
}

/** How data are opened whose samples may stay in their files. */
export interface OpenOptions extends ReadDataOptions {
  /**
   * Whether samples are read when batches need them. Default: those of files beyond 1 GiB that are not gzipped
   * (safetensors, npy, IDX and CIFAR; tables by way of a temporary file), and images of folders; what has one axis or none is in memory always.
   */
  readonly stream?: boolean;
  /** Height and width that images are scaled to, where that was asked for. Default: they are not. */
  readonly imageSize?: readonly [height: number, width: number];
  /** Of folders of images: what they are to be. Default: as the first image; others are refused. */
  readonly images?: ImageShape;
  /** Of text: what a model takes. Default: anything. */
  readonly textShape?: TextShape;
  /** Told once of each thing that was chosen. */
  readonly tell?: (note: string) => void;
}

/**
 * As `readData`; the tensors in `streamed` have sizes and no elements.
 * @throws UsageError `E_OPTION` where samples are to stay in a file of another kind
 */
export async function openData(specification: string, options: OpenOptions): Promise<DataContent> {
  requireArgument("specification", specification, PATH);
  requireArgument("options", options, OPTIONS);
  requireArgument("options", options, TABLE_OPTIONS);
  const folder = await imageFolderAt(specification);
  if (folder !== null) {
    const [odd] = (["columns", "label", "header"] as const).filter((name) => options[name] !== undefined);
    if (odd !== undefined)
      throw new UsageError("E_OPTION", `--${odd} (${odd}) is for tables, and ${specification} is a folder of images`, {
        field: odd,
      });
    if (options.text !== undefined) throw noText(`${specification} is a folder of images`);
    const { images = { isResized: false }, tell = () => undefined, classes } = options;
    const own = classes === undefined ? folder : withClasses(folder, classes);
    const content = await openImages(specification, own, images, tell);
    return options.stream === false ? inMemory(specification, content) : content;
  }
  if (options.imageSize !== undefined) {
    throw new UsageError(
      "E_OPTION",
      `--image-size (imageSize) is for folders of images, and ${specification} is none`,
      {
        field: "imageSize",
      },
    );
  }
  const paths = await dataFilesOf(specification);
  if (options.text !== undefined || paths.some((path) => TEXT_NAMES.test(unpackedName(path))))
    return openTexts(specification, paths, options);
  const files = paths.map((path) => ({ path, format: formatOf(path) }));
  const [given] = (["columns", "label", "header", "classes"] as const).filter((name) => options[name] !== undefined);
  if (given !== undefined && !files.some(({ format }) => format.table !== undefined)) {
    throw new UsageError("E_OPTION", `--${given} (${given}) is for tables, and ${specification} has none`, {
      field: given,
    });
  }
  const contents: DataContent[] = [];
  const told = new Set<string>();
  for (const { path, format } of files) {
    const content = await readOne(path, format, options);
    contents.push(content);
    for (const note of content.notes ?? []) if (!told.has(note)) options.tell?.(`${path}: ${note}`);
    for (const note of content.notes ?? []) told.add(note);
  }
  return together(contents);
}

const TEXT_NAMES = /\.(txt|text)$/i;

const noText = (reason: string): UsageError =>
  new UsageError("E_OPTION", `--tokenizer (text) is for text, and ${reason}`, { field: "text" });

/** @throws UsageError `E_OPTION` where there is no tokenizer, files of other kinds are among them, or an option is for others */
async function openTexts(
  specification: string,
  paths: readonly string[],
  { text, textShape, stream, tell = () => undefined, ...options }: OpenOptions,
): Promise<DataContent> {
  if (text === undefined) {
    throw new UsageError("E_OPTION", `${specification} is text, which a tokenizer makes tokens of`, {
      field: "text",
      hint: "Give the model's: --tokenizer tokenizer.json (text: { tokenizer }).",
    });
  }
  checkTextOptions(text);
  const other = paths.find((path) => DATA_FORMATS.some(({ names }) => names.test(basename(unpackedName(path)))));
  if (other !== undefined) throw noText(`${other} is none`);
  const [odd] = (["columns", "label", "header", "classes"] as const).filter((name) => options[name] !== undefined);
  if (odd !== undefined)
    throw new UsageError("E_OPTION", `--${odd} (${odd}) is for tables, and ${specification} is text`, { field: odd });
  const { openText } = await import("./text/text.ts");
  const content = await openText(paths, text, textShape, tell);
  if (stream !== false) return content;
  if (text.target === "masked") tell("the same tokens are masked in every epoch, because all samples are read at once");
  return inMemory(specification, content);
}

/** The tensors of `readData`. */
export async function readDataFile(path: string, options: ReadDataOptions = {}): Promise<readonly NamedTensor[]> {
  requireArgument("path", path, PATH);
  return (await readData(path, options)).tensors;
}

const unpackedName = (path: string): string => path.replace(/\.gz$/i, "");

function formatOf(path: string): DataFormat {
  const format = DATA_FORMATS.find(({ names }) => names.test(basename(unpackedName(path))));
  if (format !== undefined) return format;
  throw new DataError("E_DATA_FORMAT", `${path}: names of data files end in ${DATA_ENDINGS}`, { file: path });
}

async function readOne(path: string, format: DataFormat, options: OpenOptions): Promise<DataContent> {
  const streamed = options.stream === false ? null : await streamOne(path, format, options);
  if (streamed !== null) return streamed;
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

/** With the samples left in the file, or in a temporary one; null where it is read as a whole. */
async function streamOne(
  path: string,
  { layout, table, name: kind }: DataFormat,
  options: OpenOptions,
): Promise<DataContent | null> {
  const { stream, tell = () => undefined } = options;
  const isPlain = unpackedName(path) === path;
  if (stream === true && ((layout === undefined && table === undefined) || !isPlain)) {
    throw new UsageError(
      "E_OPTION",
      `--stream (stream): samples of ${isPlain ? kind : "gzipped"} files are not read one by one`,
      {
        field: "stream",
        hint: "Leave it out, or convert the data to .safetensors or .npy.",
      },
    );
  }
  if ((layout === undefined && table === undefined) || !isPlain) return null;
  try {
    return await withFile(path, async (handle, size) => {
      if (stream !== true && size <= STREAM_BYTES) return null;
      const file = { size, read: (offset: number, length: number) => readRange(handle, path, offset, length) };
      const other = mistaken(await file.read(0, Math.min(size, 4096)));
      if (other !== null) throw new DataError("E_DATA_FORMAT", `this is ${other.what}`, { hint: other.hint });
      if (table !== undefined) return await spooled(path, await handle.stat(), table, file, options);
      const found = (await layout?.(file, basename(path))) ?? null;
      if (found === null) return null;
      const streamed = new Map<string, Streamed>();
      const tensors: NamedTensor[] = [];
      for (const each of found) {
        const samples = await streamedFrom(path, each);
        const { name, dtype, dims } = each;
        if (dims.length > 1) {
          streamed.set(name, samples);
          tensors.push({ name, tensor: placeholder(dtype, dims, path) });
        } else if (dims.length === 1) {
          const all = Uint32Array.from({ length: dims[0] ?? 0 }, (_, index) => index);
          tensors.push({ name, tensor: await samples.read(all, { seed: 0, epoch: 0 }) });
        } else {
          tensors.push({
            name,
            tensor: new Tensor(dtype, dims, { kind: "raw", bytes: await file.read(each.offset, each.width) }),
          });
        }
      }
      if (streamed.size > 0) tell(`${path}: samples are read as batches need them`);
      return { tensors, streamed };
    });
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
