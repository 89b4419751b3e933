/** Which whole numbers an input takes: it holds classes of a loss, or rows of a table. */
export interface ValueRange {
  readonly least: number;
  readonly greatest: number;
  /** A number outside them that is allowed, because it counts for nothing; null where there is none. */
  readonly ignored: number | null;
  /** What the numbers count, in words. */
  readonly of: string;
}
