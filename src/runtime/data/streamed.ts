import { type FileHandle, stat } from "node:fs/promises";
import { basename } from "node:path";
import { FormatError, fileSystemError } from "../../errors.ts";
import { layoutOf } from "../../graph/data-type.ts";
import { withFile } from "../../graph/io/read-file.ts";
import { Tensor } from "../../graph/tensor.ts";
import type { StoredTensor } from "./formats/stored.ts";
import { readPieces } from "./read-pieces.ts";
import type { Moment } from "./sample-source.ts";

/** A tensor whose samples are read when they are needed. */
export interface Streamed {
  readonly dtype: number;
  readonly dims: readonly number[];
  readonly sampleBytes: number;
  /** What tells it from others. Asked for where runs are compared: of very many images it takes seconds. */
  readonly identity: () => Promise<string>;
  /** These samples, along the first axis, in the order asked for. */
  readonly read: (samples: Uint32Array, moment: Moment) => Promise<Tensor>;
}

/** A tensor that knows its type and sizes, and has no elements here. */
export const placeholder = (dtype: number, dims: readonly number[], location: string): Tensor =>
  new Tensor(dtype, dims, { kind: "external", at: { location, offset: 0, length: null, checksum: null } });

interface Run {
  /** The place of its first sample in the batch. */
  readonly at: number;
  readonly first: number;
  readonly count: number;
}

/** Samples that follow each other in the file are read together. */
function runsOf(samples: Uint32Array): readonly Run[] {
  const runs: { at: number; first: number; count: number }[] = [];
  for (const [at, sample] of samples.entries()) {
    const last = runs.at(-1);
    if (last !== undefined && last.first + last.count === sample) last.count++;
    else runs.push({ at, first: sample, count: 1 });
  }
  return runs;
}

/**
 * Samples of a file that is not in memory.
 * @throws FormatError `E_FILE_CHANGED`, when samples are read, where the file is another than it was
 */
export async function streamedFrom(path: string, tensor: StoredTensor): Promise<Streamed> {
  const { dtype, dims, width } = tensor;
  const begun = await stat(path).catch((cause: unknown) => {
    throw fileSystemError("read", path, cause);
  });
  return {
    ...{ dtype, dims, sampleBytes: width },
    identity: async () => `${basename(path)} ${tensor.name} ${dtype} [${dims}] ${begun.size} ${begun.mtimeMs}`,
    read: (samples) =>
      withFile(path, async (handle, size) => {
        if (size !== begun.size || (await handle.stat()).mtimeMs !== begun.mtimeMs)
          throw new FormatError("E_FILE_CHANGED", `${path} was changed while it was trained with`, { file: path });
        return readSamples(handle, path, tensor, samples);
      }),
  };
}

/** These samples of a tensor that lies in an open file, in the order asked for. */
export async function readSamples(
  handle: FileHandle,
  path: string,
  { dtype, dims, width, stride, offset, isSwapped }: StoredTensor,
  samples: Uint32Array,
): Promise<Tensor> {
  const bytes = new Uint8Array(samples.length * width);
  const runs = runsOf(samples).map((run) => {
    const length = (run.count - 1) * stride + width;
    const isWhole = stride === width || run.count === 1;
    const into = isWhole ? bytes.subarray(run.at * width, run.at * width + length) : new Uint8Array(length);
    return { ...run, isWhole, offset: offset + run.first * stride, into };
  });
  await readPieces(handle, path, runs);
  for (const { at, count, into } of runs.filter(({ isWhole }) => !isWhole)) {
    for (let row = 0; row < count; row++)
      bytes.set(into.subarray(row * stride, row * stride + width), (at + row) * width);
  }
  if (isSwapped) swap(bytes, (layoutOf(dtype)?.bits ?? 8) / 8);
  return new Tensor(dtype, [samples.length, ...dims.slice(1)], { kind: "raw", bytes });
}

function swap(bytes: Uint8Array, width: number): void {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (width === 2) buffer.swap16();
  else if (width === 4) buffer.swap32();
  else if (width === 8) buffer.swap64();
}

/** One after the other: what several files have of one tensor. */
export function streamedTogether(parts: readonly Streamed[]): Streamed {
  const [first] = parts;
  if (first === undefined) throw new Error("no parts");
  if (parts.length === 1) return first;
  const starts: number[] = [];
  let rows = 0;
  for (const { dims } of parts) {
    starts.push(rows);
    rows += dims[0] ?? 0;
  }
  return {
    ...first,
    dims: [rows, ...first.dims.slice(1)],
    identity: async () => (await Promise.all(parts.map(({ identity }) => identity()))).join("\n"),
    read: async (samples, moment) => {
      const bytes = new Uint8Array(samples.length * first.sampleBytes);
      await Promise.all(
        parts.map(async ({ dims, read }, part) => {
          const start = starts[part] ?? 0;
          const places = [...samples.keys()].filter((at) => {
            const row = (samples[at] ?? 0) - start;
            return row >= 0 && row < (dims[0] ?? 0);
          });
          if (places.length === 0) return;
          const values = (
            await read(
              Uint32Array.from(places, (at) => (samples[at] ?? 0) - start),
              moment,
            )
          ).values();
          const own = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
          for (const [index, at] of places.entries())
            bytes.set(own.subarray(index * first.sampleBytes, (index + 1) * first.sampleBytes), at * first.sampleBytes);
        }),
      );
      return new Tensor(first.dtype, [samples.length, ...first.dims.slice(1)], { kind: "raw", bytes });
    },
  };
}
