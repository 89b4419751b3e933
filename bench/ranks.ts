/**
 * What several ranks bring. Measured on this machine: two ranks of one thread against one process of two, on the same batches; an
 * all-reduce between two ranks. From these, by the ring's and the tree's cost models: what share of its time each of 2 to 1,024
 * ranks would compute. Needs mpirun, and a machine that has nothing else to do.
 *
 *     npm run bench -- ranks [--rounds 7]
 */

import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { availableParallelism, loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { makeMlpArtifacts } from "../fixtures/mlp.ts";
import { DataType, GraphTensor } from "../src/entries/graph.ts";
import { encodeSafetensors } from "../src/entries/training.ts";
import { buildTrainingArtifacts, lowerArtifacts, writePortable } from "../src/index.ts";
import { efficiency, fitNetwork, type Network, ring, tree } from "./cost-models.ts";
import { smallResNet } from "./small-resnet.ts";
import { median, type Row, table } from "./table.ts";

const MAIN = fileURLToPath(new URL("../dist/cli/main.js", import.meta.url));
const ALL_REDUCE = fileURLToPath(new URL("all-reduce.mjs", import.meta.url));
const MPIRUN = ["mpirun", "--allow-run-as-root"];

/** Half of the bytes are gradients, which are added up; half are parameters, which are gathered. */
const AS_ALL_REDUCE = 0.75;

const STEPS = 30;
/** The first steps load models and find out how many steps a call has. */
const WARM_UP = 10;

interface Subject {
  readonly name: string;
  readonly batch: number;
  readonly input: readonly number[];
  readonly write: (folder: string) => Promise<unknown>;
}

const writeMlp = async (folder: string): Promise<unknown> =>
  writePortable(folder, await lowerArtifacts(makeMlpArtifacts([784, 1024, 1024, 10])));

/** What ranks exchange for an update does not grow with the batch: the larger that is, the less it weighs. */
const SUBJECTS: readonly Subject[] = [
  { name: "MLP 784-1024-1024-10", batch: 256, input: [784], write: writeMlp },
  { name: "MLP 784-1024-1024-10", batch: 1024, input: [784], write: writeMlp },
  {
    name: "small ResNet",
    batch: 32,
    input: [3, 32, 32],
    write: async (folder) => {
      const built = await buildTrainingArtifacts(smallResNet(), {
        loss: { kind: "cross-entropy" },
        targets: ["portable"],
      });
      if (built.portable !== null) await writePortable(folder, built.portable);
    },
  },
];

function writeData(path: string, samples: number, dims: readonly number[]): void {
  const size = dims.reduce((product, dim) => product * dim, samples);
  const values = Float32Array.from({ length: size }, (_, index) => Math.sin(index * 12.9898));
  const labels = BigInt64Array.from({ length: samples }, (_, index) => BigInt(index % 10));
  const tensors = [
    { name: "input", tensor: GraphTensor.from(DataType.float, [samples, ...dims], values) },
    { name: "labels", tensor: GraphTensor.from(DataType.int64, [samples], labels) },
  ];
  writeFileSync(path, encodeSafetensors(tensors));
}

function run(command: readonly string[], cwd: string): string {
  const [program = "", ...args] = command;
  const { status, stdout, stderr } = spawnSync(program, args, { cwd, encoding: "utf8", maxBuffer: 2 ** 26 });
  if (status !== 0) throw new Error(`${command.join(" ")}: ${stderr}`);
  return stdout;
}

interface Step {
  readonly type: string;
  readonly seconds: number;
  readonly samples: number;
  readonly exchange?: { readonly pack: number; readonly reduce: number; readonly wait: number; readonly bytes: number };
}

/** The steps of one training, without the first. */
function train(folder: string, batch: number, threads: number, ranks: number): readonly Step[] {
  const args = ["train", "artifacts", "--data", "data.safetensors", "--global-batch-size", String(batch)];
  const options = ["--threads", String(threads), "-o", "out", "--force", "--log", "log.jsonl", "--quiet"];
  const start = ranks === 1 ? [] : [...MPIRUN, "-n", String(ranks)];
  run([...start, process.execPath, MAIN, ...args, ...options], folder);
  const lines = readFileSync(join(folder, "log.jsonl"), "utf8").trim().split("\n");
  const steps = lines.map((line) => JSON.parse(line) as Step).filter(({ type }) => type === "step");
  return steps.slice(WARM_UP);
}

const perSecond = (steps: readonly Step[]): number =>
  steps.reduce((sum, { samples }) => sum + samples, 0) / steps.reduce((sum, { seconds }) => sum + seconds, 0);

interface Measured {
  readonly row: Row;
  readonly name: string;
  /** What is added up and gathered for an update, as an all-reduce of as much: gathering costs half of one. */
  readonly bytes: number;
  /** Seconds of a step on one rank of one thread without exchange. */
  readonly step: number;
}

async function measure(subject: Subject, rounds: number): Promise<Measured> {
  const folder = mkdtempSync(join(tmpdir(), "onnx-agr-bench-"));
  try {
    mkdirSync(join(folder, "artifacts"));
    await subject.write(join(folder, "artifacts"));
    writeData(join(folder, "data.safetensors"), subject.batch * (STEPS + WARM_UP), subject.input);
    const samples: { readonly one: readonly Step[]; readonly two: readonly Step[] }[] = [];
    for (let round = 0; round < rounds; round++) {
      const one = train(folder, subject.batch, 2, 1);
      samples.push({ one, two: train(folder, subject.batch, 1, 2) });
    }
    const steps = samples.flatMap(({ two }) => two);
    const seconds = (of: (step: Step) => number): number => median(steps.map(of));
    const exchange = (key: "pack" | "reduce" | "wait"): number => seconds((step) => step.exchange?.[key] ?? Number.NaN);
    return {
      name: subject.name,
      bytes: AS_ALL_REDUCE * (steps[0]?.exchange?.bytes ?? Number.NaN),
      step: seconds((step) => step.seconds) - exchange("wait"),
      row: {
        model: subject.name,
        batch: subject.batch,
        "one process, 2 threads: samples/s": median(samples.map(({ one }) => perSecond(one))),
        "2 ranks, 1 thread: samples/s": median(samples.map(({ two }) => perSecond(two))),
        ratio: median(samples.map(({ one, two }) => perSecond(two) / perSecond(one))),
        "step ms": 1000 * seconds((step) => step.seconds),
        "pack ms": 1000 * exchange("pack"),
        "all-reduce ms": 1000 * exchange("reduce"),
        "wait ms": 1000 * exchange("wait"),
      },
    };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Assumed, not measured. */
const NETWORKS: Readonly<Record<string, Network>> = {
  "10 Gbit Ethernet (50 us, 1.1 GB/s)": { latency: 50e-6, perByte: 1 / 1.1e9 },
  "100 Gbit InfiniBand (2 us, 11 GB/s)": { latency: 2e-6, perByte: 1 / 11e9 },
};

function expected(measured: readonly Measured[], here: Network): readonly Row[] {
  const networks = { "as between two ranks of this machine": here, ...NETWORKS };
  return measured.flatMap(({ name, bytes, step }) =>
    Object.entries(networks).flatMap(([network, each]) =>
      Array.from({ length: 10 }, (_, power) => 2 ** (power + 1)).map((ranks) => ({
        ...{ model: name, network, ranks },
        "ring %": 100 * efficiency(ring, each, bytes, ranks, step),
        "tree %": 100 * efficiency(tree, each, bytes, ranks, step),
      })),
    ),
  );
}

const ASSUMPTIONS = [
  "Expected share of its time that a rank computes, each with its own batch (weak scaling). Assumed: all ranks are alike and never",
  "wait for a slow one; nothing of the all-reduce overlaps with the step; the network carries all ranks' messages at once; adding up",
  "costs nothing; gathering parameters costs half an all-reduce; a rank's share of the update is that of two ranks, whatever N.",
  "Ring: 2 (N-1) latency + 2 (N-1)/N bytes per second. Tree: 2 log2 N latency, the same bytes.",
].join("\n");

export async function benchRanks({ rounds }: { readonly rounds: number }): Promise<unknown> {
  if (spawnSync(MPIRUN[0] ?? "", ["--version"]).status !== 0) {
    console.error("mpirun is not installed: nothing was measured");
    return null;
  }
  const [load = 0] = loadavg();
  const cores = availableParallelism();
  const measured: Measured[] = [];
  for (const subject of SUBJECTS) measured.push(await measure(subject, rounds));
  const times = JSON.parse(run([...MPIRUN, "-n", "2", process.execPath, ALL_REDUCE], tmpdir())) as [number, number][];
  const here = fitNetwork(times);
  const rows = measured.map(({ row }) => row);
  const forecast = expected(measured, here);
  console.error(
    `${cores} cores, load ${load.toFixed(1)} before: ${load < 0.5 ? "quiet" : "NOT quiet, the ratios mean little"}`,
  );
  console.error(table(rows));
  console.error(
    `all-reduce here: ${(here.latency * 1e6).toFixed(0)} us per message, ${(1 / here.perByte / 1e9).toFixed(2)} GB/s`,
  );
  console.error(`\n${ASSUMPTIONS}\n${table(forecast)}`);
  return { cores, load, measured: rows, allReduce: times, network: here, forecast };
}
