import { decodeSafetensors } from "../../../artifacts/safetensors.ts";
import { decodeNpy } from "../npy.ts";
import { decodeNpz } from "../npz.ts";
import { decodeCifar } from "./cifar.ts";
import type { DataFormat } from "./format.ts";
import { decodeIdx } from "./idx.ts";
import { storedCifar, storedIdx, storedNpy, storedSafetensors } from "./stored.ts";
import { type ReadTable, tableFormat } from "./table.ts";

/** The library that parses it is loaded with the first such file. */
const separatedBy =
  (usual: string): ReadTable =>
  async (...given) =>
    (await import("./csv.ts")).csv(usual)(...given);

/** Every kind of data file; `.gz` may follow any of the names. */
export const DATA_FORMATS: readonly DataFormat[] = [
  {
    name: "safetensors",
    names: /\.safetensors$/i,
    layout: storedSafetensors,
    decode: (bytes) => ({ tensors: decodeSafetensors(bytes).tensors }),
  },
  { name: "NumPy archive", names: /\.npz$/i, decode: (bytes) => ({ tensors: decodeNpz(bytes) }) },
  {
    name: "NumPy array",
    names: /\.npy$/i,
    layout: storedNpy,
    decode: (bytes, _, file) => {
      const name = file.replace(/\.npy$/i, "");
      return { tensors: [{ name, tensor: decodeNpy(bytes, name) }] };
    },
  },
  { name: "IDX", names: /(\.idx|[-.]idx\d-u?byte)$/i, decode: decodeIdx, layout: storedIdx },
  { name: "CIFAR", names: /\.bin$/i, decode: decodeCifar, layout: storedCifar },
  { name: "CSV", names: /\.csv$/i, ...tableFormat(separatedBy(",")) },
  { name: "TSV", names: /\.tsv$/i, ...tableFormat(separatedBy("\t")) },
  {
    name: "Parquet",
    names: /\.parquet$/i,
    ...tableFormat(async (...given) => (await import("./parquet.ts")).readParquet(...given)),
  },
];

/** What the names of data files end in, for errors. */
export const DATA_ENDINGS =
  ".safetensors, .npz, .npy, .idx, -idx3-ubyte, .bin (CIFAR), .csv, .tsv, .parquet, or .txt with a tokenizer, each also .gz";
