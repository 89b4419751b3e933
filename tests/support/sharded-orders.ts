/**
 * Ends while a batch is computed in two parts, in the way that the argument names. It is bundled and run as a process of its own, which
 * must not crash and must not stay.
 */

import { once } from "node:events";
import { setTimeout } from "node:timers/promises";
import { isMainThread, parentPort, Worker } from "node:worker_threads";
import { OrtNodeSession } from "../../src/runtime/ort-node/session.ts";
import { WAYS } from "../../src/runtime/ort-node/ways.ts";
import { feeds, inParts, programs } from "./sharded-net.ts";

/** A step of some ten milliseconds. */
const SIZES = { batch: 1024, width: 2048 };
const BATCH = feeds(1, SIZES);
const MANY = Array.from({ length: 64 }, () => BATCH);

const open = (): Promise<OrtNodeSession> =>
  OrtNodeSession.create(WAYS, programs(inParts(SIZES), SIZES), { threads: 2 });

/** Has a call of about a second under way. */
async function underWay(): Promise<void> {
  const session = await open();
  await session.trainSteps([BATCH]);
  session.trainSteps(MANY).catch(() => undefined);
  await setTimeout(60);
}

const say = (text: string): void => void process.stdout.write(`${text}\n`);

const ORDERS: Readonly<Record<string, () => Promise<void>>> = {
  "exit in a run": async () => {
    await underWay();
    say("ran");
    process.exit(0);
  },
  "exit right after a call": async () => {
    const session = await open();
    void session.trainSteps(MANY);
    say("called");
    process.exit(0);
  },
  "an error nobody catches, in a run": async () => {
    await underWay();
    say("called");
    throw new Error("not caught");
  },
  "killed in a run": async () => {
    await underWay();
    say("called");
    process.kill(process.pid, "SIGTERM");
    await setTimeout(10_000);
  },
  "never released": async () => {
    const session = await open();
    await session.trainSteps([BATCH]);
    say(`steps ${session.steps}`);
  },
  "in a thread that is ended in a run": async () => {
    const worker = new Worker(process.argv[1] ?? "", { argv: ["in a thread"] });
    await once(worker, "message");
    await worker.terminate();
    const session = await open();
    await session.trainSteps([BATCH]);
    say(`steps ${session.steps}`);
    await session.release();
  },
  "in a thread": async () => {
    await underWay();
    parentPort?.postMessage("runs");
    await setTimeout(10_000);
  },
};

const [, , name = ""] = process.argv;
if (isMainThread || name === "in a thread") await ORDERS[name]?.();
