import { readdirSync, readFileSync } from "node:fs";
import { Tensor } from "onnxruntime-node";
import { describe, expect, it } from "vitest";
import { decodeModel, encodeModel } from "../../../src/entries/graph.ts";
import { decodeSafetensors } from "../../../src/entries/training.ts";
import { type InsertAgrOptions, insertAgr, stripAgr } from "../../../src/index.ts";
import { openSession } from "../../support/ort.ts";
import { hasShared, SHARED } from "../../support/shared.ts";
import { valuesOf } from "../../support/tensor-values.ts";

const names = hasShared
  ? readdirSync(`${SHARED}steps`)
      .filter((name) => name.endsWith(".onnx"))
      .map((name) => name.slice(0, -5))
  : [];

describe.skipIf(!hasShared)("train steps exported from PyTorch", () => {
  const load = (name: string): Uint8Array => readFileSync(`${SHARED}steps/${name}.onnx`);
  const numbers = (name: string) =>
    new Map(
      decodeSafetensors(readFileSync(`${SHARED}steps/${name}.safetensors`)).tensors.map((each) => [
        each.name,
        each.tensor,
      ]),
    );

  async function run(name: string, bytes: Uint8Array): Promise<Map<string, number[]>> {
    const session = await openSession(bytes);
    const tensors = numbers(name);
    const feeds = session.inputNames.map((input): [string, Tensor] => {
      const tensor = tensors.get(`in.${input}`);
      if (tensor === undefined) throw new Error(`${input} is missing`);
      return [
        input,
        new Tensor(tensor.dtype === 7 ? "int64" : "float32", tensor.values() as Float32Array, [...tensor.dims]),
      ];
    });
    const results = await session.run(Object.fromEntries(feeds));
    await session.release();
    return new Map(Object.entries(results).map(([output, value]) => [output, valuesOf(value)]));
  }

  const OPTIONS: readonly InsertAgrOptions[] = [{ minElements: 1 }, { minElements: 1, form: "inline" }];

  it.each(names)("%s: with AGR as PyTorch computed it, and out again", async (name) => {
    const original = load(name);
    const reference = numbers(name);
    for (const options of OPTIONS) {
      const model = decodeModel(original);
      const report = insertAgr(model, options);
      expect(report.dialect).toBe("plain-step");
      const inserted = encodeModel(model);
      const outputs = await run(name, inserted);
      let compared = 0;
      for (const [output, actual] of outputs) {
        const tensor = reference.get(`agr.${output}`);
        if (tensor === undefined) continue;
        const expected = valuesOf({ data: tensor.values() });
        compared++;
        const largest = Math.max(...expected.map(Math.abs));
        for (const [index, value] of actual.entries()) {
          expect(Math.abs(value - (expected[index] ?? Number.NaN)), `${output}[${index}]`).toBeLessThan(
            2e-6 + 2e-5 * largest,
          );
        }
      }
      expect(compared).toBe(outputs.size);
      const again = decodeModel(inserted);
      expect(insertAgr(again, options).changed).toBe(0);
      expect(Buffer.compare(encodeModel(again), inserted)).toBe(0);
      stripAgr(again);
      expect(Buffer.compare(encodeModel(again), original)).toBe(0);
    }
  });

  it.each(names)("%s: with strength 0 every bit is what it was", async (name) => {
    const model = decodeModel(load(name));
    insertAgr(model, { strength: 0, minElements: 1 });
    expect(await run(name, encodeModel(model))).toEqual(await run(name, load(name)));
  });
});
