interface Link<T> {
  readonly item: T;
  previous: Link<T> | null;
  next: Link<T> | null;
}

/** Distinct items in an order; each edit takes constant time. */
export class LinkedList<T extends object> {
  readonly #links = new Map<T, Link<T>>();
  #first: Link<T> | null = null;
  #last: Link<T> | null = null;
  /** The items as an array, until the next edit. */
  #items: readonly T[] | null = [];

  get size(): number {
    return this.#links.size;
  }

  has(item: T): boolean {
    return this.#links.has(item);
  }

  /** A snapshot: no later edit changes it. */
  get items(): readonly T[] {
    if (this.#items !== null) return this.#items;
    const items: T[] = [];
    for (let link = this.#first; link !== null; link = link.next) items.push(link.item);
    this.#items = items;
    return items;
  }

  /** The item behind this one; null behind the last, and where the item is not in the list. */
  after(item: T): T | null {
    return this.#links.get(item)?.next?.item ?? null;
  }

  /** Puts an item before another, or at the end. An item that is in the list moves. */
  insert(item: T, before: T | null): void {
    if (item === before) return;
    this.remove(item);
    const next = before === null ? null : (this.#links.get(before) ?? null);
    const previous = next === null ? this.#last : next.previous;
    const link: Link<T> = { item, previous, next };
    if (previous === null) this.#first = link;
    else previous.next = link;
    if (next === null) this.#last = link;
    else next.previous = link;
    this.#links.set(item, link);
    this.#items = null;
  }

  /** Does nothing where the item is not in the list. */
  remove(item: T): void {
    const link = this.#links.get(item);
    if (link === undefined) return;
    const { previous, next } = link;
    if (previous === null) this.#first = next;
    else previous.next = next;
    if (next === null) this.#last = previous;
    else next.previous = previous;
    this.#links.delete(item);
    this.#items = null;
  }
}
