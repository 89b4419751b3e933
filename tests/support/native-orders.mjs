/**
 * Makes the calls of a session in the order that the argument names, in a process of its own, and prints what came of it. What
 * it must not do is crash.
 */

import { once } from "node:events";
import { setImmediate, setTimeout } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { isMainThread, parentPort, Worker } from "node:worker_threads";
import { readTrainable, Tensor, TrainingSession } from "../../dist/index.js";

const artifacts = await readTrainable(fileURLToPath(new URL("../../fixtures/digits", import.meta.url)));
const SAMPLES = 256;
const feeds = {
  input: new Tensor(
    "float32",
    Float32Array.from({ length: SAMPLES * 256 }, (_, index) => Math.sin(index)),
    [...[SAMPLES, 1, 16, 16]],
  ),
  labels: new Tensor(
    "int64",
    BigInt64Array.from({ length: SAMPLES }, (_, index) => BigInt(index % 10)),
    [SAMPLES],
  ),
};
const MANY = Array.from({ length: 64 }, () => feeds);
const open = async () => {
  const session = await TrainingSession.create(artifacts, { runtime: "ort-node", stepsPerCall: 64 });
  if (session.way.name !== "native") throw new Error(`reached by ${session.way.name}: ${session.way.passedOver}`);
  return session;
};
const codeOf = async (call) => {
  try {
    await call();
    return "none";
  } catch (error) {
    return error.code ?? error.message;
  }
};
const say = (text) => process.stdout.write(`${text}\n`);
/** A run of some hundred milliseconds, under way. */
const underWay = async (session) => {
  const run = session.trainSteps(MANY);
  run.catch(() => undefined);
  await setTimeout(20);
  return run;
};

const ORDERS = {
  "exit in a run": async () => {
    await underWay(await open());
    say("ran");
    process.exit(0);
  },
  "exit right after a call": async () => {
    const session = await open();
    void session.trainSteps(MANY);
    say("called");
    process.exit(0);
  },
  "exit while a model loads": async () => {
    void open();
    await setTimeout(50);
    say("called");
    process.exit(0);
  },
  "an error nobody catches, in a run": async () => {
    const session = await open();
    void session.trainSteps(MANY);
    await setTimeout(20);
    say("called");
    throw new Error("not caught");
  },
  "killed in a run": async () => {
    const session = await open();
    void session.trainSteps(MANY);
    await setTimeout(20);
    say("called");
    process.kill(process.pid, "SIGTERM");
    await setTimeout(10_000);
  },
  "never released": async () => {
    const session = await open();
    await session.trainSteps([feeds]);
    say(`steps ${session.steps}`);
  },
  "released in a run": async () => {
    const session = await open();
    const run = session.trainSteps(MANY);
    await session.release();
    say(`losses ${(await run).length}`);
  },
  "released at once, and twice": async () => {
    const session = await open();
    await Promise.all([session.release(), session.release()]);
    await session.release();
    say("released");
  },
  "used after it was released": async () => {
    const session = await open();
    await session.runTrainStep(feeds);
    await session.release();
    const calls = [
      () => session.trainSteps([feeds]),
      () => session.runTrainStep(feeds),
      () => session.runOptimizerStep(),
      () => session.runEvalStep(feeds),
      () => session.getState(),
      () => session.getGradients(),
      () => session.saveCheckpoint(),
      () => session.findNotFinite(feeds),
    ];
    const codes = [];
    for (const call of calls) codes.push(await codeOf(call));
    say([...new Set(codes)].join());
  },
  "a session that cannot be made, and another": async () => {
    const options = { runtime: "ort-node", executionProviders: ["cuda"] };
    say(await codeOf(() => TrainingSession.create(artifacts, options)));
    const session = await open();
    await session.trainSteps([feeds]);
    say(`steps ${session.steps}`);
    await session.release();
  },
  "several sessions at once": async () => {
    const sessions = await Promise.all([open(), open(), open()]);
    const runs = sessions.map((session) => session.trainSteps([feeds, feeds]));
    await sessions[1].release();
    const losses = await Promise.all(runs);
    say(`equal ${losses.every((each) => each.join() === losses[0].join())}`);
    process.exit(0);
  },
  "forgotten, and collected": async () => {
    for (let count = 0; count < 5; count++) {
      await (await open()).trainSteps([feeds]);
      globalThis.gc();
      await setImmediate();
    }
    say("collected");
  },
  "in a thread that is ended in a run": async () => {
    const worker = new Worker(fileURLToPath(import.meta.url), { argv: ["in a thread"] });
    await once(worker, "message");
    await worker.terminate();
    const session = await open();
    await session.trainSteps([feeds]);
    say(`steps ${session.steps}`);
    await session.release();
  },
  "in a thread": async () => {
    const session = await open();
    void session.trainSteps(MANY);
    await setTimeout(20);
    parentPort?.postMessage("runs");
    await setTimeout(10_000);
  },
};

const [, , name = ""] = process.argv;
if (isMainThread || name === "in a thread") await ORDERS[name]();
