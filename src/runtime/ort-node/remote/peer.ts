import { fork } from "node:child_process";
import { fileURLToPath } from "node:url";
import { Worker } from "node:worker_threads";
import type { Reply, Request } from "./protocol.ts";

/** Where a session runs beside the caller: a thread leaves the event loop free, a process also survives a crash. */
export type Isolation = "thread" | "process";

/** The other side, as something to send to. */
export interface Peer {
  post(request: Request): void;
  /** Whether the caller's process stays alive for it. */
  hold(alive: boolean): void;
  end(): Promise<void>;
}

export interface PeerEvents {
  readonly reply: (reply: Reply) => void;
  /** The other side is gone. @param reason why, in words */
  readonly gone: (reason: string) => void;
}

const MAIN = new URL("./main.js", import.meta.url);

export const PEERS: Readonly<Record<Isolation, (events: PeerEvents) => Peer>> = {
  thread({ reply, gone }) {
    const worker = new Worker(MAIN);
    worker.on("message", reply);
    worker.on("error", (error) => gone(error.message));
    worker.on("exit", (code) => gone(`its thread ended with ${code}`));
    worker.unref();
    return {
      post: (request) => worker.postMessage(request),
      hold: (alive) => (alive ? worker.ref() : worker.unref()),
      end: async () => void (await worker.terminate()),
    };
  },
  process({ reply, gone }) {
    const child = fork(fileURLToPath(MAIN), {
      serialization: "advanced",
      stdio: ["ignore", "ignore", "inherit", "ipc"],
    });
    child.on("message", (message) => reply(message as Reply));
    child.on("error", (error) => gone(error.message));
    child.on("exit", (code, signal) =>
      gone(signal === null ? `its process ended with ${code}` : `its process was ended by ${signal}`),
    );
    const hold = (alive: boolean): void => {
      if (alive) child.ref();
      else child.unref();
      if (alive) child.channel?.ref();
      else child.channel?.unref();
    };
    hold(false);
    return {
      post: (request) => child.send(request),
      hold,
      end: async () => {
        if (child.exitCode !== null || child.signalCode !== null) return;
        const ended = new Promise((done) => child.once("exit", done));
        child.kill();
        await ended;
      },
    };
  },
};
