import { createHash, type Hash } from "node:crypto";
import { bytesOf, PATH, requireArgument } from "../../arguments.ts";
import { filePieces } from "./read-file.ts";

/** What one call of the hash takes at most: from 2 GiB on it refuses. */
const PIECE = 2 ** 30;

function update(hash: Hash, bytes: Uint8Array): void {
  for (let offset = 0; offset < bytes.length; offset += PIECE) hash.update(bytes.subarray(offset, offset + PIECE));
}

/** SHA-256 as hexadecimal, of any number of bytes. */
export function sha256(...parts: readonly Uint8Array[]): string {
  const hash = createHash("sha256");
  for (const part of parts) update(hash, bytesOf("parts", part));
  return hash.digest("hex");
}

/** The same of a file, which is never in memory as a whole. @throws as `withFile` */
export async function sha256OfFile(path: string): Promise<string> {
  requireArgument("path", path, PATH);
  const hash = createHash("sha256");
  for await (const piece of filePieces(path)) hash.update(piece);
  return hash.digest("hex");
}
