import { sha256 as algorithm } from "@noble/hashes/sha2.js";
import { bytesToHex } from "@noble/hashes/utils.js";
import { bytesOf } from "../arguments.ts";

/** What stands in a page for `graph/io/digest.ts`, which has Node's. */
export const sha256: typeof import("../graph/io/digest.ts").sha256 = (...parts) => {
  const hash = algorithm.create();
  for (const part of parts) hash.update(bytesOf("parts", part));
  return bytesToHex(hash.digest());
};
