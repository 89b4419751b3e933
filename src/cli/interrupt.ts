import { constants } from "node:os";

const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

const exitCodeOf = (signal: NodeJS.Signals): number => 128 + constants.signals[signal];

/**
 * Runs something that can be interrupted: the first signal asks it to stop at the next good moment, the second ends the
 * process at once.
 */
export async function interruptible<T>(
  run: (signal: AbortSignal) => Promise<T>,
): Promise<{ readonly value: T; readonly exitCode: number | null }> {
  const controller = new AbortController();
  let exitCode: number | null = null;
  const stop = (signal: NodeJS.Signals): void => {
    if (exitCode !== null) process.exit(exitCode);
    exitCode = exitCodeOf(signal);
    controller.abort();
  };
  const restore = replaceHandlers(stop);
  try {
    return { value: await run(controller.signal), exitCode };
  } finally {
    restore();
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
