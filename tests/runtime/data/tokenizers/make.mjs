/**
 * Makes small tokenizers of four kinds, and what Hugging Face's own implementation, in Rust, makes of some texts with them. The package
 * @anush008/tokenizers is that implementation for Node; it is no dependency of this project:
 *
 * Training is not the same from run to run: all files change together.
 *
 *     npm install --no-save @anush008/tokenizers && node tests/runtime/data/tokenizers/make.mjs
 */

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import rust from "@anush008/tokenizers";

const scratch = mkdtempSync(join(tmpdir(), "tokenizers-"));

/** Sentences of a small grammar: the vocabularies stay small. */
const NOUNS = ["cat", "dog", "bird", "horse", "teacher", "gardener", "painter", "child"];
const VERBS = ["sees", "follows", "hears", "likes", "paints", "feeds", "waters", "doesn't see"];
const KINDS = ["small", "old", "quick", "naïve", "red", "tall", "sleepy", "unhappy"];
const pick = (list, at) => list[Math.floor(at) % list.length];
const sentences = Array.from(
  { length: 512 },
  (_, at) =>
    `The ${pick(KINDS, at)} ${pick(NOUNS, at / 8)} ${pick(VERBS, at / 3)} a ${pick(KINDS, at / 5)} ${pick(NOUNS, at / 64)}, ${at} times.`,
);
const corpus = join(scratch, "corpus.txt");
writeFileSync(corpus, sentences.join("\n"));

/** The `model` of a tokenizer that was trained with the sentences. */
function trained(model, preTokenizer, normalizer = null) {
  const tokenizer = new rust.Tokenizer(model);
  tokenizer.setPreTokenizer(preTokenizer);
  if (normalizer !== null) tokenizer.setNormalizer(normalizer);
  tokenizer.train([corpus]);
  const path = join(scratch, "trained.json");
  tokenizer.save(path);
  return JSON.parse(readFileSync(path, "utf8")).model;
}

const special = (id, content, more = {}) => ({
  ...{ id, content, single_word: false, lstrip: false, rstrip: false, normalized: false, special: true },
  ...more,
});
const file = (parts) => ({ version: "1.0", truncation: null, padding: null, ...parts });
const numbered = (tokens) => Object.fromEntries(tokens.map((token, id) => [token, id]));

/** As BERT's. */
function wordPiece() {
  const names = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"];
  const { vocab } = trained(rust.WordPiece.empty(), rust.bertPreTokenizer(), rust.bertNormalizer());
  return file({
    added_tokens: names.map((name, id) => special(id, name)),
    normalizer: {
      type: "BertNormalizer",
      clean_text: true,
      handle_chinese_chars: true,
      strip_accents: null,
      lowercase: true,
    },
    pre_tokenizer: { type: "BertPreTokenizer" },
    post_processor: { type: "BertProcessing", sep: ["[SEP]", 3], cls: ["[CLS]", 2] },
    decoder: { type: "WordPiece", prefix: "##", cleanup: true },
    model: {
      ...{ type: "WordPiece", unk_token: "[UNK]", continuing_subword_prefix: "##", max_input_chars_per_word: 100 },
      vocab: numbered([...names, ...Object.keys(vocab).filter((token) => !names.includes(token))]),
    },
  });
}

/** As GPT-2's: nothing stands around a text. */
function byteLevel() {
  const { vocab, merges } = trained(rust.BPE.empty(), rust.byteLevelPreTokenizer(false));
  const tokens = [...new Set([...rust.byteLevelAlphabet().toSorted(), ...Object.keys(vocab)])];
  const way = { add_prefix_space: false, trim_offsets: true, use_regex: true };
  return file({
    added_tokens: [special(tokens.length, "<|endoftext|>")],
    normalizer: null,
    pre_tokenizer: { type: "ByteLevel", ...way },
    post_processor: { type: "ByteLevel", ...way },
    decoder: { type: "ByteLevel", ...way },
    model: {
      ...{ type: "BPE", dropout: null, unk_token: null, continuing_subword_prefix: "", end_of_word_suffix: "" },
      ...{ fuse_unk: false, byte_fallback: false },
      vocab: numbered(tokens),
      merges,
    },
  });
}

/** As ALBERT's and T5's are: pieces with their likelihoods, a token before and behind a text. */
function unigram() {
  const names = ["<pad>", "<unk>", "<s>", "</s>", "<mask>"];
  const { vocab } = trained(rust.Unigram.empty(), rust.metaspacePreTokenizer());
  const way = { replacement: "▁", prepend_scheme: "always", split: true };
  const one = (id) => ({ SpecialToken: { id, type_id: 0 } });
  return file({
    added_tokens: names.map((name, id) => special(id, name, name === "<mask>" ? { lstrip: true } : {})),
    normalizer: { type: "NFKC" },
    pre_tokenizer: { type: "Metaspace", ...way },
    post_processor: {
      type: "TemplateProcessing",
      single: [one("<s>"), { Sequence: { id: "A", type_id: 0 } }, one("</s>")],
      pair: [
        one("<s>"),
        { Sequence: { id: "A", type_id: 0 } },
        one("</s>"),
        { Sequence: { id: "B", type_id: 0 } },
        one("</s>"),
      ],
      special_tokens: {
        "<s>": { id: "<s>", ids: [2], tokens: ["<s>"] },
        "</s>": { id: "</s>", ids: [3], tokens: ["</s>"] },
      },
    },
    decoder: { type: "Metaspace", ...way },
    model: { type: "Unigram", unk_id: 1, vocab: [...names.map((name) => [name, 0]), ...vocab], byte_fallback: false },
  });
}

/** Whole words alone. */
function wordLevel() {
  const words = [...new Set(sentences.join(" ").match(/\w+|[^\w\s]+/g))].filter((word) => !/^\d/.test(word));
  return file({
    added_tokens: [special(0, "<unk>")],
    ...{ normalizer: null, pre_tokenizer: { type: "Whitespace" }, post_processor: null, decoder: null },
    model: { type: "WordLevel", vocab: numbered(["<unk>", ...words]), unk_token: "<unk>" },
  });
}

const TEXTS = [
  "The small cat sees a red bird, 7 times.",
  "The unhappy gardener doesn't see a naïve painter!",
  "  two  spaces,\ttabs and a break\n",
  "\n",
  "",
  "Zebras quiz xylophones; Größe, façade, Æther, ﬁne.",
  "猫が鳥を見る。 кошка видит птицу 🐈‍⬛",
  "[MASK] and <mask> and <|endoftext|> inside a text",
  "I'm sure they'll say we've 12345.678 %",
  "horsehorsehorse teachers'",
];

const references = {};
for (const [name, content] of Object.entries({
  wordpiece: wordPiece(),
  "byte-level-bpe": byteLevel(),
  unigram: unigram(),
  wordlevel: wordLevel(),
})) {
  const text = JSON.stringify(content);
  writeFileSync(new URL(`${name}.json`, import.meta.url), `${text}\n`);
  const tokenizer = rust.Tokenizer.fromString(text);
  references[name] = [];
  for (const each of TEXTS) {
    const idsOf = async (addSpecialTokens) => (await tokenizer.encode(each, null, { addSpecialTokens })).getIds();
    const ids = await idsOf(false);
    references[name].push({ text: each, ids, around: await idsOf(true), decoded: await tokenizer.decode(ids, false) });
  }
}
writeFileSync(
  new URL("references.json", import.meta.url),
  `${JSON.stringify(references, null, 1).replace(/\n {4,}(?=-?\d|\])/g, " ")}\n`,
);
rmSync(scratch, { recursive: true });
