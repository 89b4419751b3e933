import { realpath } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { OPTIONS, PATH, requireArgument } from "../../arguments.ts";
import { FormatError, OnnxAgrError } from "../../errors.ts";
import { checkModel } from "../check.ts";
import type { Model } from "../model.ts";
import { A_MODEL } from "../model.ts";
import { decodeModel, MAX_MODEL_BYTES, type ReadOptions } from "../serde/decode.ts";
import { encodeModelPieces } from "../serde/encode.ts";
import { relocated } from "../serde/encode-values.ts";
import { type ModelOrigin, sources } from "../serde/sources.ts";
import { checkChecksum, type ExternalFile, oddities } from "./external-audit.ts";
import { externalRange, openExternal, readExternal, resolveExternal } from "./external-data.ts";
import { type ExternalSite, externalSites, noOrigin } from "./external-tensors.ts";
import { completeAround, journalOf, publishSet } from "./file-set.ts";
import { closeRead, readRange, readRegularFile } from "./read-file.ts";
import { followLinks, type PendingFile, putInPlace, writePending } from "./write-file.ts";

const { origin: origins } = sources;

const originAt = (path: string): ModelOrigin => ({
  path,
  read: (tensor, at, where) => readExternal(path, tensor, at, where),
});

const CHUNK = 64 * 2 ** 20;
const ALIGNMENT = 4096;

export interface ReadModelOptions extends ReadOptions {
  /**
   * Refuse what is allowed and odd about external data: hard links, unknown keys, ranges that overlap. Default false: it is
   * told as a warning of the process.
   */
  readonly strict?: boolean;
}

/**
 * Reads and checks a model file. External data are not read, only checked to lie in the model's folder and to be there in
 * full; `readExternalTensors` reads them.
 * @throws FormatError, GraphError (see `decodeModel`, `checkModel`); FormatError `E_EXTERNAL_PATH`, `E_EXTERNAL_RANGE`,
 *   `E_EXTERNAL_MISSING`, `E_EXTERNAL_CHECKSUM`, `E_EXTERNAL_ODD` for external data; each names the file.
 */
export async function readModel(path: string, given: ReadModelOptions = {}): Promise<Model> {
  requireArgument("path", path, PATH);
  requireArgument("options", given, OPTIONS);
  const { strict = false, ...options } = given;
  await completeAround(path);
  const bytes = await readRegularFile(
    path,
    MAX_MODEL_BYTES,
    (size) =>
      new FormatError("E_MODEL_TOO_LARGE", `${path} has ${size} bytes; protobuf allows less than 2 GiB in one file`, {
        file: path,
        hint: "Save the model with its weights as external data (onnx.save_model(..., save_as_external_data=True)).",
      }),
  );
  try {
    const model = decodeModel(bytes, options);
    checkModel(model, options);
    origins.set(model, originAt(resolve(path)));
    await checkExternal(model, resolve(path), strict);
    return model;
  } catch (error) {
    throw error instanceof OnnxAgrError ? error.inFile(path) : error;
  }
}

async function checkExternal(model: Model, path: string, isStrict: boolean): Promise<void> {
  const sites = externalSites(model);
  const byLocation = new Map<string, ExternalSite[]>();
  for (const site of sites) {
    const own = byLocation.get(site.at.location);
    if (own === undefined) byLocation.set(site.at.location, [site]);
    else own.push(site);
  }
  const files = new Map<string, ExternalFile>();
  for (const [location, ranges] of byLocation) {
    const real = await resolveExternal(path, location, ranges[0]?.where ?? location);
    const { handle, size, links } = await openExternal(real);
    await closeRead(handle, real);
    for (const { tensor, at, where } of ranges) externalRange(tensor, at, size, where);
    files.set(real, { real, links, ranges: [...(files.get(real)?.ranges ?? []), ...ranges] });
  }
  for (const file of files.values()) await checkChecksum(file);
  const odd = oddities([...files.values()]);
  if (odd.length === 0) return;
  if (isStrict)
    throw new FormatError("E_EXTERNAL_ODD", odd.join("; "), {
      file: path,
      hint: "Only a strict reading refuses this.",
    });
  process.emitWarning(`${path}: ${odd.join("; ")}`, { type: "OnnxAgrWarning", code: "W_EXTERNAL_DATA" });
}

/**
 * Writes a model atomically: the whole file or, after a failure, what was there before. External data are copied into one
 * file `<name>.data` beside it and the model refers to that file afterwards; nothing is copied where it is that file already.
 * Model and data are put in place as one. A symbolic link is followed. A set of files that an interrupted command has begun to
 * put into the folder is completed first.
 * @throws FileSystemError `E_FILE_SYSTEM`; FormatError `E_MODEL_TOO_LARGE` from 2 GiB on.
 */
export async function writeModel(path: string, model: Model): Promise<void> {
  requireArgument("path", path, PATH);
  requireArgument("model", model, A_MODEL);
  await completeAround(path);
  const { files } = await prepareModel(path, model);
  const [first, ...others] = files;
  if (first !== undefined && others.length === 0) await putInPlace(first);
  else await publishSet(journalOf(await followLinks(path)), files);
}

/** A model written under temporary names. */
export interface PreparedModel {
  readonly files: readonly PendingFile[];
  /** Paths of files that belong to it and are in place already. */
  readonly kept: readonly string[];
}

/** `writeModel` up to the moment before the files become visible. */
export async function prepareModel(path: string, model: Model): Promise<PreparedModel> {
  const target = await followLinks(path);
  const { files: data, kept } = await prepareExternal(target, model);
  try {
    const { parts, length } = encodeModelPieces(model);
    if (length > MAX_MODEL_BYTES) {
      throw new FormatError(
        "E_MODEL_TOO_LARGE",
        `the model would take ${length} bytes; protobuf allows less than 2 GiB`,
        {
          file: path,
          hint: "Keep the weights as external data.",
        },
      );
    }
    return { files: [...data, await writePending(path, parts)], kept };
  } catch (error) {
    for (const file of data) await file.discard();
    throw error;
  }
}

async function prepareExternal(path: string, model: Model): Promise<PreparedModel> {
  const sites = externalSites(model);
  const [first] = sites;
  if (first === undefined) return { files: [], kept: [] };
  const origin = origins.get(model);
  if (origin === undefined) throw noOrigin(first.where);
  const location = `${basename(path)}.data`;
  const target = join(dirname(path), location);
  const paths = new Map<string, string>();
  for (const { at, where } of sites) {
    if (!paths.has(at.location)) paths.set(at.location, await resolveExternal(origin.path, at.location, where));
  }
  const [source] = paths.values();
  const inPlace = paths.size === 1 && source === (await realpath(target).catch(() => null));
  const { ranges, moved } = layOut(sites, location, paths);
  const files = inPlace ? [] : [await writePending(target, copyRanges(ranges))];
  for (const { site, offset } of moved) {
    site.replace(relocated(site.tensor, { ...site.at, location, offset, checksum: inPlace ? site.at.checksum : null }));
  }
  origins.set(model, originAt(path));
  return { files, kept: inPlace ? [target] : [] };
}

interface Range {
  readonly source: string;
  readonly site: ExternalSite;
  /** Where in the new file. */
  readonly offset: number;
}

/** One source file keeps its layout; several are put one after another, each tensor on a page of its own. */
function layOut(
  sites: readonly ExternalSite[],
  location: string,
  sources: ReadonlyMap<string, string>,
): { readonly ranges: readonly Range[]; readonly moved: readonly Range[] } {
  let end = 0;
  const moved = sites.map((site): Range => {
    const offset = sources.size === 1 ? site.at.offset : Math.ceil(end / ALIGNMENT) * ALIGNMENT;
    end = offset + (site.at.length ?? site.tensor.byteLength ?? 0);
    return { site, offset, source: sources.get(site.at.location) ?? location };
  });
  return { moved, ranges: moved.toSorted((a, b) => a.offset - b.offset) };
}

async function* copyRanges(ranges: readonly Range[]): AsyncGenerator<Uint8Array> {
  let position = 0;
  for (const { source, site, offset } of ranges) {
    const { handle, size } = await openExternal(source);
    try {
      const { offset: from, length } = externalRange(site.tensor, site.at, size, site.where);
      for (let gap = offset - position; gap > 0; gap -= CHUNK) yield new Uint8Array(Math.min(gap, CHUNK));
      const skip = Math.min(Math.max(position - offset, 0), length);
      for (let done = skip; done < length; done += CHUNK) {
        yield await readRange(handle, source, from + done, Math.min(CHUNK, length - done));
      }
      position = Math.max(position, offset + length);
    } finally {
      await closeRead(handle, source);
    }
  }
}
