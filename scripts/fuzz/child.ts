import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import type { Kind } from "./operations.ts";

const WORKER = fileURLToPath(new URL("worker.ts", import.meta.url));

export interface Limits {
  readonly milliseconds: number;
  readonly megabytes: number;
}

/** A process that attacks are carried out in: what hangs, grows or ends it is found from outside. */
export class Child {
  readonly #limits: Limits;
  #process: ChildProcess | null = null;

  constructor(limits: Limits) {
    this.#limits = limits;
  }

  /** @returns what is wrong, or null */
  async attack(kind: Kind, bytes: Uint8Array): Promise<string | null> {
    const child = await this.#started();
    const { milliseconds, megabytes } = this.#limits;
    const answer = await new Promise<string | null>((resolve) => {
      const end = (reason: string | null): void => {
        clearTimeout(timer);
        child.off("exit", onExit).off("message", onMessage);
        resolve(reason);
      };
      const timer = setTimeout(() => end(`no answer within ${milliseconds} ms`), milliseconds);
      const onExit = (code: number | null, signal: string | null): void =>
        end(`the process ended with ${signal ?? code}: out of memory or out of stack`);
      const onMessage = ({
        find,
        memory,
      }: {
        find: { operation: string; message: string } | null;
        memory: number;
      }): void => {
        if (find !== null) end(`${find.operation}: ${find.message}`);
        else end(memory > megabytes * 2 ** 20 ? `${Math.round(memory / 2 ** 20)} MB of memory` : null);
      };
      child.once("exit", onExit).once("message", onMessage);
      child.send({ kind, input: Buffer.from(bytes).toString("base64") });
    });
    if (answer !== null) this.stop();
    return answer;
  }

  stop(): void {
    this.#process?.kill("SIGKILL");
    this.#process = null;
  }

  async #started(): Promise<ChildProcess> {
    if (this.#process !== null && this.#process.exitCode === null) return this.#process;
    const execArgv = [...process.execArgv, `--max-old-space-size=${this.#limits.megabytes}`];
    const child = fork(WORKER, { execArgv, stdio: ["ignore", "ignore", "ignore", "ipc"] });
    this.#process = child;
    await once(child, "message");
    return child;
  }
}
