import { createHash } from "node:crypto";
import { PATH, requireArgument } from "../../arguments.ts";
import { filePieces } from "./read-file.ts";

/** SHA-256 of a file as hexadecimal; the file is never in memory as a whole. @throws as `withFile` */
export async function sha256OfFile(path: string): Promise<string> {
  requireArgument("path", path, PATH);
  const hash = createHash("sha256");
  for await (const piece of filePieces(path)) hash.update(piece);
  return hash.digest("hex");
}
