import { requireArgument, TEXT } from "../arguments.ts";
import type { RunOptions } from "../artifacts/run-checkpoint/manifest.ts";
import { decodeRun, encodeRun, type RunSnapshot } from "../artifacts/run-checkpoint/one-file.ts";
import { CheckpointError, FileSystemError } from "../errors.ts";

const DATABASE = "onnx-agr";
const STORE = "runs";

/**
 * Runs in the browser's own database (IndexedDB), by name. A save is one transaction: after a crash there is the run before it,
 * or the new one, whole.
 */
export class RunStore {
  readonly #database: IDBDatabase;

  private constructor(database: IDBDatabase) {
    this.#database = database;
  }

  /** @throws FileSystemError `E_STORAGE` where the browser lets the page keep nothing */
  static async open(): Promise<RunStore> {
    try {
      const request = indexedDB.open(DATABASE, 1);
      request.onupgradeneeded = () => request.result.createObjectStore(STORE);
      const database = await answered(request);
      /** A page of a newer version of this package may change the database. */
      database.onversionchange = () => database.close();
      return new RunStore(database);
    } catch (cause) {
      throw storageError("open its database", cause);
    }
  }

  /** @throws FileSystemError `E_STORAGE`, where the disk or the page's share of it is full */
  async save(name: string, run: RunSnapshot): Promise<void> {
    requireArgument("name", name, TEXT);
    const bytes = encodeRun(run);
    try {
      const transaction = this.#database.transaction(STORE, "readwrite", { durability: "strict" });
      transaction.objectStore(STORE).put(bytes, name);
      await completed(transaction);
    } catch (cause) {
      throw storageError(`keep the run "${name}"`, cause);
    }
  }

  /**
   * @param now as of `decodeRun`
   * @returns null where there is no run of the name
   * @throws as `decodeRun`; FileSystemError `E_STORAGE`
   */
  async load(name: string, now?: RunOptions): Promise<RunSnapshot | null> {
    requireArgument("name", name, TEXT);
    let found: unknown;
    try {
      found = await answered(this.#database.transaction(STORE).objectStore(STORE).get(name));
    } catch (cause) {
      throw storageError(`read the run "${name}"`, cause);
    }
    if (found === undefined) return null;
    if (found instanceof Uint8Array) return decodeRun(found, now);
    throw new CheckpointError("E_STATE", `the run "${name}" is no bytes`, { field: name });
  }

  /** The runs that there are. @throws FileSystemError `E_STORAGE` */
  async names(): Promise<readonly string[]> {
    try {
      return (await answered(this.#database.transaction(STORE).objectStore(STORE).getAllKeys())).map(String);
    } catch (cause) {
      throw storageError("list its runs", cause);
    }
  }

  /** Removes a run; one that is not there is none to remove. @throws FileSystemError `E_STORAGE` */
  async remove(name: string): Promise<void> {
    requireArgument("name", name, TEXT);
    try {
      const transaction = this.#database.transaction(STORE, "readwrite");
      transaction.objectStore(STORE).delete(name);
      await completed(transaction);
    } catch (cause) {
      throw storageError(`remove the run "${name}"`, cause);
    }
  }

  close(): void {
    this.#database.close();
  }
}

const answered = <T>(request: IDBRequest<T>): Promise<T> =>
  new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });

const completed = (transaction: IDBTransaction): Promise<void> =>
  new Promise((resolve, reject) => {
    transaction.oncomplete = () => resolve();
    transaction.onabort = () => reject(transaction.error);
  });

function storageError(what: string, cause: unknown): FileSystemError {
  const reason = cause instanceof Error ? cause.message : String(cause);
  return new FileSystemError("E_STORAGE", `the browser could not ${what}: ${reason}`, {
    hint: "Private windows keep nothing; encodeRun gives bytes that the page can send or offer for download.",
    cause,
  });
}
