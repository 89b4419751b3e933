import { safetensorsHeadBytes, safetensorsLayout } from "../../../artifacts/safetensors.ts";
import { layoutOf } from "../../../graph/data-type.ts";
import { NPY_HEAD_BYTES, npyLayout } from "../npy.ts";
import { cifarLayout } from "./cifar.ts";
import { idxLayout } from "./idx.ts";

/** A file of which parts are read. */
export interface RangedFile {
  readonly size: number;
  readonly read: (offset: number, length: number) => Promise<Uint8Array>;
}

/** A tensor whose samples lie one after the other in a file. */
export interface StoredTensor {
  readonly name: string;
  readonly dtype: number;
  /** The first is the number of samples. */
  readonly dims: readonly number[];
  /** Where the first sample begins. */
  readonly offset: number;
  /** Bytes from the beginning of one sample to that of the next. */
  readonly stride: number;
  /** Bytes of one sample. */
  readonly width: number;
  /** Whether elements are big-endian. */
  readonly isSwapped: boolean;
}

/** What lies where; null where samples do not lie one after the other. */
export type Layout = (file: RangedFile, name: string) => Promise<readonly StoredTensor[] | null>;

export function stored(name: string, dtype: number, dims: readonly number[], offset: number): StoredTensor {
  const elements = dims.slice(1).reduce((size, dim) => size * dim, 1);
  const width = (elements * (layoutOf(dtype)?.bits ?? 0)) / 8;
  return { name, dtype, dims, offset, width, stride: width, isSwapped: false };
}

export const storedSafetensors: Layout = async (file) => {
  const first = await file.read(0, Math.min(8, file.size));
  const head = await file.read(0, safetensorsHeadBytes(first, file.size));
  const { entries, start } = safetensorsLayout(head, file.size);
  return entries.map(({ name, dtype, dims, begin }) => stored(name, dtype, dims, start + begin));
};

export const storedNpy: Layout = async (file, fileName) => {
  const name = fileName.replace(/\.npy$/i, "");
  const head = await file.read(0, Math.min(NPY_HEAD_BYTES, file.size));
  const { dtype, dims, start, fortran } = npyLayout(head, file.size, name);
  return fortran ? null : [stored(name, dtype, dims, start)];
};

export const storedIdx: Layout = async (file) => [idxLayout(await file.read(0, Math.min(1024, file.size)), file.size)];

export const storedCifar: Layout = (file) => cifarLayout(file);
