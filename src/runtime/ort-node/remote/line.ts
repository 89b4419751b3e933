import { BackendError } from "../../../errors.ts";
import { pack, unpack } from "./packing.ts";
import type { Answer, Calls, Peer, Reply, StartPeer } from "./protocol.ts";

interface Pending {
  readonly method: string;
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: unknown) => void;
}

/** Calls to a peer, and their answers. */
export class Line {
  readonly #peer: Peer;
  readonly #pending = new Map<number, Pending>();
  #count = 0;
  #gone: string | null = null;
  steps = 0;

  constructor(start: StartPeer) {
    this.#peer = start({ reply: (reply) => this.#take(reply), gone: (reason) => this.#lose(reason) });
  }

  /** What comes back is taken to be what that method gives: the other side is this package too. */
  async call<Name extends keyof Calls>(method: Name, ...args: Parameters<Calls[Name]>): Answer<Name> {
    if (this.#gone !== null) throw crashed(method, this.#gone);
    const id = this.#count++;
    const answered = new Promise((resolve, reject) => this.#pending.set(id, { method, resolve, reject }));
    this.#peer.hold(true);
    this.#peer.post({ id, method, args: pack(args) });
    return (await answered) as Awaited<Answer<Name>>;
  }

  #take({ id, result, error, steps }: Reply): void {
    const pending = this.#pending.get(id);
    this.#pending.delete(id);
    if (this.#pending.size === 0) this.#peer.hold(false);
    this.steps = steps;
    if (error === undefined) pending?.resolve(unpack(result));
    else pending?.reject(unpack(error));
  }

  #lose(reason: string): void {
    this.#gone ??= reason;
    for (const { method, reject } of this.#pending.values()) reject(crashed(method, reason));
    this.#pending.clear();
  }

  async end(): Promise<void> {
    this.#gone ??= "it was released";
    await this.#peer.end();
  }
}

function crashed(method: string, reason: string): BackendError {
  return new BackendError("E_CRASHED", `ONNX Runtime is gone, in ${method}: ${reason}`, {
    field: method,
    hint: "A model or the runtime made it crash: run onnx-agr inspect on the models, or try --runtime ort-training.",
  });
}
