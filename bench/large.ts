/**
 * What a model of GPT-2 small's size, 124 million parameters with random weights, takes from the forward model to the trained
 * one: built, trained two steps with AdamW, saved, resumed for two more, exported. Each command in a process of its own; the
 * memory is the most that was resident at once.
 *
 *     npm run bench -- large
 */

import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { GPT2_SMALL, makeGpt } from "../fixtures/gpt.ts";
import { run } from "../src/cli/run.ts";
import { DataType, GraphTensor } from "../src/entries/graph.ts";
import { encodeSafetensors } from "../src/entries/training.ts";
import { writeModel } from "../src/index.ts";
import { type Row, table } from "./table.ts";

const SELF = fileURLToPath(import.meta.url);
const GIGABYTE = 1e9;
/** What all of it must stay below. */
const LIMIT = 8 * GIGABYTE;
const TOKENS = 64;
const SAMPLES = 2;

/** Makes the forward model and a few samples of random tokens. */
async function prepare(folder: string): Promise<void> {
  await writeModel(join(folder, "gpt.onnx"), makeGpt(GPT2_SMALL, TOKENS));
  const tokens = (seed: number): GraphTensor =>
    GraphTensor.from(
      DataType.int64,
      [SAMPLES, TOKENS],
      BigInt64Array.from({ length: SAMPLES * TOKENS }, (_, index) =>
        BigInt((index * 7919 + seed * 104_729) % GPT2_SMALL.vocabulary),
      ),
    );
  const data = [
    { name: "ids", tensor: tokens(1) },
    { name: "labels", tensor: tokens(2) },
  ];
  writeFileSync(join(folder, "data.safetensors"), encodeSafetensors(data));
}

function measure(what: string, args: readonly string[], cwd: string): Row {
  const began = performance.now();
  const { stdout, stderr, status } = spawnSync(
    process.execPath,
    ["--import", import.meta.resolve("tsx"), SELF, ...args],
    {
      ...{ encoding: "utf8", cwd },
    },
  );
  if (status !== 0) throw new Error(stderr);
  const peakBytes = Number(stdout.trim().split("\n").at(-1));
  return {
    what,
    seconds: (performance.now() - began) / 1000,
    "peak GB": peakBytes / GIGABYTE,
    "limit GB": LIMIT / GIGABYTE,
  };
}

export async function benchLarge(): Promise<readonly Row[]> {
  const folder = mkdtempSync(join(tmpdir(), "onnx-agr-bench-"));
  try {
    const train = ["train", "set", "--data", "data.safetensors", "--batch-size", "1", "--lr", "1e-4"];
    const saved = [...train, "--checkpoints", "run"];
    const tasks: readonly (readonly [what: string, args: readonly string[]])[] = [
      ["make the forward model", ["prepare"]],
      ["build", ["build", "gpt.onnx", "--loss", "cross-entropy", "--class-axis", "-1", "-o", "set"]],
      ["train two steps, save both forms", [...saved, "--epochs", "1", "-o", "trained"]],
      ["resume, two more", [...saved, "--epochs", "2", "--resume", "run"]],
      ["export", ["export", "set", "--checkpoint", "run", "-o", "model.onnx"]],
    ];
    const rows = tasks.map(([what, args]) => measure(what, args, folder));
    console.error(table(rows));
    return rows;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

const [task, ...args] = process.argv.slice(2);
if (process.argv[1] === SELF && task !== undefined) {
  if (task === "prepare") await prepare(".");
  else process.exitCode = await run([task, ...args], process);
  process.stdout.write(`\n${process.resourceUsage().maxRSS * 1024}\n`);
}
