import type { Communicator } from "./communicator.ts";

/** Tensors by name and how many bytes each has, in the order all ranks have. */
export type Pieces = readonly (readonly [name: string, bytes: number])[];

/** Bytes where arrays of any elements may begin, and those that runs read at full speed. */
const ALIGNMENT = 64;

/** Brings together, on all ranks, tensors of which each rank has some. */
export class Gather {
  readonly #communicator: Communicator;
  readonly #bytes: Uint8Array<ArrayBuffer>;
  readonly #places = new Map<string, readonly [from: number, to: number]>();
  readonly #ends: readonly number[];

  /** @param shares what each rank gives, in the order of the ranks; the same on all */
  constructor(communicator: Communicator, shares: readonly Pieces[]) {
    this.#communicator = communicator;
    let end = 0;
    this.#ends = shares.map((share) => {
      for (const [name, bytes] of share) {
        if (this.#places.has(name)) throw new RangeError(`"${name}" is given twice`);
        this.#places.set(name, [end, end + bytes]);
        end += Math.ceil(bytes / ALIGNMENT) * ALIGNMENT;
      }
      return end;
    });
    this.#bytes = new Uint8Array(end);
  }

  get bytes(): number {
    return this.#bytes.byteLength;
  }

  /** Puts what each rank has written into its tensors in the place of everybody's. */
  async run(): Promise<void> {
    await this.#communicator.allGather(this.#bytes, this.#ends);
  }

  /** The bytes of a tensor, not copied. */
  of(name: string): Uint8Array<ArrayBuffer> {
    const place = this.#places.get(name);
    if (place === undefined) throw new RangeError(`there is no "${name}" in what is gathered`);
    return this.#bytes.subarray(...place);
  }
}
