import { crc32, inflateRawSync } from "node:zlib";
import { DataError } from "../../errors.ts";

/** More than this many times the archive's size, unpacked, is a bomb and not data ... */
const MAX_EXPANSION = 200;
/** ... unless it is so little that it does not matter: zeros shrink a thousandfold. */
const HARMLESS_BYTES = 64 * 2 ** 20;

const END = 0x06054b50;
const END_BYTES = 22;
const LONG_END = 0x06064b50;
const LONG_END_LOCATOR = 0x07064b50;
const LONG_END_LOCATOR_BYTES = 20;
const CENTRAL = 0x02014b50;
const CENTRAL_BYTES = 46;
const LOCAL = 0x04034b50;
const LOCAL_BYTES = 30;
const LONG_SIZES = 1;
const IN_LONG_SIZES = 0xffffffff;

const STORED = 0;
const DEFLATED = 8;
/** Bits of the flags: encrypted, patched, strongly encrypted, header masked. */
const UNREADABLE_FLAGS = 0x2061;

export interface ZipEntry {
  readonly name: string;
  readonly bytes: Uint8Array;
}

interface Listed {
  readonly name: string;
  readonly flags: number;
  readonly method: number;
  readonly crc: number;
  readonly packed: number;
  readonly size: number;
  readonly at: number;
}

const fail = (reason: string, name?: string, cause?: unknown): DataError =>
  new DataError("E_NPZ", `not a valid npz archive: ${reason}`, {
    ...(name === undefined ? {} : { field: name }),
    hint: "The file is damaged or of another kind; copy it again, or save it anew with numpy.savez.",
    cause,
  });

/**
 * The entries of a zip archive that `wants` accepts, unpacked: what the directory at the end lists, each with its CRC-32
 * checked. Zip64 is read; archives in parts, encryption and methods other than deflate are refused.
 * @throws DataError `E_NPZ`
 */
export function unzip(bytes: Uint8Array, wants: (name: string) => boolean): readonly ZipEntry[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const listed = directory(bytes, view);
  refuseOverlaps(listed);
  const limit = Math.max(bytes.length * MAX_EXPANSION, HARMLESS_BYTES);
  const total = listed.reduce((sum, { size }) => sum + size, 0);
  if (total > limit) throw fail(`it unpacks to ${total} bytes, more than ${MAX_EXPANSION} times its size`);
  return listed
    .map((entry) => ({ entry, content: contentOf(entry, bytes, view) }))
    .filter(({ entry }) => wants(entry.name))
    .map(({ entry, content }) => ({ name: entry.name, bytes: unpack(entry, content) }));
}

function directory(bytes: Uint8Array, view: DataView): readonly Listed[] {
  const { count, at: begin, end } = findDirectory(bytes, view);
  const entries: Listed[] = [];
  const names = new Set<string>();
  let at = begin;
  while (at < end) {
    const { entry, next } = readListed(bytes, view, at, end);
    if (names.has(entry.name)) throw fail(`"${entry.name}" is there twice`, entry.name);
    names.add(entry.name);
    entries.push(entry);
    at = next;
  }
  if (at !== end || entries.length !== count) throw fail(`it lists ${entries.length} entries and says ${count}`);
  return entries;
}

function findDirectory(bytes: Uint8Array, view: DataView): { count: number; at: number; end: number } {
  const at = findEnd(view);
  if (at === null) throw fail("it has no directory at its end");
  const short = {
    count: view.getUint16(at + 10, true),
    length: view.getUint32(at + 12, true),
    at: view.getUint32(at + 16, true),
  };
  if (view.getUint16(at + 4, true) !== view.getUint16(at + 6, true)) throw fail("it is one part of several");
  const locator = at - LONG_END_LOCATOR_BYTES;
  const isLong = locator >= 0 && view.getUint32(locator, true) === LONG_END_LOCATOR;
  const found = isLong ? readLongEnd(view, locator) : { ...short, end: at };
  if (found.at + found.length !== found.end || found.end > bytes.length)
    throw fail("its directory is not where it should be");
  return found;
}

function readLongEnd(view: DataView, locator: number): { count: number; length: number; at: number; end: number } {
  const at = long(view, locator + 8);
  if (at + 56 > locator || view.getUint32(at, true) !== LONG_END) throw fail("its zip64 directory is damaged");
  return { count: long(view, at + 32), length: long(view, at + 40), at: long(view, at + 48), end: at };
}

/** Its comment must reach to the end of the file, so that a second directory cannot hide in it. */
function findEnd(view: DataView): number | null {
  const last = view.byteLength - END_BYTES;
  for (let at = last; at >= Math.max(last - 0xffff, 0); at--) {
    if (view.getUint32(at, true) === END && view.getUint16(at + 20, true) === last - at) return at;
  }
  return null;
}

function readListed(bytes: Uint8Array, view: DataView, at: number, end: number): { entry: Listed; next: number } {
  if (at + CENTRAL_BYTES > end || view.getUint32(at, true) !== CENTRAL) throw fail("its directory is damaged");
  const nameBytes = view.getUint16(at + 28, true);
  const extraBytes = view.getUint16(at + 30, true);
  const extraAt = at + CENTRAL_BYTES + nameBytes;
  const next = extraAt + extraBytes + view.getUint16(at + 32, true);
  if (next > end) throw fail("its directory is cut off");
  const name = decodeName(bytes.subarray(at + CENTRAL_BYTES, extraAt));
  const size32 = {
    size: view.getUint32(at + 24, true),
    packed: view.getUint32(at + 20, true),
    at: view.getUint32(at + 42, true),
  };
  const entry = {
    name,
    flags: view.getUint16(at + 8, true),
    method: view.getUint16(at + 10, true),
    crc: view.getUint32(at + 16, true),
    ...longSizes(view, extraAt, extraAt + extraBytes, size32, name),
  };
  return { entry, next };
}

/** The zip64 field gives those of the three numbers that do not fit into 32 bits, in this order. */
function longSizes<T extends Record<"size" | "packed" | "at", number>>(
  view: DataView,
  begin: number,
  end: number,
  short: T,
  name: string,
): T {
  const missing = (["size", "packed", "at"] as const).filter((key) => short[key] === IN_LONG_SIZES);
  if (missing.length === 0) return short;
  for (let at = begin; at + 4 <= end; ) {
    const length = view.getUint16(at + 2, true);
    if (view.getUint16(at, true) === LONG_SIZES && length >= 8 * missing.length && at + 4 + length <= end) {
      return Object.assign(
        { ...short },
        Object.fromEntries(missing.map((key, index) => [key, long(view, at + 4 + 8 * index)])),
      );
    }
    at += 4 + length;
  }
  throw fail(`"${name}" lacks its zip64 sizes`, name);
}

/** Entries that share bytes unpack to more than any archive of that size can hold. */
function refuseOverlaps(entries: readonly Listed[]): void {
  let position = 0;
  for (const { name, at, packed } of entries.toSorted((a, b) => a.at - b.at)) {
    if (at < position) throw fail(`"${name}" overlaps the entry before it`, name);
    position = at + LOCAL_BYTES + packed;
  }
}

/** The packed bytes of an entry, whose own header must say what the directory says. */
function contentOf({ name, flags, method, packed, at }: Listed, bytes: Uint8Array, view: DataView): Uint8Array {
  if (at + LOCAL_BYTES > bytes.length || view.getUint32(at, true) !== LOCAL)
    throw fail(`"${name}" is not where the directory says`, name);
  const nameEnd = at + LOCAL_BYTES + view.getUint16(at + 26, true);
  const begin = nameEnd + view.getUint16(at + 28, true);
  if (begin + packed > bytes.length) throw fail(`"${name}" is cut off`, name);
  const isSame =
    view.getUint16(at + 6, true) === flags &&
    view.getUint16(at + 8, true) === method &&
    decodeName(bytes.subarray(at + LOCAL_BYTES, nameEnd)) === name;
  if (!isSame) throw fail(`"${name}" is something else than the directory says`, name);
  return bytes.subarray(begin, begin + packed);
}

function unpack({ name, flags, method, crc, size }: Listed, content: Uint8Array): Uint8Array {
  if ((flags & UNREADABLE_FLAGS) !== 0) throw fail(`"${name}" is encrypted`, name);
  if (method !== STORED && method !== DEFLATED)
    throw fail(`"${name}" is packed by method ${method}, not by deflate`, name);
  const unpacked = method === STORED ? content : inflate(content, size, name);
  if (unpacked.length !== size) throw fail(`"${name}" has ${unpacked.length} bytes, ${size} expected`, name);
  if (crc32(unpacked) !== crc)
    throw fail(`"${name}" does not have the content it was packed with: its CRC-32 differs`, name);
  return unpacked;
}

function inflate(packed: Uint8Array, size: number, name: string): Uint8Array {
  try {
    return inflateRawSync(packed, { maxOutputLength: Math.max(size, 1) });
  } catch (cause) {
    throw fail(`"${name}" cannot be unpacked`, name, cause);
  }
}

function decodeName(bytes: Uint8Array): string {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (cause) {
    throw fail("a name is not valid UTF-8", undefined, cause);
  }
}

/** A number of 64 bits; beyond what JavaScript counts, it is beyond any file too. */
function long(view: DataView, at: number): number {
  return Number(view.getBigUint64(at, true));
}
