import { DataError } from "../../../errors.ts";
import type { ReadTokens, Spans } from "./read-tokens.ts";
import type { SampleSettings } from "./samples.ts";
import type { TokenStore } from "./token-store.ts";
import type { TextTokenizer } from "./tokenizer.ts";

/**
 * What each sample is made of; samples that have nothing to be found are left out.
 * @param room how many tokens of the texts a sample holds
 * @throws DataError `E_TEXT` where there is no sample
 */
export function spansOf(
  { store, spans, cut }: ReadTokens,
  tokenizer: TextTokenizer,
  settings: SampleSettings,
  room: number,
  tell: (note: string) => void,
): Spans {
  if (store.length === 0)
    throw new DataError("E_TEXT", "the texts are empty: they have no tokens", { hint: "Give files with text." });
  if (cut > 0) tell(`${cut} lines are longer than a sample, and are cut off`);
  const all = spans ?? packed(store, tokenizer, settings, room, tell);
  const kept = Uint32Array.from(all.starts.keys()).filter((at) =>
    hasTarget(store, all.starts[at] ?? 0, all.counts[at] ?? 0, tokenizer, settings),
  );
  if (kept.length === 0) {
    throw new DataError("E_TEXT", "no sample has a token that is to be found", {
      hint: "Look at what the tokenizer makes of the texts: onnx-agr data <text> --tokenizer <file>.",
    });
  }
  const left = all.starts.length - kept.length;
  if (left === 0) return all;
  tell(`${left} samples have nothing to be found, and are left out`);
  const pick = (values: Uint32Array): Uint32Array => kept.map((at) => values[at] ?? 0);
  return { starts: pick(all.starts), counts: pick(all.counts) };
}

/** A token is to be found once: where none stands before a text, the last of a sample is the first of the next. */
function packed(
  store: TokenStore,
  { prefix }: TextTokenizer,
  { length, masking }: SampleSettings,
  room: number,
  tell: (note: string) => void,
): Spans {
  const stride = room - (masking === null && prefix.length === 0 ? 1 : 0);
  const count = Math.max(0, Math.floor((store.length - room) / stride) + 1);
  if (count === 0) {
    throw new DataError(
      "E_TEXT",
      `the texts have ${store.length} tokens, and one sample of ${length} needs ${room} of them`,
      { hint: "Give more text, a smaller --length (length), or --line-by-line (lineByLine), which fills samples up." },
    );
  }
  const left = store.length - (count - 1) * stride - room;
  if (left > 0) tell(`the last ${left} tokens are fewer than a sample, and are left out`);
  return {
    starts: Uint32Array.from({ length: count }, (_, at) => at * stride),
    counts: new Uint32Array(count).fill(room),
  };
}

function hasTarget(
  store: TokenStore,
  start: number,
  count: number,
  { prefix, suffix, special }: TextTokenizer,
  { masking }: SampleSettings,
): boolean {
  if (masking === null) return count + prefix.length + suffix.length > 1;
  for (let at = start; at < start + count; at++) if (!special.has(store.at(at))) return true;
  return false;
}
