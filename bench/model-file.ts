/**
 * What it costs to read, transform and write a model of 1 GB, as ratios to a plain copy in the same run: each in a process
 * of its own, alternating, the median of several rounds.
 *
 *     npm run bench -- model-file [--megabytes 1024] [--rounds 7]
 */

import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, statSync, unlinkSync } from "node:fs";
import { open, readFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { decodeModel, GraphTensor, Value } from "../src/entries/graph.ts";
import { insertAgr, readModel, writeModel } from "../src/index.ts";
import { median } from "./table.ts";

const MEGABYTE = 2 ** 20;
const TENSOR_MEGABYTES = 16;
const SELF = fileURLToPath(import.meta.url);
const OPTIMIZER = new URL("../fixtures/digits/optimizer_model.onnx", import.meta.url);

interface Measured {
  readonly seconds: number;
  readonly peakBytes: number;
}

const TASKS: Readonly<Record<string, (from: string, to: string) => Promise<void>>> = {
  /** The plain copy: whole file in, whole file out, on the disk. */
  async copy(from, to) {
    const bytes = await readFile(from);
    const handle = await open(to, "w");
    await handle.writeFile(bytes);
    await handle.sync();
    await handle.close();
  },
  async insert(from, to) {
    const model = await readModel(from);
    insertAgr(model);
    await writeModel(to, model);
  },
};

async function runTask(task: string, from: string, to: string): Promise<void> {
  const began = performance.now();
  await TASKS[task]?.(from, to);
  const measured: Measured = {
    seconds: (performance.now() - began) / 1000,
    peakBytes: process.resourceUsage().maxRSS * 1024,
  };
  process.stdout.write(JSON.stringify(measured));
}

function measure(task: string, from: string, to: string): Measured {
  const { stdout, stderr, status } = spawnSync(process.execPath, ["--import", "tsx", SELF, task, from, to], {
    encoding: "utf8",
  });
  if (status !== 0) throw new Error(stderr);
  unlinkSync(to);
  return JSON.parse(stdout) as Measured;
}

export async function benchModelFile(options: {
  readonly megabytes: number;
  readonly rounds: number;
}): Promise<unknown> {
  const { megabytes, rounds } = options;
  const folder = mkdtempSync(join(tmpdir(), "onnx-agr-bench-"));
  try {
    const [from, to] = [join(folder, "model.onnx"), join(folder, "out.onnx")];
    const model = decodeModel(await readFile(OPTIMIZER));
    const values = new Float32Array((TENSOR_MEGABYTES * MEGABYTE) / 4).map((_, index) => index);
    for (let index = 0; index * TENSOR_MEGABYTES < megabytes; index++) {
      const value = new Value(`weight${index}`);
      value.tensor = GraphTensor.from(1, [values.length], values);
      model.graph.initializers.push(value);
    }
    await writeModel(from, model);
    const size = statSync(from).size;
    const results = Array.from({ length: rounds }, () => ({
      copy: measure("copy", from, to),
      insert: measure("insert", from, to),
    }));
    const seconds = {
      copy: median(results.map(({ copy }) => copy.seconds)),
      insert: median(results.map(({ insert }) => insert.seconds)),
    };
    const peak = {
      copy: median(results.map(({ copy }) => copy.peakBytes)),
      insert: median(results.map(({ insert }) => insert.peakBytes)),
    };
    const report = {
      bytes: size,
      rounds,
      seconds,
      timeRatio: median(results.map(({ copy, insert }) => insert.seconds / copy.seconds)),
      peakBytes: peak,
      memoryRatio: peak.insert / size,
    };
    console.error(
      `read, insert AGR, write ${(size / 1e9).toFixed(2)} GB: ${report.timeRatio.toFixed(2)} x a plain copy, ` +
        `peak memory ${report.memoryRatio.toFixed(2)} x the file (plain copy ${(peak.copy / size).toFixed(2)})`,
    );
    return report;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

const [task, from, to] = process.argv.slice(2);
if (process.argv[1] === SELF && task !== undefined && from !== undefined && to !== undefined)
  await runTask(task, from, to);
