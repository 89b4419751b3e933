import { describe, expect, it } from "vitest";
import { readBatches } from "../../../src/entries/run.ts";
import { readDataset } from "../../../src/index.ts";
import { generatorOf } from "../../../src/runtime/data/augment.ts";
import { maskTokens } from "../../../src/runtime/data/text/masking.ts";
import { readTokenizer } from "../../../src/runtime/data/text/tokenizer.ts";
import { sentences, tokenizer } from "../../support/sentences.ts";
import { file, INPUTS, numbersOf, rowsOf } from "../../support/text-data.ts";

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
