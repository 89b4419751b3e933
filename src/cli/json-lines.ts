import { createWriteStream } from "node:fs";
import { FileSystemError } from "../index.ts";

/** A JSON-lines file: whole lines only, whatever happens. */
export class JsonLines {
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

  async write(event: object): Promise<void> {
    this.#check();
    if (!this.#stream.write(`${JSON.stringify(event)}\n`)) {
      await new Promise<void>((done) => {
        this.#stream.once("drain", done).once("error", () => done());
      });
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
    throw new FileSystemError("E_FILE_SYSTEM", `cannot write the log ${this.#path}: ${this.#failure.message}`, {
      file: this.#path,
      cause: this.#failure,
    });
  }
}
