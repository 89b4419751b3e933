import { randomUUID } from "node:crypto";
import type { Stats } from "node:fs";
import { type FileHandle, open, unlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { FileSystemError, fileSystemError } from "../../errors.ts";
import { DataType } from "../../graph/data-type.ts";
import type { DataContent, TableOptions } from "./formats/format.ts";
import { type RangedFile, stored } from "./formats/stored.ts";
import type { ReadTable } from "./formats/table.ts";
import { placeholder, readSamples, type Streamed } from "./streamed.ts";

/** Closes the files of those that nobody reads any more. */
const UNUSED = new FinalizationRegistry<FileHandle>((handle) => {
  handle.close().catch(() => undefined);
});

/** A temporary file without a name: it is gone with the process, however that ends. */
class Spool {
  readonly path: string;
  readonly handle: FileHandle;
  #bytes = 0;

  private constructor(path: string, handle: FileHandle) {
    this.path = path;
    this.handle = handle;
    UNUSED.register(this, handle);
  }

  /** @throws FileSystemError `E_FILE_SYSTEM` */
  static async create(): Promise<Spool> {
    const path = join(tmpdir(), `onnx-agr-data-${randomUUID()}`);
    const handle = await open(path, "wx+", 0o600).catch((cause: unknown) => {
      throw fileSystemError("make the temporary file", path, cause);
    });
    await unlink(path).catch(() => undefined);
    return new Spool(path, handle);
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** @throws FileSystemError `E_FILE_SYSTEM`, which says how another folder is chosen */
  async append(values: Float32Array<ArrayBuffer>): Promise<void> {
    const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
    for (let done = 0; done < bytes.length; ) {
      const { bytesWritten } = await this.handle
        .write(bytes, done, bytes.length - done, this.#bytes + done)
        .catch((cause: unknown) => {
          const { code, message } = fileSystemError("write", this.path, cause);
          throw new FileSystemError(code, message, {
            hint: "Tables larger than memory need a temporary file of 4 bytes per feature; TMPDIR names the folder.",
            cause,
          });
        });
      done += bytesWritten;
    }
    this.#bytes += bytes.length;
  }
}

/**
 * A table whose features do not stay in memory: rows of text or of column chunks are not found one by one, so they go, once, into a
 * temporary file of numbers, where every one is.
 * @throws what the table's reader throws; FileSystemError `E_FILE_SYSTEM`
 */
export async function spooled(
  path: string,
  { size, mtimeMs }: Stats,
  read: ReadTable,
  file: RangedFile,
  options: TableOptions & { readonly tell?: (note: string) => void },
): Promise<DataContent> {
  const spool = await Spool.create();
  const table = await read(file, options, async (part) => spool.append(part.take()));
  await spool.append(table.take());
  const content = table.content((dims) => placeholder(DataType.float, dims, path));
  const features = content.tensors.find(({ name }) => name === "features");
  if (features === undefined) return content;
  const layout = stored("features", DataType.float, features.tensor.dims, 0);
  const streamed: Streamed = {
    ...{ dtype: layout.dtype, dims: layout.dims, sampleBytes: layout.width },
    identity: async () => `${basename(path)} [${layout.dims}] ${size} ${mtimeMs} ${JSON.stringify(table.columns)}`,
    read: (samples) => readSamples(spool.handle, spool.path, layout, samples),
  };
  const gigabytes = (spool.bytes / 2 ** 30).toFixed(spool.bytes < 2 ** 28 ? 3 : 1);
  options.tell?.(
    `${path}: samples are read as batches need them, from a temporary file of ${gigabytes} GiB in ${tmpdir()} (TMPDIR)`,
  );
  const { where } = content;
  return {
    ...content,
    ...(where === undefined ? {} : { where: (name: string, row: number) => `${path}:${where(name, row)}` }),
    streamed: new Map([["features", streamed]]),
  };
}
