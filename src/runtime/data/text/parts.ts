import type { DataError } from "../../../errors.ts";

/** A part of a `tokenizer.json`, as it is written there. */
export type Part = Readonly<Record<string, unknown>>;

export const isPart = (value: unknown): value is Part =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** Joiners of the words of some scripts, and of pictures. */
const JOINERS = "\u200c\u200d";
/** Words are of all scripts, where JavaScript's \w is of ASCII alone. */
const WHITESPACE: Part = {
  ...{ type: "Split", behavior: "Removed", invert: true },
  pattern: { Regex: `[\\w${JOINERS}]+|[^\\w\\s${JOINERS}]+` },
};

/** Which ways of splitting the library follows: the others it takes for these. */
const FOLLOWED: Readonly<Record<string, readonly string[]>> = {
  Split: ["Isolated", "Removed", "Removed inverted"],
  Punctuation: ["Isolated", "Contiguous"],
};

/**
 * What splits texts, as the library follows it. Each kind was compared with Hugging Face's own implementation.
 * @throws what `fail` makes, for a way of splitting that the library would take for another
 */
export function followedSplitting(given: unknown, fail: (reason: string) => DataError): unknown {
  if (!isPart(given)) return given;
  const { type, pretokenizers, behavior = "Isolated", invert } = given;
  if (type === "Sequence" && Array.isArray(pretokenizers))
    return { ...given, pretokenizers: pretokenizers.map((each) => followedSplitting(each, fail)) };
  if (type === "Whitespace") return WHITESPACE;
  const way = `${String(behavior)}${invert === true ? " inverted" : ""}`;
  const ways = FOLLOWED[String(type)];
  if (ways !== undefined && !ways.includes(way)) throw fail(`its pre-tokenizer "${type}" splits by "${way}"`);
  return given;
}

/** @throws what `fail` makes, for a property of the model that the library passes over */
export function checkModel(
  { type, dropout, byte_fallback: fallback }: Part,
  fail: (reason: string) => DataError,
): void {
  if (typeof dropout === "number" && dropout > 0)
    throw fail(`its model leaves out merges at random ("dropout": ${dropout}), which makes other tokens each time`);
  if (type === "Unigram" && fallback === true) throw fail('its model "Unigram" falls back to bytes');
}

/** Whether texts are normalized by a table that came compiled, in the place of which there is a rule that is nearly the same. */
export function hasCompiledTable(given: unknown): boolean {
  if (!isPart(given)) return false;
  const { type, normalizers } = given;
  return type === "Precompiled" || (Array.isArray(normalizers) && normalizers.some(hasCompiledTable));
}
