import { CONTROL_SOURCE } from "./control-source.ts";
import { TASK_SOURCE } from "./kernel-source.ts";
import { ASKING_SOURCE, STACK_BYTES } from "./run-helper-source.ts";

/** How long the runner waits for helpers that do their share of an update at the same time. */
const LONGEST_WAIT_MS = 60_000;

/**
 * What the runner's thread does. As text, not a file of its own: a bundler, which puts this package's code elsewhere, needs
 * not know of it. It calls what it is told, with the floating-point control of the thread set as the call asks: ONNX Runtime
 * sets its own threads to flush denormal numbers, but of those who call it only the first to make a session in the process.
 * Of calls that are to be made at the same time it makes the first itself, and those that no helper is there for. What comes behind
 * calls that went wrong is left out. An update it does at the end of each step, where the loss is finite; no step follows where it is not.
 */
export const RUNNER_SOURCE = `
"use strict";
const { parentPort, workerData } = require("node:worker_threads");
const { koffiFile, functions, control, busy, closing, environment, signals, places } = workerData;
const koffi = require(koffiFile);
koffi.config({ sync_stack_size: ${STACK_BYTES} });
const calls = new Map(
  functions.map(([name, pointer, takes]) => [name, koffi.decode(pointer, koffi.proto("void *", takes))]),
);
${CONTROL_SOURCE}
${TASK_SOURCE}
${ASKING_SOURCE}
const setFlush = controlOf(environment);
let flushes = null;
let helpers = [];

const updates = new Map();

function load(update) {
  const { losses, memory } = update;
  updates.set(update.key, { ...update, run: taskOf(update), losses: new Float32Array(memory.buffer, ...losses) });
}

function update(loaded) {
  const { run, losses, control, helpers } = loaded;
  if (loaded.isBroken) throw new Error("an update was left half done: load the state anew in another session");
  const found = Array.from(losses);
  if (!found.every(Number.isFinite)) return found;
  if (helpers > 0) {
    Atomics.store(control, signals.done, 0);
    Atomics.store(control, signals.flush, flushes ? 1 : 0);
    Atomics.add(control, signals.begin, 1);
    Atomics.notify(control, signals.begin);
  }
  run();
  for (let done = 0; done < helpers; done = Atomics.load(control, signals.done)) {
    if (Atomics.wait(control, signals.done, done, ${LONGEST_WAIT_MS}) === "timed-out") {
      loaded.isBroken = true;
      throw new Error("a thread that helps with updates does not answer");
    }
  }
  return found;
}

function together(run, [own, ...others], flush) {
  const asked = others.map((args, index) => helpers[index] !== undefined && ask(helpers[index], args, flush));
  const statuses = [];
  try {
    statuses.push(run(...own));
  } finally {
    const answers = asked.map((isAsked, index) => (isAsked ? answerOf(helpers[index]) : undefined));
    for (const [index, answer] of answers.entries()) statuses.push(answer ?? run(...others[index]));
  }
  return statuses;
}

function call({ name, steps, flush, key }) {
  if (flushes !== flush) setFlush(flush);
  flushes = flush;
  const losses = [];
  for (const stages of steps) {
    for (const stage of stages) {
      if (Atomics.load(control, closing) === 1) throw new Error("the process is ending");
      const failed = together(calls.get(name), stage, flush).filter(Boolean);
      if (failed.length > 0) return { failed, losses };
    }
    if (key === null) continue;
    const found = update(updates.get(key));
    losses.push(found);
    if (!found.every(Number.isFinite)) break;
  }
  return { failed: [], losses };
}

function hire({ memories }) {
  helpers = memories.map((memory) => placesOf(memory, places));
}

const ORDERS = { load, call, hire, drop: ({ key }) => void updates.delete(key) };

parentPort.on("message", ({ id, order, ...given }) => {
  const reply = { id };
  Atomics.store(control, busy, 1);
  try {
    reply.result = ORDERS[order](given);
  } catch (error) {
    reply.error = String(error);
  } finally {
    Atomics.store(control, busy, 0);
    Atomics.notify(control, busy);
  }
  parentPort.postMessage(reply);
});
`;
