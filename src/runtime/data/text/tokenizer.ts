import type { Tokenizer } from "@huggingface/tokenizers";
import { DataError } from "../../../errors.ts";
import { sha256 } from "../../../graph/io/digest.ts";
import { readRegularFile } from "../../../graph/io/read-file.ts";

const MAX_BYTES = 2 ** 28;

/** What makes tokens of text, as a `tokenizer.json` says it. */
export interface TextTokenizer {
  /** The largest number that a token has. */
  readonly greatest: number;
  /** Tokens that stand before and behind every text. */
  readonly prefix: readonly number[];
  readonly suffix: readonly number[];
  /** Those that are no part of texts, the unknown token among them. */
  readonly special: ReadonlySet<number>;
  /** Stands for what the tokenizer does not know; null where there is none. */
  readonly unknown: number | null;
  /** Stands for what is to be found; null where there is none. */
  readonly mask: number | null;
  /** Fills samples up; null where there is none. */
  readonly pad: number | null;
  /** SHA-256 of its file. */
  readonly digest: string;
  /** Without tokens before and behind. @throws DataError `E_TEXT` where a part of the text has no token */
  readonly encode: (text: string) => readonly number[];
  readonly decode: (tokens: readonly number[]) => string;
}

const MASKS = ["[MASK]", "<mask>", "<MASK>", "<|mask|>"];
const PADS = ["[PAD]", "<pad>", "<PAD>", "<|pad|>", "<|padding|>"];
/** Texts of which one at least is made of tokens, whatever the language. */
const PROBES = ["a", "A", "0", ".", "die", "и", "中", "ا", "あ", "अ"];

/** @throws DataError `E_TOKENIZER` where the file is no `tokenizer.json` that can be followed; FormatError `E_NO_FILE` */
export async function readTokenizer(path: string): Promise<TextTokenizer> {
  const bytes = await readRegularFile(path, MAX_BYTES);
  const fail = (reason: string, cause?: unknown): DataError =>
    new DataError("E_TOKENIZER", `${path} is no tokenizer.json that can be followed: ${reason}`, {
      file: path,
      hint: "Give the tokenizer.json that the model was trained with; tokenizer.save_pretrained(folder) of Python's transformers writes it.",
      cause,
    });
  const content = contentOf(bytes, fail);
  const made = await tokenizerOf(content, fail);
  const encode = (text: string): readonly number[] => encoded(made, text);
  const vocabulary = made.get_vocab();
  if (vocabulary.size === 0) throw fail("its vocabulary is empty");
  let greatest = 0;
  for (const id of vocabulary.values()) greatest = Math.max(greatest, id);
  const added = [...made.get_added_tokens_decoder().values()];
  const unknown = unknownOf(content, vocabulary);
  const named = (names: readonly string[]): number | null =>
    names.flatMap((name) => added.find(({ content: text }) => text === name)?.id ?? vocabulary.get(name) ?? [])[0] ??
    null;
  return {
    ...{ greatest, unknown, encode, mask: named(MASKS), pad: padOf(content) ?? named(PADS), digest: sha256(bytes) },
    ...around(made, encode, fail),
    special: new Set([
      ...added.filter(({ special }) => special).map(({ id }) => id),
      ...(unknown === null ? [] : [unknown]),
    ]),
    decode: (tokens) => (tokens.length === 0 ? "" : made.decode([...tokens], { clean_up_tokenization_spaces: false })),
  };
}

type Content = Readonly<Record<string, unknown>>;
type Fail = (reason: string, cause?: unknown) => DataError;

const isObject = (value: unknown): value is Content =>
  typeof value === "object" && value !== null && !Array.isArray(value);

function contentOf(bytes: Uint8Array, fail: Fail): Content {
  let content: unknown;
  try {
    content = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch (cause) {
    throw fail("it is no JSON", cause);
  }
  const parts = ["model", "added_tokens"];
  const missing = isObject(content) ? parts.find((part) => !(part in (content as Content))) : parts[0];
  if (!isObject(content) || missing !== undefined) throw fail(`it has no "${missing}"`);
  /** The library asks for them; a file that has none may leave them out. */
  return { normalizer: null, pre_tokenizer: null, post_processor: null, decoder: null, ...content };
}

/** What `encode` of the library gives, whose own type says less. */
interface Encoded {
  readonly ids: readonly number[];
  readonly tokens: readonly string[];
}

async function tokenizerOf(content: Content, fail: Fail): Promise<Tokenizer> {
  const { Tokenizer: Made } = await import("@huggingface/tokenizers");
  try {
    return new Made(content, {});
  } catch (cause) {
    throw fail(cause instanceof Error ? cause.message : String(cause), cause);
  }
}

function encoded(tokenizer: Tokenizer, text: string): readonly number[] {
  const { ids, tokens }: Encoded = tokenizer.encode(text, { add_special_tokens: false });
  /** Where there is no unknown token, the library gives nothing for what it does not know. */
  const odd = ids.findIndex((id) => !Number.isSafeInteger(id));
  if (odd < 0) return ids;
  throw new DataError(
    "E_TEXT",
    `the tokenizer has no token for "${(tokens[odd] ?? "").slice(0, 40)}", and none for what is unknown`,
    { hint: "Give the tokenizer of these texts' language, or take the characters out." },
  );
}

/** The tokens before and behind a text, told by what is added to one. */
function around(
  tokenizer: Tokenizer,
  encode: (text: string) => readonly number[],
  fail: Fail,
): { readonly prefix: readonly number[]; readonly suffix: readonly number[] } {
  for (const probe of PROBES) {
    let plain: readonly number[];
    try {
      plain = encode(probe);
    } catch {
      continue;
    }
    if (plain.length === 0) continue;
    const { ids }: Encoded = tokenizer.encode(probe, { add_special_tokens: true });
    const at = ids.findIndex((_, start) => plain.every((id, index) => ids[start + index] === id));
    if (at < 0) throw fail("its post-processor changes the tokens of a text");
    return { prefix: ids.slice(0, at), suffix: ids.slice(at + plain.length) };
  }
  throw fail("it makes no tokens of letters, digits or stops");
}

function padOf(content: Content): number | null {
  const padding = content["padding"];
  const id = isObject(padding) ? padding["pad_id"] : null;
  return typeof id === "number" && Number.isSafeInteger(id) ? id : null;
}

function unknownOf(content: Content, vocabulary: ReadonlyMap<string, number>): number | null {
  const model = content["model"];
  if (!isObject(model)) return null;
  const [id, token] = [model["unk_id"], model["unk_token"]];
  if (typeof id === "number") return id;
  return typeof token === "string" ? (vocabulary.get(token) ?? null) : null;
}
