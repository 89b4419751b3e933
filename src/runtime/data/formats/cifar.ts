import { DataError } from "../../../errors.ts";
import { DataType } from "../../../graph/data-type.ts";
import { Tensor } from "../../../graph/tensor.ts";
import type { DataContent } from "./format.ts";
import { type RangedFile, type StoredTensor, stored } from "./stored.ts";

const SHAPE = [3, 32, 32] as const;
const PIXELS = 3 * 32 * 32;

interface Kind {
  readonly name: string;
  /** The bytes before the pixels of a record: what each is, and how many classes it has. */
  readonly labels: readonly (readonly [name: string, classes: number])[];
}

/** Source: the "binary version" on the page of the CIFAR-10 and CIFAR-100 datasets. */
const KINDS: readonly Kind[] = [
  { name: "CIFAR-10", labels: [["labels", 10]] },
  {
    name: "CIFAR-100",
    labels: [
      ["coarse_labels", 20],
      ["labels", 100],
    ],
  },
];

/**
 * Decodes a binary file of CIFAR-10 or CIFAR-100: `images` [N,3,32,32] uint8, `labels`, and `coarse_labels` of CIFAR-100.
 * @throws DataError `E_CIFAR`
 */
export function decodeCifar(bytes: Uint8Array): DataContent {
  const fitting = KINDS.filter(({ labels }) => bytes.length > 0 && bytes.length % (labels.length + PIXELS) === 0);
  const failures = fitting.map((kind) => wrongLabel(kind, bytes));
  const index = failures.indexOf(null);
  const kind = fitting[index];
  if (kind === undefined) {
    const [reason] = failures;
    throw new DataError(
      "E_CIFAR",
      reason ??
        `${bytes.length} bytes are no whole number of records: ${PIXELS + 1} each in CIFAR-10, ${PIXELS + 2} in CIFAR-100`,
      { hint: "Fetch the file again, or give the data as .safetensors or .npz." },
    );
  }
  if (failures.indexOf(null, index + 1) > 0)
    throw new DataError("E_CIFAR", "the file can be read as CIFAR-10 and as CIFAR-100", {
      hint: "Give the data as .safetensors or .npz.",
    });
  return decodeRecords(kind, bytes);
}

/** Every label is looked at, one piece of the file after another. @throws DataError `E_CIFAR` */
export async function cifarLayout(file: RangedFile): Promise<readonly StoredTensor[] | null> {
  const kinds = KINDS.filter(({ labels }) => file.size > 0 && file.size % (labels.length + PIXELS) === 0);
  const [kind, other] = kinds;
  /** Few files fit both, and all of those are read as a whole. */
  if (kind === undefined || other !== undefined) return null;
  const width = kind.labels.length + PIXELS;
  const count = file.size / width;
  const records = 4096;
  for (let first = 0; first < count; first += records) {
    const reason = wrongLabel(kind, await file.read(first * width, Math.min(records, count - first) * width), first);
    if (reason !== null) throw new DataError("E_CIFAR", reason, { hint: "Fetch the file again." });
  }
  const images = stored("images", DataType.uint8, [count, ...SHAPE], kind.labels.length);
  return [
    { ...images, stride: width },
    ...kind.labels.map(([name], at) => ({ ...stored(name, DataType.uint8, [count], at), stride: width })),
  ];
}

function wrongLabel({ name, labels }: Kind, bytes: Uint8Array, first = 0): string | null {
  const width = labels.length + PIXELS;
  for (let record = 0; record * width < bytes.length; record++) {
    for (const [at, [label, classes]] of labels.entries()) {
      const value = bytes[record * width + at] ?? 0;
      if (value >= classes) return `${label} of sample ${first + record} is ${value}; ${name} has 0 to ${classes - 1}`;
    }
  }
  return null;
}

function decodeRecords({ labels }: Kind, bytes: Uint8Array): DataContent {
  const width = labels.length + PIXELS;
  const count = bytes.length / width;
  const images = new Uint8Array(count * PIXELS);
  const columns = labels.map(() => new Uint8Array(count));
  for (let record = 0; record < count; record++) {
    const start = record * width;
    for (const [at, column] of columns.entries()) column[record] = bytes[start + at] ?? 0;
    images.set(bytes.subarray(start + labels.length, start + width), record * PIXELS);
  }
  return {
    tensors: [
      { name: "images", tensor: Tensor.from(DataType.uint8, [count, ...SHAPE], images) },
      ...labels.map(([name], at) => ({
        name,
        tensor: Tensor.from(DataType.uint8, [count], columns[at] ?? new Uint8Array()),
      })),
    ],
  };
}
