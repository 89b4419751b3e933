import { DataError } from "../../errors.ts";
import { DataType } from "../../graph/data-type.ts";
import { Tensor } from "../../graph/tensor.ts";

const DTYPES = new Map<string, number>([
  ["f4", DataType.float],
  ["f8", DataType.double],
  ["f2", DataType.float16],
  ["i1", DataType.int8],
  ["i2", DataType.int16],
  ["i4", DataType.int32],
  ["i8", DataType.int64],
  ["u1", DataType.uint8],
  ["u2", DataType.uint16],
  ["u4", DataType.uint32],
  ["u8", DataType.uint64],
  ["b1", DataType.bool],
]);

type Fail = (reason: string, hint?: string) => DataError;

const AS_NUMBERS = "Give words as numbers: words, numbers = np.unique(labels, return_inverse=True).";
/** What to do with arrays of other kinds, by the letter of their type. */
const REMEDIES: Readonly<Record<string, string>> = {
  ...{ O: AS_NUMBERS, U: AS_NUMBERS, S: AS_NUMBERS, a: AS_NUMBERS },
  c: "Give real and imaginary parts as two numbers: np.stack([x.real, x.imag], 1).",
  M: "Give times as numbers that mean something to the model.",
  m: "Give times as numbers that mean something to the model.",
  V: "Give an array for each field.",
};

/** NumPy's own limits, the header's a little wider. */
const MAX_RANK = 64;
const MAX_HEADER_BYTES = 65_536;

const MAGIC = "\u0093NUMPY";

/**
 * Decodes a NumPy array file (format versions 1 to 3, little-endian). Python objects are refused: reading them would run code.
 * @throws DataError `E_NPY`
 */
export function decodeNpy(bytes: Uint8Array, name: string): Tensor {
  const { dtype, dims, start, fortran } = npyLayout(bytes, bytes.length, name);
  const tensor = new Tensor(dtype, dims, { kind: "raw", bytes: bytes.subarray(start) });
  return fortran ? transposed(tensor) : tensor;
}

/** The bytes at the beginning of a file that `npyLayout` needs. */
export const NPY_HEAD_BYTES = 12 + MAX_HEADER_BYTES;

/** What a file of `size` bytes has in it, and where. @throws DataError `E_NPY` */
export function npyLayout(
  bytes: Uint8Array,
  size: number,
  name: string,
): { readonly dtype: number; readonly dims: readonly number[]; readonly start: number; readonly fortran: boolean } {
  const fail: Fail = (reason, hint) =>
    new DataError("E_NPY", `"${name}" is not a NumPy array this package reads: ${reason}`, {
      field: name,
      ...(hint === undefined ? {} : { hint }),
    });
  const magic = String.fromCharCode(...bytes.subarray(0, 6));
  const major = bytes[6] ?? 0;
  if (magic !== MAGIC) throw fail("it does not begin as one");
  const minor = bytes[7] ?? 0;
  if (major < 1 || major > 3 || minor !== 0) throw fail(`its format version is ${major}.${minor}`);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const prefix = major === 1 ? 10 : 12;
  if (bytes.length < prefix) throw fail("it is cut off");
  const length = major === 1 ? view.getUint16(8, true) : view.getUint32(8, true);
  if (prefix + length > size) throw fail(`a header of ${length} bytes in ${size}`);
  if (length > MAX_HEADER_BYTES) throw fail(`a header of ${length} bytes; ${MAX_HEADER_BYTES} are allowed`);
  const header = new TextDecoder().decode(bytes.subarray(prefix, prefix + length));
  const { dtype, fortran, shape } = parseHeader(header, fail);
  const dataBytes = size - prefix - length;
  if (!Number.isSafeInteger(shape.reduce((product, dim) => product * dim, 1)))
    throw fail(`the shape (${shape.join(", ")}) is too large`);
  const { byteLength } = new Tensor(dtype, shape, { kind: "raw", bytes: new Uint8Array() });
  if (byteLength !== dataBytes)
    throw fail(`${dataBytes} bytes of data, ${byteLength} expected for (${shape.join(", ")})`);
  return { dtype, dims: shape, start: prefix + length, fortran };
}

/** The entries of the header, a Python dictionary of literals; each is there once, and nothing else. */
const ENTRIES = {
  descr: /'descr': *'([<>|=])([a-zA-Z]\d{0,9})' *,?/,
  fortran: /'fortran_order': *(True|False) *,?/,
  shape: /'shape': *\(([\d, ]*)\) *,?/,
};

function parseHeader(
  header: string,
  fail: Fail,
): { readonly dtype: number; readonly fortran: boolean; readonly shape: readonly number[] } {
  const [, order, code] = ENTRIES.descr.exec(header) ?? [];
  const [, fortran] = ENTRIES.fortran.exec(header) ?? [];
  const [, list] = ENTRIES.shape.exec(header) ?? [];
  if (code?.startsWith("O")) throw fail("it holds Python objects", REMEDIES["O"]);
  const [, letter = ""] = /'descr': *'[<>|=]([mM])\d+\[/.exec(header) ?? [];
  if (letter !== "") throw fail("it holds times", REMEDIES[letter]);
  const rest = Object.values(ENTRIES).reduce((text, entry) => text.replace(entry, ""), header);
  if (code === undefined || fortran === undefined || list === undefined || !/^\{ *\}\s*$/.test(rest))
    throw fail("its header is damaged, or describes more than one plain array");
  if (order === ">") throw fail("it is big-endian", 'Turn its bytes: x.astype(x.dtype.newbyteorder("<")).');
  const dtype = DTYPES.get(code);
  if (dtype === undefined) throw fail(`its type ${code} is not supported`, REMEDIES[code.slice(0, 1)]);
  const shape = list.split(",").flatMap((dim) => (dim.trim() === "" ? [] : [Number(dim)]));
  if (shape.length > MAX_RANK) throw fail(`it has ${shape.length} dimensions; NumPy allows ${MAX_RANK}`);
  if (!shape.every(Number.isSafeInteger)) throw fail(`the shape (${shape.join(", ")}) is too large`);
  return { dtype, fortran: fortran === "True", shape };
}

/** Column-major data rewritten row-major. */
function transposed(tensor: Tensor): Tensor {
  const source = tensor.values();
  const target = source.slice();
  const { dims } = tensor;
  const strides = dims.map((_, axis) => dims.slice(0, axis).reduce((size, dim) => size * dim, 1));
  const index = dims.map(() => 0);
  for (let position = 0; position < source.length; position++) {
    target[position] = source[index.reduce((sum, at, axis) => sum + at * (strides[axis] ?? 0), 0)] ?? 0;
    for (let axis = dims.length - 1; axis >= 0; axis--) {
      const next = (index[axis] ?? 0) + 1;
      index[axis] = next < (dims[axis] ?? 0) ? next : 0;
      if (index[axis] !== 0) break;
    }
  }
  return Tensor.from(tensor.dtype, dims, target);
}
