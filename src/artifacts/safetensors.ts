import { bytesOf, mapTo, requireArgument, TEXT } from "../arguments.ts";
import { FormatError } from "../errors.ts";
import type { NamedTensor } from "../graph/attribute.ts";
import { NAMED_TENSORS } from "../graph/attribute.ts";
import { joinBytes } from "../graph/bytes.ts";
import { DataType, dataTypeName } from "../graph/data-type.ts";
import { mistaken } from "../graph/sniff.ts";
import { Tensor } from "../graph/tensor.ts";

/** As the format's own validator: a larger header is an attack on the JSON parser. */
const MAX_HEADER_BYTES = 100_000_000;
/** Header object, tensor entry, its lists. */
const MAX_DEPTH = 3;

const DTYPES = new Map<string, number>([
  ["F64", DataType.double],
  ["F32", DataType.float],
  ["F16", DataType.float16],
  ["BF16", DataType.bfloat16],
  ["I64", DataType.int64],
  ["I32", DataType.int32],
  ["I16", DataType.int16],
  ["I8", DataType.int8],
  ["U64", DataType.uint64],
  ["U32", DataType.uint32],
  ["U16", DataType.uint16],
  ["U8", DataType.uint8],
  ["BOOL", DataType.bool],
  ["F8_E4M3", DataType.float8e4m3fn],
  ["F8_E5M2", DataType.float8e5m2],
]);
const NAMES = new Map([...DTYPES].map(([name, dtype]) => [dtype, name]));

export interface Safetensors {
  readonly tensors: readonly NamedTensor[];
  readonly metadata: ReadonlyMap<string, string>;
}

const fail = (reason: string, field?: string, cause?: unknown): FormatError =>
  new FormatError("E_SAFETENSORS", `not a valid safetensors file: ${reason}`, {
    ...(field === undefined ? {} : { field }),
    cause,
    hint: "The file is damaged or of another kind.",
  });

/**
 * Decodes a safetensors file; tensor data are views into `bytes`. Holds to every rule of the format: no gaps, overlaps or
 * bytes left over, sizes that fit type and shape, no name twice.
 * @throws FormatError `E_SAFETENSORS`
 */
export function decodeSafetensors(bytes: Uint8Array | ArrayBuffer): Safetensors {
  bytes = bytesOf("bytes", bytes);
  const other = mistaken(bytes);
  if (other !== null) throw new FormatError("E_SAFETENSORS", `this is ${other.what}`, { hint: other.hint });
  const head = safetensorsHeadBytes(bytes, bytes.length);
  const { entries, metadata, start } = safetensorsLayout(bytes.subarray(0, head), bytes.length);
  const tensors = entries.map(({ name, dtype, dims, begin, end }) => ({
    name,
    tensor: new Tensor(dtype, dims, { kind: "raw", bytes: bytes.subarray(start + begin, start + end) }),
  }));
  return { tensors, metadata };
}

/** Where a tensor lies behind the header. */
export interface SafetensorsEntry {
  readonly name: string;
  readonly dtype: number;
  readonly dims: readonly number[];
  readonly begin: number;
  readonly end: number;
}

/** How many bytes of a safetensors file its header is, with the number before it. @throws FormatError `E_SAFETENSORS` */
export function safetensorsHeadBytes(first: Uint8Array, size: number): number {
  if (size < 8) throw fail(`${size} bytes are too few`);
  const length = new DataView(first.buffer, first.byteOffset, 8).getBigUint64(0, true);
  if (length > BigInt(MAX_HEADER_BYTES)) throw fail(`a header of ${length} bytes is too large`);
  if (length < 2n || length > BigInt(size - 8)) throw fail(`a header of ${length} bytes in a file of ${size}`);
  return 8 + Number(length);
}

/**
 * What a file of `size` bytes has in it, by its head alone, with every rule of the format.
 * @throws FormatError `E_SAFETENSORS`
 */
export function safetensorsLayout(
  head: Uint8Array,
  size: number,
): {
  readonly entries: readonly SafetensorsEntry[];
  readonly metadata: ReadonlyMap<string, string>;
  readonly start: number;
} {
  const header = parseHeader(head.subarray(8));
  const dataBytes = size - head.length;
  const metadata = new Map<string, string>();
  const tensors: SafetensorsEntry[] = [];
  for (const [name, entry] of header) {
    if (name === "__metadata__") readMetadata(entry, metadata);
    else tensors.push(readEntry(name, entry, dataBytes));
  }
  tensors.sort((a, b) => a.begin - b.begin || a.end - b.end);
  let position = 0;
  for (const { name, begin, end } of tensors) {
    if (begin !== position) throw fail(`"${name}" begins at ${begin}, the data before it end at ${position}`, name);
    position = end;
  }
  if (position !== dataBytes) throw fail(`${dataBytes - position} bytes follow the last tensor`);
  return { entries: tensors, metadata, start: head.length };
}

function parseHeader(bytes: Uint8Array): readonly (readonly [string, unknown])[] {
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw fail("the header is not valid UTF-8");
  }
  if (!text.startsWith("{")) throw fail("the header does not begin with {");
  refuseDuplicates(text);
  return Object.entries(parseJson(text) as object);
}

/** JSON.parse takes the last of two equal keys and any depth; both hide one file inside another. One pass, whatever the text. */
function refuseDuplicates(text: string): void {
  const open: Set<string>[] = [];
  for (let at = 0; at < text.length; at++) {
    const character = text[at];
    if (character === "{" || character === "[") {
      open.push(new Set());
      if (open.length > MAX_DEPTH) throw fail(`the header is nested deeper than ${MAX_DEPTH}`);
    } else if (character === "}" || character === "]") {
      open.pop();
    } else if (character === '"') {
      const end = endOfString(text, at);
      if (isKey(text, end)) addKey(open.at(-1), text.slice(at, end));
      at = end - 1;
    }
  }
}

/** The position behind the closing quote. */
function endOfString(text: string, begin: number): number {
  for (let at = begin + 1; at < text.length; at++) {
    if (text[at] === "\\") at++;
    else if (text[at] === '"') return at + 1;
  }
  throw fail("the header ends inside a string");
}

function isKey(text: string, end: number): boolean {
  let at = end;
  while (text[at] === " " || text[at] === "\t" || text[at] === "\n" || text[at] === "\r") at++;
  return text[at] === ":";
}

/** Keys are compared by what they say: "a" may be written "\u0061". */
function addKey(keys: Set<string> | undefined, quoted: string): void {
  const key = quoted.includes("\\") ? (parseJson(quoted) as string) : quoted.slice(1, -1);
  if (keys?.has(key)) throw fail(`the key ${JSON.stringify(key)} is there twice`, key);
  keys?.add(key);
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw fail("the header is not JSON", undefined, cause);
  }
}

function readMetadata(entry: unknown, into: Map<string, string>): void {
  if (typeof entry !== "object" || entry === null || Array.isArray(entry)) throw fail("__metadata__ is not an object");
  for (const [key, value] of Object.entries(entry)) {
    if (typeof value !== "string") throw fail(`__metadata__ "${key}" is not a string`);
    into.set(key, value);
  }
}

function readEntry(name: string, entry: unknown, dataBytes: number): SafetensorsEntry {
  const { dtype, shape, data_offsets: offsets } = (entry ?? {}) as Record<"dtype" | "shape" | "data_offsets", unknown>;
  const code = typeof dtype === "string" ? DTYPES.get(dtype) : undefined;
  if (code === undefined) throw fail(`"${name}" has the unknown type ${JSON.stringify(dtype)}`, name);
  const isSize = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;
  if (!Array.isArray(shape) || !shape.every(isSize)) throw fail(`"${name}" has no valid shape`, name);
  if (!Array.isArray(offsets) || offsets.length !== 2 || !offsets.every(isSize))
    throw fail(`"${name}" has no valid data_offsets`, name);
  const [begin = 0, end = 0] = offsets as number[];
  if (begin > end || end > dataBytes) throw fail(`"${name}" takes bytes ${begin} to ${end} of ${dataBytes}`, name);
  const tensor = new Tensor(code, shape, { kind: "raw", bytes: new Uint8Array() });
  if (!Number.isSafeInteger(tensor.size) || tensor.byteLength !== end - begin) {
    throw fail(
      `"${name}" has ${end - begin} bytes, ${tensor.byteLength} expected for ${String(dtype)} [${shape.join(",")}]`,
      name,
    );
  }
  return { name, begin, end, dtype: code, dims: shape };
}

/** Encodes tensors in the order given, the data aligned to 8 bytes. @throws FormatError for types the format lacks. */
export function safetensorsParts(
  tensors: readonly NamedTensor[],
  metadata: ReadonlyMap<string, string> = new Map(),
): readonly Uint8Array[] {
  let offset = 0;
  const entries = tensors.map(({ name, tensor }): [string, unknown] => {
    const dtype = NAMES.get(tensor.dtype);
    if (dtype === undefined || name === "__metadata__") {
      throw new FormatError(
        "E_SAFETENSORS",
        `safetensors cannot hold "${name}" of type ${dataTypeName(tensor.dtype)}`,
        { field: name },
      );
    }
    const begin = offset;
    offset += elementsOf(tensor).length;
    return [name, { dtype, shape: tensor.dims, data_offsets: [begin, offset] }];
  });
  const head = metadata.size === 0 ? [] : [["__metadata__", Object.fromEntries(metadata)]];
  const members = [...head, ...entries].map(([key, value]) => `${JSON.stringify(key)}:${JSON.stringify(value)}`);
  const json = new TextEncoder().encode(`{${members.join(",")}}`);
  const headerLength = Math.ceil(json.length / 8) * 8;
  const header = new Uint8Array(8 + headerLength).fill(0x20, 8);
  new DataView(header.buffer).setBigUint64(0, BigInt(headerLength), true);
  header.set(json, 8);
  return [header, ...tensors.map(({ tensor }) => elementsOf(tensor))];
}

/** The same as one array. */
export function encodeSafetensors(
  tensors: readonly NamedTensor[],
  metadata: ReadonlyMap<string, string> = new Map(),
): Uint8Array {
  requireArgument("tensors", tensors, NAMED_TENSORS);
  requireArgument("metadata", metadata, mapTo(TEXT, "a map of strings to strings"));
  return joinBytes(safetensorsParts(tensors, metadata));
}

function elementsOf(tensor: Tensor): Uint8Array {
  if (tensor.data.kind === "raw") return tensor.data.bytes;
  const values = tensor.values();
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
}
