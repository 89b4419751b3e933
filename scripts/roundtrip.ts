/**
 * Decodes and encodes every .onnx file below a folder and compares the bytes; where they differ, what protoc reads of both.
 *
 *     npm run roundtrip -- <folder>
 */

import { spawnSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { decodeModel, encodeModel } from "../src/entries/graph.ts";

const [folder] = process.argv.slice(2);
if (folder === undefined) throw new Error("Give a folder: npm run roundtrip -- <folder>");

const asText = (bytes: Uint8Array): string => {
  const { stdout, status, error } = spawnSync("protoc", ["--decode_raw"], {
    input: bytes,
    encoding: "utf8",
    maxBuffer: 2 ** 30,
  });
  if (status !== 0) throw error ?? new Error("protoc could not read it");
  return stdout;
};

const counts = { equal: 0, sameMeaning: 0, different: 0 };
for (const name of readdirSync(folder, { recursive: true, encoding: "utf8" }).filter((each) =>
  each.endsWith(".onnx"),
)) {
  const bytes = readFileSync(join(folder, name));
  const encoded = encodeModel(decodeModel(bytes));
  if (Buffer.compare(encoded, bytes) === 0) counts.equal++;
  else if (asText(encoded) === asText(bytes)) counts.sameMeaning++;
  else {
    counts.different++;
    console.error(`different: ${name}`);
  }
}
console.log(
  `${counts.equal} equal byte for byte, ${counts.sameMeaning} equal for protoc, ${counts.different} different`,
);
process.exitCode = counts.different === 0 ? 0 : 1;
