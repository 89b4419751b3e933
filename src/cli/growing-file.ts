import { once } from "node:events";
import { createWriteStream } from "node:fs";
import { FileSystemError } from "../index.ts";

/** A file that grows while a command runs: whole records only, whatever happens. */
export class GrowingFile {
  readonly #path: string;
  readonly #stream: ReturnType<typeof createWriteStream>;
  #failure: Error | null = null;

  constructor(path: string, { append }: { readonly append: boolean }) {
    this.#path = path;
    this.#stream = createWriteStream(path, { flags: append ? "a" : "w" });
    this.#stream.on("error", (error) => {
      this.#failure = error;
    });
  }

  async write(record: string | Uint8Array): Promise<void> {
    this.#check();
    if (!this.#stream.write(record)) {
      /** What fails is told by `#check`. */
      await once(this.#stream, "drain").catch(() => undefined);
    }
    this.#check();
  }

  async close(): Promise<void> {
    await new Promise<void>((done) => {
      this.#stream.once("error", () => done()).end(done);
    });
    this.#check();
  }

  #check(): void {
    if (this.#failure === null) return;
    throw new FileSystemError("E_FILE_SYSTEM", `cannot write ${this.#path}: ${this.#failure.message}`, {
      file: this.#path,
      cause: this.#failure,
    });
  }
}
