/**
 * Trains in a process of its own, 3,000 steps or 100 sessions as the argument says, 10,000 or 200 where ONNX_AGR_COUNTS is "all",
 * after 1,000 or 250 that nobody measures, and prints the least resident memory in bytes in the first two fifths, and in the last two.
 * One reading varies by some percent, and so does a hundred sessions' least, with what the collector has not yet taken: what is lost for good is in every reading of a
 * fifth. The unmeasured ones fill the allocator's lists and V8's tables, which grow by some percent in the first hundreds of sessions
 * and not in the next hundreds.
 */

import { fileURLToPath } from "node:url";
import { readTrainable, Tensor, TrainingSession } from "../../dist/index.js";

const artifacts = await readTrainable(fileURLToPath(new URL("../../fixtures/digits", import.meta.url)));
const feeds = {
  input: new Tensor("float32", new Float32Array(512).fill(0.1), [2, 1, 16, 16]),
  labels: new Tensor("int64", BigInt64Array.of(1n, 2n), [2]),
};

async function open() {
  const session = await TrainingSession.create(artifacts, { runtime: "ort-node", threads: 1 });
  if (session.way.name !== "native") throw new Error(`reached by ${session.way.name}`);
  return session;
}

async function resident() {
  let least = Number.POSITIVE_INFINITY;
  for (let turn = 0; turn < 8; turn++) {
    globalThis.gc();
    await new Promise((done) => setTimeout(done, 20));
    least = Math.min(least, process.memoryUsage.rss());
  }
  return least;
}

const isFull = process.env.ONNX_AGR_COUNTS === "all";

const WORK = {
  steps: async () => {
    const session = await open();
    return {
      unmeasured: 1_000,
      count: isFull ? 10_000 : 3_000,
      one: async (index) => {
        if (index % 10 !== 0) return session.trainSteps([feeds]);
        await session.runTrainStep(feeds);
        await session.runOptimizerStep();
        return session.lazyResetGrad();
      },
    };
  },
  sessions: async () => ({
    unmeasured: 250,
    count: isFull ? 200 : 100,
    one: async () => {
      const session = await open();
      await session.trainSteps([feeds, feeds]);
      await session.runTrainStep(feeds);
      await session.release();
    },
  }),
};

const { unmeasured, count, one } = await WORK[process.argv[2] ?? "steps"]();
const READINGS = 10;
const fifths = [[], [], [], [], []];
for (let index = 0; index < unmeasured; index++) await one(index);
for (let index = 0; index < count; index++) {
  await one(index);
  if ((index + 1) % (count / (fifths.length * READINGS)) === 0)
    fifths[Math.floor((index * fifths.length) / count)].push(await resident());
}
const [first, second, , fourth, last] = fifths.map((readings) => Math.min(...readings));
console.log(`${Math.min(first, second)}\n${Math.min(fourth, last)}`);
process.exit(0);
