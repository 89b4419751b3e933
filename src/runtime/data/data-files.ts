import { stat } from "node:fs/promises";
import { join } from "node:path";
import { PATH, requireArgument } from "../../arguments.ts";
import { DataError, FormatError, fileSystemError } from "../../errors.ts";
import { listFolder } from "../../graph/io/read-file.ts";
import { isCalledPart } from "./images.ts";

/** The files of datasets that come as a folder, as their authors name them: those to train with. */
const USUAL: readonly (readonly RegExp[])[] = [
  [/^train-images[-.]idx3-ubyte(\.gz)?$/, /^train-labels[-.]idx1-ubyte(\.gz)?$/],
  [1, 2, 3, 4, 5].map((part) => new RegExp(`^data_batch_${part}\\.bin$`)),
  [/^train\.bin$/],
];

/**
 * The files that a specification of data names: a file, several with commas between, or a folder that has those of MNIST or
 * CIFAR under their usual names. A path that is there as it is written has no commas that separate.
 * @throws FormatError `E_NO_FILE`; DataError `E_DATA_FORMAT` for a folder with no such files
 */
export async function dataFilesOf(specification: string): Promise<readonly string[]> {
  requireArgument("specification", specification, PATH);
  const paths =
    specification.includes(",") && !(await isThere(specification)) ? specification.split(",") : [specification];
  if (paths.some((path) => path.trim() === ""))
    throw new FormatError("E_NO_FILE", `"${specification}" has an empty path between commas`);
  return (await Promise.all(paths.map(async (path) => ((await isFolder(path)) ? filesIn(path) : [path])))).flat();
}

async function filesIn(folder: string): Promise<readonly string[]> {
  const names = await listFolder(folder);
  for (const patterns of USUAL) {
    const found = patterns.flatMap((pattern) => names.filter((name) => pattern.test(name)).slice(0, 1));
    if (found.length === patterns.length) return found.map((name) => join(folder, name));
  }
  const part = names.find(isCalledPart);
  throw new DataError(
    "E_DATA_FORMAT",
    `${folder} has neither training files of MNIST or CIFAR under their usual names, nor one folder of images per class`,
    {
      file: folder,
      hint:
        part === undefined
          ? "Name the files, with commas between: --data images.idx.gz,labels.idx.gz."
          : `Give a part of the data: --data ${join(folder, part)}.`,
    },
  );
}

const isThere = async (path: string): Promise<boolean> => (await statOf(path)) !== null;
const isFolder = async (path: string): Promise<boolean> => (await statOf(path))?.isDirectory() === true;

/** Null where there is nothing: who reads it says so. @throws FileSystemError `E_FILE_SYSTEM` where that cannot be told */
async function statOf(path: string) {
  return stat(path).catch((cause: NodeJS.ErrnoException) => {
    if (["ENOENT", "ENOTDIR", "ENAMETOOLONG"].includes(cause.code ?? "")) return null;
    throw fileSystemError("read", path, cause);
  });
}
