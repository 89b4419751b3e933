/**
 * One table out of several.
 * @param what the table, for the error: "gradient rules"
 * @throws RangeError where two have a row of one key
 */
export function uniqueRows<Key extends string, Row>(
  what: string,
  ...parts: readonly Iterable<readonly [Key, Row]>[]
): ReadonlyMap<string, Row> {
  const table = new Map<string, Row>();
  for (const part of parts) {
    for (const [key, row] of part) {
      if (table.has(key)) throw new RangeError(`the table of ${what} has two rows of ${key}`);
      table.set(key, row);
    }
  }
  return table;
}
