import { CONTROL_SOURCE } from "./control-source.ts";
import { TASK_SOURCE } from "./kernel-source.ts";
import { ASKING_SOURCE } from "./run-helper-source.ts";

/** How long it waits for helpers that do their share of an update at the same time. */
const LONGEST_WAIT_MS = 60_000;

/**
 * Text of a function `executorOf`: what makes calls in the thread that it is called in, with the floating-point control of the thread set as a
 * call asks. ONNX Runtime sets its own threads to flush denormal numbers, but of those who call it only the first to make a session in the
 * process. Of calls that are to be made at the same time it makes the first itself, and those that no helper is there for. What comes behind
 * calls that went wrong is left out. An update it does at the end of each step, where the loss is finite; no step follows where it is not.
 * It needs a \`koffi\`.
 */
export const EXECUTOR_SOURCE = `
${CONTROL_SOURCE}
${TASK_SOURCE}
${ASKING_SOURCE}
function executorOf({ calls, control, closing, environment, signals, places }) {
  const setFlush = controlOf(environment);
  const updates = new Map();
  let helpers = [];

  function load(update) {
    const { losses, memory } = update;
    updates.set(update.key, { ...update, run: taskOf(update), losses: new Float32Array(memory.buffer, ...losses) });
  }

  function update(loaded, flush) {
    const { run, losses, control, helpers } = loaded;
    if (loaded.isBroken) throw new Error("an update was left half done: load the state anew in another session");
    const found = Array.from(losses);
    if (!found.every(Number.isFinite)) return found;
    if (helpers > 0) {
      Atomics.store(control, signals.done, 0);
      Atomics.store(control, signals.flush, flush ? 1 : 0);
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

  function make({ name, steps, flush, key }) {
    const losses = [];
    const run = calls[name];
    for (const stages of steps) {
      for (const stage of stages) {
        if (Atomics.load(control, closing) === 1) throw new Error("the process is ending");
        const statuses = stage.length === 1 ? run(...stage[0]) : together(run, stage, flush);
        if (statuses === null) continue;
        const failed = [statuses].flat().filter(Boolean);
        if (failed.length > 0) return { failed, losses };
      }
      if (key === null) continue;
      const found = update(updates.get(key), flush);
      losses.push(found);
      if (!found.every(Number.isFinite)) break;
    }
    return { failed: [], losses };
  }

  /** The thread is left as it was found. */
  function call(given) {
    const began = performance.now();
    const before = setFlush(given.flush);
    try {
      const made = make(given);
      made.milliseconds = performance.now() - began;
      return made;
    } finally {
      setFlush(before);
    }
  }

  /** Whether denormal numbers are flushed as it is said, and no longer than that. */
  function isTrue() {
    const tiny = Float64Array.of(Number.MIN_VALUE);
    const kept = (flush) => {
      const before = setFlush(flush);
      try {
        return tiny[0] + tiny[0] !== 0;
      } finally {
        setFlush(before);
      }
    };
    return kept(false) && !kept(true) && tiny[0] + tiny[0] !== 0;
  }

  function hire({ memories }) {
    helpers = memories.map((memory) => placesOf(memory, places));
  }

  return { load, call, hire, isTrue, drop: ({ key }) => void updates.delete(key) };
}
`;
