import { CONTROL_SOURCE } from "./control-source.ts";

/** The stack of koffi's calls. */
export const STACK_BYTES = 2 ** 24;

/** How many arguments a run has. */
const ARGUMENTS = 8;

/** Where in the memory that both threads see the runner puts what a helper is to run, and it the status; what they tell each other. */
export const RUN_PLACES = {
  ...{ state: 0, flush: 1, pointersAt: 8, arguments: ARGUMENTS, bytes: 8 + 8 * (ARGUMENTS + 1) },
  ...{ idle: 0, asked: 1, answered: 2, gone: 3 },
} as const;

const PLACES_SOURCE = `
function placesOf(memory, places) {
  return { signals: new Int32Array(memory, 0, 2), pointers: new BigUint64Array(memory, places.pointersAt), places };
}
`;

/**
 * Text of functions with which the runner asks a helper to run a model, and waits for it. \`ask\` says whether the helper is there
 * and idle. \`answerOf\` gives the status, and nothing where the helper ended before it had one.
 */
export const ASKING_SOURCE = `
${PLACES_SOURCE}
function ask({ signals, pointers, places }, args, flush) {
  const { state, idle, asked } = places;
  if (Atomics.load(signals, state) !== idle) return false;
  pointers.set(args.map(BigInt));
  signals[places.flush] = flush ? 1 : 0;
  if (Atomics.compareExchange(signals, state, idle, asked) !== idle) return false;
  Atomics.notify(signals, state);
  return true;
}

function answerOf({ signals, pointers, places }) {
  const { state, idle, asked, answered } = places;
  while (Atomics.load(signals, state) === asked) Atomics.wait(signals, state, asked);
  return Atomics.compareExchange(signals, state, answered, idle) === answered ? pointers[places.arguments] : undefined;
}
`;

/**
 * What a thread does that runs models beside the runner's, as text for the same reason. It waits without an event loop, and ends with
 * the thread that made it.
 */
export const RUN_HELPER_SOURCE = `
"use strict";
const { parentPort, workerData } = require("node:worker_threads");
const { koffiFile, run: [pointer, takes], environment, memory, places } = workerData;
const koffi = require(koffiFile);
koffi.config({ sync_stack_size: ${STACK_BYTES} });
const run = koffi.decode(pointer, koffi.proto("void *", takes));
${CONTROL_SOURCE}
${PLACES_SOURCE}
const setFlush = controlOf(environment);
const { signals, pointers } = placesOf(memory, places);
const { state, asked, answered } = places;
parentPort.postMessage("ready");
for (;;) {
  const now = Atomics.load(signals, state);
  if (now !== asked) {
    Atomics.wait(signals, state, now);
    continue;
  }
  setFlush(signals[places.flush] === 1);
  pointers[places.arguments] = run(...pointers.subarray(0, places.arguments)) ?? 0n;
  Atomics.store(signals, state, answered);
  Atomics.notify(signals, state);
}
`;
