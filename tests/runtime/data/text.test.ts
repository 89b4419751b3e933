import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { DataType } from "../../../src/entries/graph.ts";
import { readBatches } from "../../../src/entries/run.ts";
import type { InputSpec } from "../../../src/entries/training.ts";
import { readData, readDataset } from "../../../src/index.ts";
import { generatorOf } from "../../../src/runtime/data/augment.ts";
import { textLines } from "../../../src/runtime/data/text/lines.ts";
import { maskTokens } from "../../../src/runtime/data/text/masking.ts";
import { readTokenizer } from "../../../src/runtime/data/text/tokenizer.ts";
import { rejectionOf } from "../../support/errors.ts";
import { sentences, type TokenizerName, tokenizer } from "../../support/sentences.ts";
import { temporaryFolder } from "../../support/temporary.ts";

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

function file(content: string | Uint8Array, name = "corpus.txt"): string {
  const path = join(temporaryFolder(), name);
  writeFileSync(path, content);
  return path;
}

const tokens = (name: string, more: Partial<InputSpec> = {}): InputSpec => ({
  ...{ name, dtype: DataType.int64, shape: ["batch", "length"] },
  ...more,
});
const range = (of: string, ignored: number | null = null) => ({ least: 0, greatest: 999, ignored, of });
const INPUTS = [tokens("ids", { range: range("rows") }), tokens("labels", { range: range("classes", -100) })];

const numbersOf = (values: ArrayLike<number | bigint> | undefined): readonly number[] =>
  Array.from(values ?? [], Number);

/** The rows of a tensor of what was read. */
async function rowsOf(
  path: string,
  text: Parameters<typeof readData>[1],
): Promise<Record<string, readonly number[][]>> {
  const { tensors } = await readData(path, text);
  return Object.fromEntries(
    tensors.map(({ name, tensor }) => {
      const [rows = 0, length = 0] = tensor.dims;
      const values = numbersOf(tensor.values());
      return [name, Array.from({ length: rows }, (_, row) => values.slice(row * length, (row + 1) * length))];
    }),
  );
}

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

describe("samples of next tokens", () => {
  it("hold every token once as what is to be found, but for those that are left over", async () => {
    const path = file(`${sentences(40).join("\n")}\n`);
    const { encode } = await readTokenizer(tokenizer("byte-level-bpe"));
    const all = sentences(40).flatMap((line) => encode(`${line}\n`));
    const told: string[] = [];
    const { input_ids: inputs = [], labels = [] } = await rowsOf(path, {
      text: { tokenizer: tokenizer("byte-level-bpe"), length: 16 },
    });
    expect(inputs).toHaveLength(Math.floor((all.length - 1) / 16));
    expect(inputs.flat()).toEqual(all.slice(0, 16 * inputs.length));
    expect(labels.flat()).toEqual(all.slice(1, 16 * inputs.length + 1));
    await readDataset(INPUTS, path, {
      text: { tokenizer: tokenizer("byte-level-bpe"), length: 16 },
      tell: (note) => told.push(note),
    });
    expect(told).toEqual([
      `the last ${all.length - 16 * inputs.length - 1} tokens are fewer than a sample, and are left out`,
      `${path}: ${all.length} tokens in ${inputs.length} samples of 16, packed; the next token is to be found`,
      '"input_ids" of the data is the model\'s "ids"',
    ]);
  });

  it("have the tokens that stand around a text in each of them", async () => {
    const { encode } = await readTokenizer(tokenizer("unigram"));
    const all = sentences(6).flatMap((line) => encode(`${line}\n`));
    const { input_ids: inputs = [], labels = [] } = await rowsOf(file(`${sentences(6).join("\n")}\n`), {
      text: { tokenizer: tokenizer("unigram"), length: 12 },
    });
    // Thirteen tokens: <s>, eleven of the text, </s>; the last one is no input, the first none that is to be found.
    for (const [row, ids] of inputs.entries()) {
      expect(ids).toEqual([2, ...all.slice(11 * row, 11 * row + 11)]);
      expect(labels[row]).toEqual([...all.slice(11 * row, 11 * row + 11), 3]);
    }
    expect(inputs).toHaveLength(Math.floor(all.length / 11));
  });

  it("are a line each where that is asked for: cut off, or filled up with what counts for nothing", async () => {
    const { encode } = await readTokenizer(tokenizer("byte-level-bpe"));
    const [long, short] = ["The small cat sees a red bird, 7 times.", "The cat."];
    const {
      input_ids: inputs,
      labels,
      attention_mask: mask,
    } = await rowsOf(file(`${long}\n\n${short}\n`), {
      text: { tokenizer: tokenizer("byte-level-bpe"), length: 8, lineByLine: true },
    });
    const few = encode(short);
    expect(encode(long).length).toBeGreaterThan(9);
    expect(inputs).toEqual([encode(long).slice(0, 8), [...few.slice(0, -1), ...new Array(9 - few.length).fill(0)]]);
    expect(labels).toEqual([encode(long).slice(1, 9), [...few.slice(1), ...new Array(9 - few.length).fill(-100)]]);
    expect(mask).toEqual([new Array(8).fill(1), Array.from({ length: 8 }, (_, at) => (at < few.length - 1 ? 1 : 0))]);
  });
});

describe("masked tokens", () => {
  it("are chosen and changed as BERT does it", () => {
    const [size, mask, greatest] = [200_000, 4, 999];
    const before = Int32Array.from({ length: size }, (_, at) => 500 + (at % 7));
    const after = before.slice();
    const places = Array.from({ length: size }, (_, at) => at);
    const chosen = maskTokens(after, places, { probability: 0.15, mask, greatest }, generatorOf(1, 0, 0, 3));
    const of = (is: (at: number) => boolean): number => chosen.filter(is).length / chosen.length;
    const isChosen = new Set(chosen);
    const others = places.filter((at) => !isChosen.has(at));
    expect(others.every((at) => after[at] === before[at])).toBe(true);
    // Standard deviations of these shares: 0.0008, 0.0023, 0.0017; these are more than six of them.
    expect(Math.abs(chosen.length / size - 0.15)).toBeLessThan(0.005);
    expect(Math.abs(of((at) => after[at] === mask) - 0.8)).toBeLessThan(0.014);
    expect(Math.abs(of((at) => after[at] === before[at]) - 0.1)).toBeLessThan(0.011);
    const drawn = chosen.flatMap((at) => (after[at] === mask || after[at] === before[at] ? [] : [after[at] ?? 0]));
    expect(Math.min(...drawn)).toBeLessThan(10);
    expect(Math.max(...drawn)).toBeGreaterThan(990);
  });

  it("are one at least, and none of the tokens around a text or of padding", async () => {
    const { input_ids: inputs = [], labels = [] } = await rowsOf(file("The cat.\nThe old dog [SEP] a bird.\n"), {
      text: {
        tokenizer: tokenizer("wordpiece"),
        target: "masked",
        length: 16,
        lineByLine: true,
        maskProbability: 1e-9,
      },
    });
    for (const [row, own] of labels.entries()) {
      expect(own.filter((label) => label !== -100)).toHaveLength(1);
      expect(own.every((label, at) => label === -100 || ![0, 2, 3].includes(inputs[row]?.[at] ?? 0))).toBe(true);
    }
    const whole = await rowsOf(file("The cat.\nThe old dog [SEP] a bird.\n"), {
      text: { tokenizer: tokenizer("wordpiece"), target: "masked", length: 16, lineByLine: true, maskProbability: 1 },
    });
    const { encode } = await readTokenizer(tokenizer("wordpiece"));
    const expected = ["The cat.", "The old dog [SEP] a bird."].map((line) => {
      const own = [-100, ...encode(line).map((id) => (id === 3 ? -100 : id)), -100];
      return [...own, ...new Array<number>(16 - own.length).fill(-100)];
    });
    expect(whole["labels"]).toEqual(expected);
  });

  it("are a function of seed, epoch and sample, whatever the batch", async () => {
    const path = file(sentences(60).join("\n"));
    const inputs = [INPUTS[0], INPUTS[1]].flatMap((input) => input ?? []);
    const dataset = await readDataset(inputs, path, {
      text: { tokenizer: tokenizer("wordpiece"), target: "masked", length: 12 },
    });
    const all = async (seed: number, epoch: number, batchSize: number) => {
      const [ids, labels]: [number[], number[]] = [[], []];
      for await (const feeds of readBatches(dataset, epoch, { batchSize, shuffle: false, seed, dropLast: false })) {
        ids.push(...numbersOf(feeds["ids"]?.data as BigInt64Array));
        labels.push(...numbersOf(feeds["labels"]?.data as BigInt64Array));
      }
      return { ids, labels };
    };
    const first = await all(1, 0, 4);
    expect(first.labels.filter((label) => label >= 0).length).toBeGreaterThan(30);
    expect(await all(1, 0, 7)).toEqual(first);
    expect((await all(1, 1, 4)).labels).not.toEqual(first.labels);
    expect((await all(2, 0, 4)).labels).not.toEqual(first.labels);
  });
});

describe("text for a model", () => {
  const CORPUS = `${sentences(30).join("\n")}\n`;
  const BPE = { tokenizer: tokenizer("byte-level-bpe") };

  it("gives the inputs that it has, under their names and types", async () => {
    const inputs = [
      tokens("input_ids", { dtype: DataType.int32 }),
      tokens("attention_mask", { dtype: DataType.float }),
      ...[tokens("token_type_ids"), tokens("position_ids"), tokens("labels", { shape: ["batch", 10] })],
    ];
    const dataset = await readDataset(inputs, file(CORPUS), { text: { ...BPE, length: 10 } });
    const batch = await readBatches(dataset, 0, { batchSize: 2, shuffle: false, seed: 0, dropLast: false }).next();
    const feeds = batch.value ?? {};
    expect(
      Object.fromEntries(Object.entries(feeds).map(([name, { type, dims }]) => [name, `${type} [${dims}]`])),
    ).toEqual({
      input_ids: "int32 [2,10]",
      attention_mask: "float32 [2,10]",
      token_type_ids: "int64 [2,10]",
      position_ids: "int64 [2,10]",
      labels: "int64 [2,10]",
    });
    expect(numbersOf(feeds["position_ids"]?.data as BigInt64Array).slice(0, 10)).toEqual([...Array(10).keys()]);
    expect(numbersOf(feeds["attention_mask"]?.data as Float32Array)).toEqual(new Array(20).fill(1));
  });

  it.each<readonly [string, string, readonly InputSpec[], object, string, RegExp]>([
    [
      "a vocabulary above the rows",
      CORPUS,
      [tokens("ids", { range: { ...range("rows"), greatest: 499 } }), tokens("labels")],
      {},
      "E_VOCABULARY",
      /numbers tokens up to 873, and "ids" of the model takes numbers up to 499/,
    ],
    [
      "a vocabulary above the scores",
      CORPUS,
      [tokens("ids"), tokens("labels", { range: { ...range("classes"), greatest: 9 } })],
      {},
      "E_VOCABULARY",
      /"labels" of the model takes numbers up to 9/,
    ],
    ["an empty file", "", INPUTS, {}, "E_TEXT", /the texts are empty: they have no tokens/],
    ["less than a sample", "a cat", INPUTS, {}, "E_TEXT", /have \d tokens, and one sample of 128 needs 129/],
    [
      "nothing to be found",
      "[SEP]\n",
      INPUTS,
      { tokenizer: tokenizer("wordpiece"), target: "masked", lineByLine: true },
      "E_TEXT",
      /no sample has a token that is to be found/,
    ],
    [
      "no token that masks",
      CORPUS,
      INPUTS,
      { target: "masked" },
      "E_TOKENIZER",
      /byte-level-bpe\.json has no token that masks others/,
    ],
    [
      "a loss that counts every label",
      CORPUS,
      [tokens("ids"), tokens("labels", { range: range("classes") })],
      { tokenizer: tokenizer("wordpiece"), target: "masked" },
      "E_TEXT",
      /not masked are not to be found, and the model's loss counts every label/,
    ],
    [
      "padding that counts",
      CORPUS,
      [tokens("ids"), tokens("labels", { range: range("classes") })],
      { lineByLine: true },
      "E_TEXT",
      /padding is no token to be found/,
    ],
    [
      "another length",
      CORPUS,
      [tokens("ids", { shape: ["batch", 64] }), tokens("labels")],
      { length: 32 },
      "E_OPTION",
      /takes samples of 64 tokens, not 32/,
    ],
    [
      "no room",
      CORPUS,
      INPUTS,
      { tokenizer: tokenizer("wordpiece"), target: "masked", length: 2 },
      "E_OPTION",
      /the tokenizer puts 2 around each text/,
    ],
    [
      "classes along another axis",
      CORPUS,
      [tokens("ids", { shape: ["batch", 64] }), tokens("labels", { shape: ["batch", 874] })],
      {},
      "E_TEXT",
      /takes 874 labels for 64 tokens/,
    ],
    [
      "an input that text does not give",
      CORPUS,
      [...INPUTS, tokens("pixels")],
      {},
      "E_TEXT",
      /takes "pixels", which text does not give/,
    ],
    [
      "tokens that are floats",
      CORPUS,
      [tokens("x", { dtype: DataType.float }), tokens("labels")],
      {},
      "E_TEXT",
      /"x" takes float, and tokens are whole numbers/,
    ],
    ["no input for tokens", CORPUS, [tokens("labels")], {}, "E_TEXT", /no input for tokens/],
    [
      "a probability that is none",
      CORPUS,
      INPUTS,
      { target: "masked", maskProbability: 2 },
      "E_OPTION",
      /maskProbability/,
    ],
    ["a probability without masks", CORPUS, INPUTS, { maskProbability: 0.2 }, "E_OPTION", /is for --text masked/],
    ["a target that is none", CORPUS, INPUTS, { target: "previous" }, "E_ARGUMENT", /text must be/],
  ])("with %s is refused by name", async (_, corpus, inputs, text, code, message) => {
    const error = await rejectionOf(readDataset(inputs, file(corpus), { text: { ...BPE, ...text } }));
    expect([error.code, error.message]).toEqual([code, expect.stringMatching(message)]);
    expect(error.exitCode).toBe(code === "E_OPTION" || code === "E_ARGUMENT" ? 2 : 5);
    if (code !== "E_ARGUMENT" && !/above 0/.test(error.message) && !/is for --text/.test(error.message))
      expect(error.hint).toBeDefined();
  });

  it("whose tokenizer has a compiled table of characters is told so", async () => {
    const text = readFileSync(tokenizer("unigram"), "utf8");
    const compiled = file(
      JSON.stringify({
        ...(JSON.parse(text) as object),
        normalizer: { type: "Precompiled", precompiled_charsmap: "" },
      }),
      "tokenizer.json",
    );
    const told: string[] = [];
    await readDataset(INPUTS, file(CORPUS), {
      text: { tokenizer: compiled, length: 8 },
      tell: (note) => told.push(note),
    });
    expect(told[0]).toMatch(/tokenizer\.json: its precompiled table of characters is followed nearly/);
  });

  it("that its tokenizer does not know is refused by line", async () => {
    const known = file(
      JSON.stringify({ model: { type: "WordPiece", vocab: { a: 0, b: 1 } }, added_tokens: [] }),
      "tokenizer.json",
    );
    const error = await rejectionOf(
      readData(file("a\nz\n"), { text: { tokenizer: known, length: 2, lineByLine: true } }),
    );
    expect([error.code, error.message]).toEqual([
      "E_TEXT",
      expect.stringMatching(/corpus\.txt:2: a part of the line has no token/),
    ]);
  });

  it("is told from what is no text, and from text without a tokenizer", async () => {
    const text = BPE;
    const without = await rejectionOf(readData(file("words")));
    expect([without.code, without.hint]).toEqual(["E_OPTION", expect.stringContaining("--tokenizer tokenizer.json")]);
    const table = await rejectionOf(readData(file("a,b\n1,2\n", "t.csv"), { text }));
    expect(table.message).toMatch(/is for text, and .*t\.csv is none/);
    const columns = await rejectionOf(readData(file("words"), { text, columns: ["a"] }));
    expect(columns.message).toMatch(/--columns \(columns\) is for tables/);
    /** Text may have other names where a tokenizer says what it is. */
    const { tensors } = await readData(file(CORPUS, "wiki.train.tokens"), { text: { ...text, length: 8 } });
    expect(tensors.map(({ name }) => name)).toEqual(["input_ids", "labels"]);
  });

  it("of several files is one after the other", async () => {
    const [one, two] = [file("The cat.\n"), file("A dog.\n")];
    const both = await rowsOf(`${one},${two}`, { text: { ...BPE, length: 2 } });
    expect(both["input_ids"]).toEqual(
      (await rowsOf(file("The cat.\nA dog.\n"), { text: { ...BPE, length: 2 } }))["input_ids"],
    );
  });
});
