import { stat } from "node:fs/promises";
import { join } from "node:path";
import { PATH, requireArgument } from "../arguments.ts";
import { FormatError } from "../errors.ts";
import { sha256OfFile } from "../graph/io/file-digest.ts";
import { listFolder, readRegularFile } from "../graph/io/read-file.ts";
import { decodeSetManifest, SCHEMA, SET_MANIFEST, type SetManifest } from "./set-manifest-format.ts";

const MAX_BYTES = 2 ** 24;

/** @param files names and where their content is now */
export async function encodeSetManifest(files: ReadonlyMap<string, string>): Promise<Uint8Array> {
  const hashes: [string, string][] = [];
  for (const [name, path] of [...files].sort(([a], [b]) => (a < b ? -1 : 1))) {
    hashes.push([name, await sha256OfFile(path)]);
  }
  const manifest: SetManifest = { schema: SCHEMA, files: Object.fromEntries(hashes) };
  return new TextEncoder().encode(`${JSON.stringify(manifest, null, 2)}\n`);
}

/** A folder's manifest; null where it has none. @throws FormatError `E_SET` for one that is not understood */
export async function readSetManifest(folder: string): Promise<SetManifest | null> {
  requireArgument("folder", folder, PATH);
  const file = join(folder, SET_MANIFEST);
  if (!(await listFolder(folder)).includes(SET_MANIFEST)) return null;
  return decodeSetManifest(await readRegularFile(file, MAX_BYTES), file);
}

/**
 * Checks that the files of a folder are those that were written as one.
 * @param isOfSet whether a file of this name would be read as one of the set
 * @throws FormatError `E_SET`, naming up to ten files
 */
export async function checkSetManifest(folder: string, isOfSet: (name: string) => boolean): Promise<void> {
  const manifest = await readSetManifest(folder);
  if (manifest === null) return;
  const problems: string[] = [];
  for (const [name, hash] of Object.entries(manifest.files)) {
    const path = join(folder, name);
    const isThere = await stat(path).then(
      () => true,
      () => false,
    );
    if (!isThere) problems.push(`${name} is missing`);
    else if ((await sha256OfFile(path)) !== hash) problems.push(`${name} is another file`);
  }
  const listed = new Set(Object.keys(manifest.files));
  const others = (await listFolder(folder)).filter((name) => isOfSet(name) && !listed.has(name));
  problems.push(...others.map((name) => `${name} was not one of them`));
  if (problems.length === 0) return;
  const more = problems.length > 10 ? `; and ${problems.length - 10} more` : "";
  throw new FormatError(
    "E_SET",
    `the files of ${folder} are not those that were written together: ${problems.slice(0, 10).join("; ")}${more}`,
    {
      file: folder,
      hint: `Write the set again. Where the change is meant, remove ${SET_MANIFEST}: the files are then taken as they are.`,
    },
  );
}
