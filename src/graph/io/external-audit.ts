import { createHash } from "node:crypto";
import { FormatError } from "../../errors.ts";
import { sources } from "../serde/sources.ts";
import type { ExternalData, Tensor } from "../tensor.ts";
import { filePieces } from "./read-file.ts";

const KNOWN_KEYS = new Set(["location", "offset", "length", "checksum", "basepath"]);

/** A tensor's place in a data file. */
export interface ExternalRange {
  readonly where: string;
  readonly tensor: Tensor;
  readonly at: ExternalData;
}

/** One data file of a model, and the tensors in it. */
export interface ExternalFile {
  readonly real: string;
  /** Names this file has in the file system; more than one are hard links. */
  readonly links: number;
  readonly ranges: readonly ExternalRange[];
}

/**
 * Holds a data file to the SHA-1 the model gives for it.
 * @throws FormatError `E_EXTERNAL_CHECKSUM`
 */
export async function checkChecksum({ real, ranges }: ExternalFile): Promise<void> {
  const given = ranges.filter(({ at }) => at.checksum !== null);
  if (given.length === 0) return;
  const hash = createHash("sha1");
  for await (const piece of filePieces(real)) hash.update(piece);
  const actual = hash.digest("hex");
  const wrong = given.find(({ at }) => at.checksum?.toLowerCase() !== actual);
  if (wrong === undefined) return;
  throw new FormatError(
    "E_EXTERNAL_CHECKSUM",
    `tensor "${wrong.where}": the data file ${real} has the SHA-1 ${actual}, the model says ${wrong.at.checksum?.slice(0, 80)}`,
    {
      file: real,
      field: wrong.where,
      hint: "The data file was changed; use the one that was exported with the model.",
    },
  );
}

/** What is allowed about a model's data files, and odd: hard links, keys that ONNX does not define, ranges that overlap. */
export function oddities(files: readonly ExternalFile[]): readonly string[] {
  const linked = files.filter(({ links }) => links > 1).map(({ real }) => `${real} is a hard link`);
  const overlapping = files.flatMap(({ ranges }) => overlaps(ranges));
  return [...linked, ...unknownKeys(files), ...overlapping];
}

function unknownKeys(files: readonly ExternalFile[]): readonly string[] {
  const entries = files
    .flatMap(({ ranges }) => ranges)
    .map(({ tensor }) => (sources.tensor.get(tensor)?.externalData ?? []).map(({ key = "" }) => key));
  const unknown = new Set(entries.flat().filter((key) => !KNOWN_KEYS.has(key)));
  const repeated = new Set(entries.flatMap((keys) => keys.filter((key, index) => keys.indexOf(key) !== index)));
  const list = (keys: ReadonlySet<string>): string =>
    [...keys]
      .slice(0, 5)
      .map((key) => JSON.stringify(key))
      .join(", ");
  return [
    ...(unknown.size > 0
      ? [`external data have keys that ONNX does not define and that are ignored: ${list(unknown)}`]
      : []),
    ...(repeated.size > 0 ? [`external data have keys twice, of which the first counts: ${list(repeated)}`] : []),
  ];
}

/** Tensors may share their bytes whole, as tied weights do. */
function overlaps(ranges: readonly ExternalRange[]): readonly string[] {
  const placed = ranges
    .map(({ where, tensor, at }) => ({
      where,
      begin: at.offset,
      end: at.offset + (at.length ?? tensor.byteLength ?? 0),
    }))
    .toSorted((a, b) => a.begin - b.begin || a.end - b.end);
  for (const [index, next] of placed.entries()) {
    const before = placed[index - 1];
    if (before === undefined || next.begin >= before.end) continue;
    if (next.begin === before.begin && next.end === before.end) continue;
    return [`the external data of "${before.where}" and "${next.where}" overlap`];
  }
  return [];
}
