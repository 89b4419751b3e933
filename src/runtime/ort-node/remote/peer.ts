import { fork } from "node:child_process";
import { fileURLToPath } from "node:url";
import { Worker } from "node:worker_threads";
import type { Peer, PeerEvents, Reply, StartPeer } from "./protocol.ts";
import { workerFile } from "./worker-file.ts";

/** Where a session runs beside the caller: a thread leaves the event loop free, a process also survives a crash. */
export type Isolation = "thread" | "process";

/** @param file what the thread or process runs */
type StartIn = (file: URL, events: PeerEvents) => Peer;

export const PEERS: Readonly<Record<Isolation, StartIn>> = {
  thread(file, { reply, gone }) {
    const worker = new Worker(file);
    worker.on("message", reply);
    worker.on("error", (error) => gone(error.message));
    worker.on("exit", (code) => gone(`its thread ended with ${code}`));
    worker.unref();
    return {
      post: (request) => worker.postMessage(request),
      hold: (alive) => (alive ? worker.ref() : worker.unref()),
      async end() {
        worker.ref();
        await worker.terminate();
      },
    };
  },
  process(file, { reply, gone }) {
    const child = fork(fileURLToPath(file), {
      serialization: "advanced",
      stdio: ["ignore", "ignore", "inherit", "ipc"],
    });
    /** An error without a process is one that could not be started: it does not exit either. */
    const ended = new Promise<void>((done) => {
      child.once("exit", () => done());
      child.once("error", () => child.pid === undefined && done());
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
      async end() {
        hold(true);
        child.kill("SIGKILL");
        await ended;
      },
    };
  },
};

/** @param worker the file it runs. Default: the one that lies beside this code */
export const startPeer =
  (isolation: Isolation, worker: string | URL | undefined): StartPeer =>
  (events) =>
    PEERS[isolation](workerFile(worker), events);
