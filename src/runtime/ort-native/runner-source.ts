import { EXECUTOR_SOURCE } from "./executor-source.ts";
import { STACK_BYTES } from "./run-helper-source.ts";

/**
 * What the runner's thread does. As text, not a file of its own: a bundler, which puts this package's code elsewhere, needs
 * not know of it. It calls what it is told.
 */
export const RUNNER_SOURCE = `
"use strict";
const { parentPort, workerData } = require("node:worker_threads");
const { koffiFile, functions, control, busy } = workerData;
const koffi = require(koffiFile);
koffi.config({ sync_stack_size: ${STACK_BYTES} });
${EXECUTOR_SOURCE}
const calls = Object.fromEntries(
  functions.map(([name, pointer, takes]) => [name, koffi.decode(pointer, koffi.proto("void *", takes))]),
);
const executor = executorOf({ ...workerData, calls });

parentPort.on("message", ({ id, order, ...given }) => {
  const reply = { id };
  Atomics.store(control, busy, 1);
  try {
    reply.result = executor[order](given);
  } catch (error) {
    reply.error = String(error);
  } finally {
    Atomics.store(control, busy, 0);
    Atomics.notify(control, busy);
  }
  parentPort.postMessage(reply);
});
`;
