import { CONTROL_SOURCE } from "./control-source.ts";

/** Text of a function `taskOf`: it makes a function that does the share of a thread in an update. */
export const TASK_SOURCE = `
function taskOf({ module, memory, task }) {
  const { exports } = new WebAssembly.Instance(module, { env: { memory } });
  const calls = task.map(([kernel, ...given]) => [exports[kernel], given]);
  return () => {
    for (const [kernel, given] of calls) kernel(...given);
  };
}
`;

/** Places in the memory by which the runner's thread tells helpers to begin, and they that they are done. */
export const SIGNALS = { begin: 0, done: 1, flush: 2 } as const;

/**
 * What a helper does, as text for the same reason as the runner's: its share of one update whenever it is told to begin, with
 * denormal numbers flushed as ONNX Runtime's threads do. It waits without an event loop, and ends with the thread that made it.
 */
export const HELPER_SOURCE = `
"use strict";
const { parentPort, workerData } = require("node:worker_threads");
const { koffiFile, environment, control, signals } = workerData;
const koffi = require(koffiFile);
${CONTROL_SOURCE}
${TASK_SOURCE}
const setFlush = controlOf(environment);
const run = taskOf(workerData);
parentPort.postMessage("ready");
for (let seen = 0; ; ) {
  Atomics.wait(control, signals.begin, seen);
  seen = Atomics.load(control, signals.begin);
  setFlush(Atomics.load(control, signals.flush) === 1);
  run();
  Atomics.add(control, signals.done, 1);
  Atomics.notify(control, signals.done);
}
`;
