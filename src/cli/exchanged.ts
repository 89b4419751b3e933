import type { StepEvent } from "../index.ts";

/** Where the time of a training on several ranks went, as this rank sees it. */
export class Exchanged {
  #seconds = 0;
  #pack = 0;
  #reduce = 0;
  #wait = 0;

  add({ seconds, exchange }: StepEvent): void {
    this.#seconds += seconds;
    this.#pack += exchange?.pack ?? 0;
    this.#reduce += exchange?.reduce ?? 0;
    this.#wait += exchange?.wait ?? 0;
  }

  /** Of the time of all steps. Waiting is a part of the all-reduce. */
  get shares(): { readonly pack: number; readonly reduce: number; readonly wait: number } {
    const share = (seconds: number): number => (this.#seconds === 0 ? 0 : seconds / this.#seconds);
    return { pack: share(this.#pack), reduce: share(this.#reduce), wait: share(this.#wait) };
  }

  get line(): string {
    const percent = (share: number): string => `${(100 * share).toFixed(1)} %`;
    const { pack, reduce, wait } = this.shares;
    return `of the time: packing ${percent(pack)}, all-reduce ${percent(reduce)}, of that waited for ${percent(wait)}`;
  }
}
