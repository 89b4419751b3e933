import type { Tokenizer } from "@huggingface/tokenizers";
import { DataError } from "../../../errors.ts";
import { sha256 } from "../../../graph/io/digest.ts";
import { readRegularFile } from "../../../graph/io/read-file.ts";
import { checkModel, followedSplitting, hasCompiledTable, isPart, type Part } from "./parts.ts";

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
  /** Whether it normalizes by a table that is followed nearly: control characters, spaces, then NFKC. */
  readonly isNearly: boolean;
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
    isNearly: hasCompiledTable(content["normalizer"]),
    special: new Set([
      ...added.filter(({ special }) => special).map(({ id }) => id),
      ...(unknown === null ? [] : [unknown]),
    ]),
    decode: (tokens) => (tokens.length === 0 ? "" : made.decode([...tokens], { clean_up_tokenization_spaces: false })),
  };
}

type Fail = (reason: string, cause?: unknown) => DataError;

function contentOf(bytes: Uint8Array, fail: Fail): Part {
  let content: unknown;
  try {
    content = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch (cause) {
    throw fail("it is no JSON", cause);
  }
  const parts = ["model", "added_tokens"];
  const missing = isPart(content) ? parts.find((part) => !(part in (content as Part))) : parts[0];
  if (!isPart(content) || missing !== undefined) throw fail(`it has no "${missing}"`);
  /** The library asks for them; a file that has none may leave them out. */
  return { normalizer: null, pre_tokenizer: null, post_processor: null, decoder: null, ...content };
}

/** What `encode` of the library gives, whose own type says less. */
interface Encoded {
  readonly ids: readonly number[];
}

const KINDS = ["BPE", "WordPiece", "Unigram", "WordLevel"];

/** Files of the first years do not say it. */
function kindOf(model: Part): string | null {
  if (Array.isArray(model["vocab"])) return "Unigram";
  if ("merges" in model) return "BPE";
  return "continuing_subword_prefix" in model ? "WordPiece" : null;
}

async function tokenizerOf(content: Part, fail: Fail): Promise<Tokenizer> {
  const { Tokenizer: Made } = await import("@huggingface/tokenizers");
  const model = isPart(content["model"]) ? content["model"] : {};
  const type = model["type"] ?? kindOf(model);
  /** The library takes any other model for one of whole words. */
  if (typeof type !== "string" || !KINDS.includes(type))
    throw fail(
      `its model is ${typeof type === "string" ? `"${type}"` : "of no kind"}, and ${KINDS.join(", ")} are known`,
    );
  checkModel({ ...model, type }, fail);
  const splitting = followedSplitting(content["pre_tokenizer"], fail);
  try {
    const known = { ...content, pre_tokenizer: splitting, model: { ...model, type } };
    return new Made(known, { unk_token: model["unk_token"] });
  } catch (cause) {
    throw fail(cause instanceof Error ? cause.message : String(cause), cause);
  }
}

function encoded(tokenizer: Tokenizer, text: string): readonly number[] {
  const { ids }: Encoded = tokenizer.encode(text, { add_special_tokens: false });
  /** Where there is no unknown token, the library gives nothing for what it does not know. */
  if (ids.every(Number.isSafeInteger)) return ids;
  throw new DataError("E_TEXT", "a part of the line has no token, and the tokenizer has none for what is unknown", {
    hint: "Give the tokenizer of these texts' language, or take out what it does not know.",
  });
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

function padOf(content: Part): number | null {
  const padding = content["padding"];
  const id = isPart(padding) ? padding["pad_id"] : null;
  return typeof id === "number" && Number.isSafeInteger(id) ? id : null;
}

function unknownOf(content: Part, vocabulary: ReadonlyMap<string, number>): number | null {
  const model = content["model"];
  if (!isPart(model)) return null;
  const [id, token] = [model["unk_id"], model["unk_token"]];
  if (typeof id === "number") return id;
  return typeof token === "string" ? (vocabulary.get(token) ?? null) : null;
}
