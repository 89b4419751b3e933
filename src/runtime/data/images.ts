import { statSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { join, relative, sep } from "node:path";
import { listOf, PATH, requireArgument } from "../../arguments.ts";
import { DataError, fileSystemError, UsageError } from "../../errors.ts";
import { turn } from "../../event-loop.ts";
import { DataType } from "../../graph/data-type.ts";
import { sha256 } from "../../graph/io/digest.ts";
import { isFolder, listFolder } from "../../graph/io/read-file.ts";
import { Tensor } from "../../graph/tensor.ts";
import type { DataContent } from "./formats/format.ts";
import { imageReader } from "./image-reader.ts";
import { placeholder, type Streamed } from "./streamed.ts";

/** What the images of a folder are to be. */
export interface ImageShape {
  /** 1: grey; 3: colours; 4: colours and how opaque they are. Default: as the first image. */
  readonly channels?: number;
  /** Height and width. Default: those of the first image. */
  readonly size?: readonly [height: number, width: number];
  /** Whether images of other sizes are scaled; else they are refused. */
  readonly isResized: boolean;
}

/** Files that are open at once. */
const MOST_OPEN = 64;
/** Files whose sizes are asked for between two turns of the event loop: a call is so short that to hand it to a thread takes longer. */
const SIZES_PER_TURN = 512;

const IMAGE = /\.(png|jpe?g|webp)$/i;
/** What file managers leave in folders. */
const LEFT_BEHIND = /^(\.|thumbs\.db$|desktop\.ini$)/i;
/** Folders of parts of a dataset are no classes. */
const PARTS = new Set(["train", "training", "val", "valid", "validation", "test"]);

/** Whether a folder is called as parts of datasets are. */
export const isCalledPart = (name: string): boolean => PARTS.has(name.toLowerCase());

export interface ImageFolder {
  /** The names of the folders, which are the classes, in alphabetical order. */
  readonly classes: readonly string[];
  /** Every image, class by class, each class in alphabetical order. */
  readonly files: readonly string[];
  readonly labels: BigInt64Array;
}

/**
 * The images of a folder that has one folder per class; null where it is none.
 * @throws DataError `E_IMAGE` where it has parts in the place of classes, other files beside the images, or a class without any
 */
export async function imageFolderAt(path: string): Promise<ImageFolder | null> {
  requireArgument("path", path, PATH);
  if (!(await isFolder(path))) return null;
  const entries = (await readdir(path, { withFileTypes: true })).filter(({ name }) => !name.startsWith("."));
  const classes = entries
    .filter((entry) => entry.isDirectory())
    .map(({ name }) => name)
    .sort();
  const lists = await Promise.all(classes.map((name) => listFolder(join(path, name))));
  if (!lists.some((names) => names.some((name) => IMAGE.test(name)))) return null;
  if (classes.every(isCalledPart)) throw partsFound(path, classes);
  const files: string[] = [];
  const labels: bigint[] = [];
  for (const [label, names] of lists.entries()) {
    const folder = join(path, classes[label] ?? "");
    const visible = names.filter((name) => !LEFT_BEHIND.test(name));
    const other = visible.find((name) => !IMAGE.test(name));
    if (other !== undefined || visible.length === 0) {
      const file = other === undefined ? folder : join(folder, other);
      throw new DataError(
        "E_IMAGE",
        `${file} ${other === undefined ? "is a class without images" : "is no PNG, JPEG or WebP"}`,
        {
          file,
          hint: "A folder of images has one folder per class, with images alone in it; move what is none.",
        },
      );
    }
    for (const name of visible) {
      files.push(`${folder}${sep}${name}`);
      labels.push(BigInt(label));
    }
  }
  return { classes, files, labels: BigInt64Array.from(labels) };
}

/**
 * The same with the classes numbered as they are given, also those that the folder does not have.
 * @throws DataError `E_CLASSES` for a folder that is none of them
 */
export function withClasses({ classes, files, labels }: ImageFolder, given: readonly string[]): ImageFolder {
  const other = classes.find((name) => !given.includes(name));
  if (other !== undefined) {
    throw new DataError("E_CLASSES", `the folder "${other}" is none of the classes given, ${given.join(", ")}`, {
      field: other,
      hint: "Name its class too, or move the folder.",
    });
  }
  const numbers = classes.map((name) => BigInt(given.indexOf(name)));
  return { classes: given, files, labels: labels.map((label) => numbers[Number(label)] ?? 0n) };
}

const partsFound = (path: string, parts: readonly string[]): DataError =>
  new DataError("E_IMAGE", `${path} has parts of a dataset, ${parts.join(" and ")}, and not one folder per class`, {
    file: path,
    hint: `Give one of them: --data ${join(path, parts[0] ?? "")}.`,
  });

/** `images`, uint8 [N,C,H,W], decoded when batches need them, and `labels`, int64 [N], of their folders. */
export async function openImages(
  path: string,
  { classes, files, labels }: ImageFolder,
  shape: ImageShape,
  tell: (note: string) => void,
): Promise<DataContent> {
  const first = files[0];
  if (first === undefined) throw new DataError("E_IMAGE", `${path} has no images`, { file: path });
  const reader = await imageReader();
  const found = await reader.sizeOf(first);
  const channels = shape.channels ?? found.channels;
  if (![1, 3, 4].includes(channels))
    throw new UsageError("E_OPTION", `images have 1, 3 or 4 channels, and the model takes ${channels}`, {
      field: "data",
    });
  const [height, width] = shape.size ?? [found.height, found.width];
  const sampleBytes = channels * height * width;
  const dims = [files.length, channels, height, width];
  const kind = { 1: "grey", 3: "RGB", 4: "RGBA" }[channels];
  const scaled = shape.isResized ? `, scaled to ${height}x${width} where they have another size` : "";
  tell(`${path}: ${files.length} images in ${classes.length} classes, as ${kind}, turned as EXIF says${scaled}`);
  const images: Streamed = {
    ...{ dtype: DataType.uint8, dims, sampleBytes },
    identity: async () => `${files.length} images, ${channels}x${height}x${width}, ${await namesAndSizes(path, files)}`,
    read: async (samples) => {
      const bytes = new Uint8Array(samples.length * sampleBytes);
      const target = { channels, height, width, isResized: shape.isResized };
      for (let begin = 0; begin < samples.length; begin += MOST_OPEN) {
        await Promise.all(
          Array.from(samples.subarray(begin, begin + MOST_OPEN), async (sample, at) => {
            bytes.set(await reader.pixelsOf(files[sample] ?? "", target), (begin + at) * sampleBytes);
          }),
        );
      }
      return Tensor.from(DataType.uint8, [samples.length, channels, height, width], bytes);
    },
  };
  return {
    tensors: [
      { name: "images", tensor: placeholder(DataType.uint8, dims, path) },
      { name: "labels", tensor: Tensor.from(DataType.int64, [files.length], labels) },
    ],
    classes: { labels: classes },
    streamed: new Map([["images", images]]),
  };
}

function sizeOf(file: string): number {
  try {
    return statSync(file).size;
  } catch (cause) {
    throw fileSystemError("read", file, cause);
  }
}

/** SHA-256 of the names and sizes of images: there may be more of them than one reads to tell them from others. */
export async function namesAndSizes(folder: string, files: readonly string[]): Promise<string> {
  requireArgument("folder", folder, PATH);
  requireArgument("files", files, listOf(PATH, "a list of paths"));
  const lines: string[] = [];
  const within = join(folder, sep);
  for (const [index, file] of files.entries()) {
    const name = file.startsWith(within) ? file.slice(within.length) : relative(folder, file);
    lines.push(`${name} ${sizeOf(file)}`);
    if (index % SIZES_PER_TURN === 0) await turn();
  }
  return sha256(new TextEncoder().encode(lines.join("\n")));
}
