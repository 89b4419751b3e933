/** `N` entries of one kind; a list of unknown length where `N` is any number. */
export type Several<T, N extends number, Entries extends T[] = []> = number extends N
  ? readonly T[]
  : Entries["length"] extends N
    ? Entries
    : Several<T, N, [...Entries, T]>;

/** A list whose length is known. @throws RangeError where it has another */
export function several<T, N extends number>(list: readonly T[], count: N): Several<T, N> {
  if (list.length !== count) throw new RangeError(`${list.length} entries where there are to be ${count}`);
  return list as Several<T, N>;
}

/** A tuple's map, which has as many entries as it. */
export const mapTuple = <const T extends readonly unknown[], R>(
  list: T,
  map: (each: T[number], index: number) => R,
): { -readonly [K in keyof T]: R } => list.map(map) as { -readonly [K in keyof T]: R };
