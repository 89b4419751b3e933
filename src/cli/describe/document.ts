/** What a command says of something, for programs and for people. */
export interface Document {
  readonly json: object;
  readonly lines: readonly string[];
  /** Set where what was looked for is not there. */
  readonly isNothing?: boolean;
}
