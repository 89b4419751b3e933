/** Why something cannot be used here, in words that continue a sentence, and what to do about it. */
export class Unavailable extends Error {
  readonly needs: string;

  constructor(reason: string, needs: string) {
    super(reason);
    this.needs = needs;
  }
}
