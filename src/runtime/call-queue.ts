import { BackendError, OnnxAgrError } from "../errors.ts";
import { runtimeError } from "./ort-errors.ts";

/** Runs calls one after another, and none after the end. */
export class CallQueue {
  #last: Promise<unknown> = Promise.resolve();
  #closed = false;

  get closed(): boolean {
    return this.#closed;
  }

  close(): void {
    this.#closed = true;
  }

  /**
   * @throws BackendError `E_RELEASED` after `close`; `E_RUN` around what is no error of ours
   */
  async call<T>(method: string, run: () => Promise<T>): Promise<T> {
    if (this.#closed) throw new BackendError("E_RELEASED", `${method} was called after release()`);
    const result = this.#last.then(run);
    this.#last = result.catch(() => undefined);
    try {
      return await result;
    } catch (cause) {
      if (cause instanceof OnnxAgrError) throw cause;
      throw runtimeError("E_RUN", `ONNX Runtime failed in ${method}`, cause, { field: method });
    }
  }

  /** When everything that was called is done. */
  async idle(): Promise<void> {
    await this.#last;
  }
}
