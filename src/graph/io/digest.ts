import { createHash, type Hash } from "node:crypto";
import { bytesOf } from "../../arguments.ts";

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
