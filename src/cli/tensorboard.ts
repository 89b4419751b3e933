import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { eventFileName, Pictures, TensorBoardEncoder } from "../entries/run.ts";
import { fileSystemError } from "../errors.ts";
import type { Dataset } from "../index.ts";
import { GrowingFile } from "./growing-file.ts";
import { numbersOf, type Told } from "./training-record.ts";

const MOST_PICTURES = 16;

/** The event file of a training. */
export class TensorBoard {
  readonly #file: GrowingFile;
  readonly #encoder: TensorBoardEncoder;

  private constructor(file: GrowingFile, encoder: TensorBoardEncoder) {
    this.#file = file;
    this.#encoder = encoder;
  }

  /** @throws FileSystemError `E_FILE_SYSTEM` */
  static async open(folder: string, dataset: Dataset): Promise<TensorBoard> {
    await mkdir(folder, { recursive: true }).catch((cause: unknown) => {
      throw fileSystemError("make the folder", folder, cause);
    });
    const file = new GrowingFile(join(folder, eventFileName(Date.now(), process.pid)), { append: false });
    const encoder = new TensorBoardEncoder();
    await file.write(encoder.start());
    const shown = [...Array(Math.min(MOST_PICTURES, dataset.size)).keys()];
    const pictures = await Pictures.of(dataset, shown);
    if (pictures !== null)
      await file.write(
        encoder.images(
          "samples",
          shown.map((sample) => pictures.of(sample)),
        ),
      );
    return new TensorBoard(file, encoder);
  }

  async take(event: Told): Promise<void> {
    if (event.type !== "validation") {
      await this.#file.write(this.#encoder.encode(event));
      return;
    }
    const values = Object.entries(numbersOf({ loss: event.loss, ...event.values }));
    await this.#file.write(
      this.#encoder.scalars(Object.fromEntries(values.map(([name, value]) => [`validation/${name}`, value]))),
    );
  }

  async close(): Promise<void> {
    await this.#file.close();
  }
}
