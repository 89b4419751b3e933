/** What a pass did. Passes change the model they are given and say what they changed. */

export interface Skipped {
  /** What was left alone: a parameter, a node, a graph. */
  readonly at: string;
  readonly reason: string;
}

export interface Report {
  readonly pass: string;
  /** Edges, nodes or files changed; 0 exactly when the model encodes to the same bytes as before. */
  readonly changed: number;
  readonly skipped: readonly Skipped[];
  /** What a person should know: a fallback taken, a second insert that changed nothing. */
  readonly notes: readonly string[];
}
