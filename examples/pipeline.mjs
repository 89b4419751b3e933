/**
 * A step of a pipeline: puts AGR into exported training artifacts, and passes them on only with a proof.
 *
 *     node pipeline.mjs artifacts artifacts-agr
 *
 * It ends with 0 and one line of JSON where all holds, and else with an error before anything is written.
 */
import { mkdir } from "node:fs/promises";
import {
  insertAgr,
  readArtifacts,
  stripAgr,
  trainableParameters,
  verifyFinished,
  verifyInsertion,
  writeArtifacts,
} from "onnx-agr";
import { encodeModel, sha256 } from "onnx-agr/graph";

const [from = "artifacts", to = "artifacts-agr"] = process.argv.slice(2);

const artifacts = await readArtifacts(from);
const optimizer = artifacts.optimizerModel;
if (optimizer === null) throw new Error(`${from} has no optimizer model`);
const original = optimizer.clone();

// The edit.
const options = { parameters: trainableParameters(artifacts) ?? [], minRank: 2 };
const { changed } = insertAgr(optimizer, options);

// The proof. Random gradients through ONNX Runtime: what the optimizer reads is the formula's number, in float64.
const numbers = await verifyInsertion(original, optimizer, options);
// The file by itself: its record, its structure, the formula.
const { passed, checks } = await verifyFinished(optimizer);
if (!passed) throw new Error(checks.map(({ check, detail }) => `${check}: ${detail}`).join("\n"));
// The way back: without AGR it is the file that came in, byte for byte.
const restored = optimizer.clone();
stripAgr(restored);
if (sha256(encodeModel(restored)) !== sha256(encodeModel(original))) throw new Error("strip does not restore the file");

await mkdir(to, { recursive: true });
await writeArtifacts(to, artifacts);
console.log(JSON.stringify({ changed, numbers, checks: checks.map(({ check, passed }) => [check, passed]) }));
