import { DataError } from "../../../errors.ts";
import { sha256 } from "../../../graph/io/digest.ts";

const BLOCK_BITS = 20;
const BLOCK = 2 ** BLOCK_BITS;
/** What stays in memory; two bytes each, or four in vocabularies above 65,536. */
const MAX_TOKENS = 2 ** 30;

/** Numbers of tokens, one after the other. */
export class TokenStore {
  readonly #blocks: (Uint16Array | Uint32Array)[] = [];
  readonly #array: Uint16ArrayConstructor | Uint32ArrayConstructor;
  #length = 0;

  /** @param greatest the largest number of a token */
  constructor(greatest: number) {
    this.#array = greatest < 2 ** 16 ? Uint16Array : Uint32Array;
  }

  get length(): number {
    return this.#length;
  }

  /** @throws DataError `E_TEXT` above 1,073,741,824 tokens */
  add(tokens: readonly number[]): void {
    if (this.#length + tokens.length > MAX_TOKENS) {
      throw new DataError("E_TEXT", `the texts have more than ${MAX_TOKENS.toLocaleString("en")} tokens`, {
        hint: "All tokens are in memory. Give parts of the texts, one after the other: --init-from takes what was trained with the part before.",
      });
    }
    for (const token of tokens) {
      const at = this.#length & (BLOCK - 1);
      if (at === 0) this.#blocks.push(new this.#array(BLOCK));
      const block = this.#blocks.at(-1);
      if (block !== undefined) block[at] = token;
      this.#length++;
    }
  }

  at(place: number): number {
    return this.#blocks[place >>> BLOCK_BITS]?.[place & (BLOCK - 1)] ?? 0;
  }

  /** How many different numbers there are, and how often one of them occurs. */
  count(unknown: number | null): { readonly different: number; readonly unknown: number } {
    const different = new Set<number>();
    let times = 0;
    for (let place = 0; place < this.#length; place++) {
      const token = this.at(place);
      different.add(token);
      if (token === unknown) times++;
    }
    return { different: different.size, unknown: times };
  }

  /** SHA-256 of all of them. */
  digest(): string {
    const each = this.#blocks.map((block) => sha256(new Uint8Array(block.buffer)));
    return sha256(new TextEncoder().encode([this.#length, ...each].join("\n")));
  }
}
