import { readFileSync } from "node:fs";
import { gzipSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { textLines } from "../../../src/runtime/data/text/lines.ts";
import { readTokenizer } from "../../../src/runtime/data/text/tokenizer.ts";
import { rejectionOf } from "../../support/errors.ts";
import { type TokenizerName, tokenizer } from "../../support/sentences.ts";
import { file } from "../../support/text-data.ts";

interface Reference {
  readonly text: string;
  readonly ids: readonly number[];
  readonly around: readonly number[];
  readonly decoded: string;
}

/** Of Hugging Face's implementation in Rust; `make.mjs` beside them made them. */
const REFERENCES = JSON.parse(readFileSync(new URL("tokenizers/references.json", import.meta.url), "utf8")) as Readonly<
  Record<TokenizerName, readonly Reference[]>
>;

describe("a tokenizer.json", () => {
  it.each(Object.entries(REFERENCES))(
    "of the kind %s gives the tokens that its own implementation gives",
    async (name, list) => {
      const { encode, decode, prefix, suffix } = await readTokenizer(tokenizer(name as TokenizerName));
      expect(list).toHaveLength(10);
      for (const { text, ids, around, decoded } of list) {
        expect([text, encode(text)]).toEqual([text, ids]);
        expect([...prefix, ...ids, ...suffix]).toEqual(around);
        expect(decode(ids)).toBe(decoded);
      }
    },
  );

  it.each<readonly [string, string, RegExp]>([
    ["no JSON", "tokens", /it is no JSON/],
    ["no object", "[1]", /it has no "model"/],
    ["another file", '{"added_tokens":[]}', /it has no "model"/],
    ["of a model that is not known", '{"model":{"type":"Neural","vocab":{}},"added_tokens":[]}', /Neural/],
    [
      "of an unknown normalizer",
      '{"model":{"type":"WordPiece","vocab":{"a":0}},"added_tokens":[],"normalizer":{"type":"Shout"}}',
      /Shout/,
    ],
    [
      "of merges left out at random",
      '{"model":{"type":"BPE","vocab":{"a":0},"merges":[],"dropout":0.1},"added_tokens":[]}',
      /at random/,
    ],
    [
      "of pieces that fall back to bytes",
      '{"model":{"type":"Unigram","vocab":[["a",0]],"unk_id":0,"byte_fallback":true},"added_tokens":[]}',
      /falls back to bytes/,
    ],
    ...(["MergedWithPrevious", "MergedWithNext"] as const).map(
      (way) =>
        [
          `split by ${way}`,
          `{"model":{"type":"WordPiece","vocab":{"a":0}},"added_tokens":[],"pre_tokenizer":{"type":"Sequence","pretokenizers":[{"type":"Split","pattern":{"String":" "},"behavior":"${way}","invert":false}]}}`,
          new RegExp(`"Split" splits by "${way}"`),
        ] as const,
    ),
    ["without tokens", '{"model":{"type":"WordPiece","vocab":{}},"added_tokens":[]}', /its vocabulary is empty/],
  ])("that is %s is refused by name", async (_, content, message) => {
    const error = await rejectionOf(readTokenizer(file(content, "tokenizer.json")));
    expect([error.code, error.exitCode, error.message]).toEqual(["E_TOKENIZER", 5, expect.stringMatching(message)]);
    expect(error.hint).toContain("tokenizer.json that the model was trained with");
  });
});

describe("lines of text", () => {
  const linesOf = async (content: string | Uint8Array, name?: string): Promise<readonly string[]> => {
    const lines: string[] = [];
    for await (const some of textLines(file(content, name)))
      for (const { number, text, isEnded } of some) lines.push(`${number}:${text}${isEnded ? "$" : ""}`);
    return lines;
  };

  it("end with LF or CRLF, or with the file; a byte order mark is left out, also of gzipped text", async () => {
    const text = "\uFEFFone\r\ntwo\n\nlast";
    const expected = ["1:one$", "2:two$", "3:$", "4:last"];
    expect(await linesOf(text)).toEqual(expected);
    expect(await linesOf(gzipSync(text), "corpus.txt.gz")).toEqual(expected);
    expect(await linesOf("one\n")).toEqual(["1:one$"]);
    expect(await linesOf("")).toEqual([]);
  });

  it("are the same where they cross the pieces that a file is read in", async () => {
    const all = Array.from({ length: 90_000 }, (_, at) => `${at} größer als 猫 ${"x".repeat(at % 40)}`);
    const lines = await linesOf(all.join("\n"));
    expect(lines).toHaveLength(all.length);
    expect(lines.every((line, at) => line === `${at + 1}:${all[at]}${at + 1 < all.length ? "$" : ""}`)).toBe(true);
  });

  it.each([
    [
      "no UTF-8",
      Buffer.concat([Buffer.from("good\nstill good\n"), Buffer.from([0x47, 0x72, 0xf6, 0xdf, 0x65])]),
      /:3: the text is not UTF-8/,
      /iconv/,
    ],
    [
      "UTF-16",
      Buffer.from("\uFEFFtext", "utf16le"),
      /:1: the text is not UTF-8|:1: the line has a zero byte/,
      /utf-16/,
    ],
    ["bytes of zero", "a\nb\0c\n", /:2: the line has a zero byte/, /iconv/],
    ["a line of 17 MiB", "x".repeat(17 * 2 ** 20), /:1: the line has more than 16 MiB/, /fold -s/],
  ])("with %s are refused by file and line", async (_, content, message, hint) => {
    const error = await rejectionOf(linesOf(content));
    expect([error.code, error.exitCode]).toEqual(["E_TEXT", 5]);
    expect(error.message).toMatch(message);
    expect(error.hint).toMatch(hint);
  });

  it("of what is no text, or not whole, are refused by what it is", async () => {
    expect((await rejectionOf(linesOf("version https://git-lfs.github.com/spec/v1\n"))).message).toContain("Git LFS");
    expect(await linesOf("<html>a page</html>")).toEqual(["1:<html>a page</html>"]);
    const cut = gzipSync("words ".repeat(1000)).subarray(0, 40);
    expect((await rejectionOf(linesOf(cut, "corpus.txt.gz"))).message).toContain("no whole gzip file");
  });
});
