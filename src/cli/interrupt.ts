import { constants } from "node:os";

const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

const exitCodeOf = (signal: NodeJS.Signals): number => 128 + constants.signals[signal];

/** npm and npx pass on a Ctrl-C that the terminal has sent to the whole process group already: one wish, two signals. */
const SAME_WISH_MS = 500;

/**
 * Runs something that can be interrupted: the first signal asks it to stop at the next good moment, a second ends the
 * process at once. What is left to do after an interrupt, saving say, is under the same rule.
 */
export async function interruptible<T>(
  run: (signal: AbortSignal) => Promise<T>,
): Promise<{ readonly value: T; readonly exitCode: number | null }> {
  const controller = new AbortController();
  let exitCode: number | null = null;
  let since = 0;
  const stop = (signal: NodeJS.Signals): void => {
    if (exitCode !== null) {
      if (performance.now() - since > SAME_WISH_MS) process.exit(exitCode);
      return;
    }
    exitCode = exitCodeOf(signal);
    since = performance.now();
    controller.abort();
  };
  const restore = replaceHandlers(stop);
  try {
    return { value: await run(controller.signal), exitCode };
  } finally {
    if (exitCode === null) restore();
  }
}

/** Outside training a signal ends the process, through `exit`, so that temporary files are removed. */
export function exitOnSignals(): void {
  replaceHandlers((signal) => {
    if (process.stderr.isTTY) process.stderr.write("\n");
    process.exit(exitCodeOf(signal));
  });
}

function replaceHandlers(handler: (signal: NodeJS.Signals) => void): () => void {
  const earlier = SIGNALS.map((signal) => [signal, process.listeners(signal)] as const);
  for (const signal of SIGNALS) process.removeAllListeners(signal).on(signal, handler);
  return () => {
    for (const [signal, listeners] of earlier) {
      process.removeAllListeners(signal);
      for (const listener of listeners) process.on(signal, listener);
    }
  };
}
