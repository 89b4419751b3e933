export interface Skipped {
  /** What was left alone: a parameter, a node, a graph. */
  readonly at: string;
  readonly reason: string;
}
