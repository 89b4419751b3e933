import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { DataType } from "../../../src/entries/graph.ts";
import { readBatches } from "../../../src/entries/run.ts";
import type { InputSpec } from "../../../src/entries/training.ts";
import { readData, readDataset } from "../../../src/index.ts";
import { rejectionOf } from "../../support/errors.ts";
import { sentences, tokenizer } from "../../support/sentences.ts";
import { file, INPUTS, numbersOf, range, rowsOf, tokens } from "../../support/text-data.ts";

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
