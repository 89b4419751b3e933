import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { makeGpt } from "../../fixtures/gpt.ts";
import {
  buildTrainingArtifacts,
  type NamedTensors,
  type SessionSource,
  Tensor,
  TrainingSession,
  writeBuilt,
  writeModel,
} from "../../src/index.ts";
import {
  bundlePage,
  openPage,
  PLAIN_PAGE,
  pathOf,
  type Site,
  serve,
  startBrowser,
  whyNoBrowser,
} from "../support/browser.ts";
import { DIGITS } from "../support/cli.ts";
import { isFull } from "../support/counts.ts";

const digits = (step: number): NamedTensors => ({
  input: new Tensor(
    "float32",
    Float32Array.from({ length: 2048 }, (_, at) => Math.sin(at + step)),
    [8, 1, 16, 16],
  ),
  labels: new Tensor(
    "int64",
    BigInt64Array.from({ length: 8 }, (_, at) => BigInt((at + step) % 10)),
    [8],
  ),
});

const tokens = (step: number): NamedTensors => {
  const at = (shift: number) =>
    BigInt64Array.from({ length: 64 }, (_, index) => BigInt((index * 7 + step + shift) % 50));
  return { ids: new Tensor("int64", at(0), [4, 16]), labels: new Tensor("int64", at(7), [4, 16]) };
};

/** The losses of onnxruntime-node on the CPU. */
async function losses(
  source: SessionSource,
  batch: (step: number) => NamedTensors,
  count: number,
): Promise<readonly number[]> {
  const session = await TrainingSession.create(source, { runtime: "ort-node", learningRate: 0.01 });
  const made: number[] = [];
  for (let step = 0; step < count; step++) made.push(...(await session.trainSteps([batch(step)])));
  await session.release();
  return made;
}

const RATE = { learningRate: 0.01 };

if (whyNoBrowser !== null) it.skip(`training in a page (${whyNoBrowser})`);
else {
  describe("training in a page", { timeout: 300_000 }, () => {
    const folder = mkdtempSync(join(tmpdir(), "onnx-agr-test-"));
    let browser: Browser;
    let site: Site;
    let isolated: Site;
    let page: Page;

    /** Opens a page, has it do something, and looks whether it did nothing else. */
    async function run<Result>(task: string, given: object, address = site.address): Promise<Result> {
      const watched = await openPage(browser, address);
      page = watched.page;
      const result = await again<Result>(task, given);
      expect([watched.errors, watched.foreign]).toEqual([[], []]);
      return result;
    }

    /** Has the page that is open do something else. */
    async function again<Result>(task: string, given: object): Promise<Result> {
      return page.evaluate(
        ([name, all]) => (globalThis as unknown as { run: (name: string, all: object) => Result }).run(name, all),
        [task, given] as const,
      );
    }

    function expectClose(actual: readonly number[], expected: readonly number[]): void {
      expect(actual).toHaveLength(expected.length);
      for (const [step, loss] of expected.entries())
        expect(Math.abs((actual[step] ?? Number.NaN) / loss - 1), `step ${step}`).toBeLessThan(1e-4);
    }

    beforeAll(async () => {
      const gpt = makeGpt({ layers: 1, width: 32, heads: 2, vocabulary: 50, context: 16 }, 16);
      await writeModel(join(folder, "gpt.onnx"), gpt);
      const built = await buildTrainingArtifacts(gpt, {
        loss: { kind: "cross-entropy", classAxis: -1 },
        agr: {},
        targets: ["portable"],
      });
      await writeBuilt(folder, built);
      const files = new Map<string, Uint8Array | string>([
        ...(await bundlePage(pathOf("page.mjs", import.meta.url))),
        ["/index.html", PLAIN_PAGE],
      ]);
      const folders = { "/digits/": DIGITS, "/gpt/": folder };
      site = await serve({ files, folders });
      isolated = await serve({ files, folders, isIsolated: true });
      browser = await startBrowser();
    });

    afterAll(async () => {
      await browser.close();
      site.close();
      isolated.close();
      rmSync(folder, { recursive: true, force: true });
    });

    it.each([["wasm"], ["webgpu"]])(
      "has the losses of the CPU on %s, with the calls of the lost API",
      async (provider) => {
        const options = { executionProviders: [provider], ...RATE };
        const result = await run<{
          losses: readonly number[];
          size: number;
          elements: number;
          provider: string;
          evaluated: readonly [number, number];
        }>("dropIn", { options, steps: 20 });
        expectClose(result.losses, await losses(DIGITS, digits, 20));
        expect([result.size, result.elements]).toEqual([3818, 3818]);
        expect(result.provider).toBe(provider === "wasm" ? "cpu" : provider);
        expect(result.evaluated[0]).toBe(result.evaluated[1]);
        await page.close();
      },
    );

    it.each([["wasm"], ["webgpu"]])("trains a transformer on %s, of the files of a folder", async (provider) => {
      const given = { source: "/gpt/", options: { executionProviders: [provider], ...RATE }, count: 20 };
      expectClose(await run("transformer", { ...given, open: "trainer" }), await losses(folder, tokens, 20));
      await page.close();
    });

    it("goes on after a reload to the same losses, bit for bit, on wasm", async () => {
      const options = RATE;
      const all = await run<readonly number[]>("digits", { options, count: 8 });
      await again("save", { options, count: 4 });
      await page.reload();
      const {
        losses: rest,
        step,
        other,
        left,
      } = await again<{
        losses: readonly number[];
        step: number;
        other: { code: string; message: string };
        left: readonly string[];
      }>("resume", { options, count: 4 });
      expect(rest).toEqual(all.slice(4));
      expect(step).toBe(4);
      expect(other).toMatchObject({
        code: "E_RESUME_MISMATCH",
        message: expect.stringContaining("batchSize was 8, is 16"),
      });
      expect(left).toEqual([]);
      await page.close();
    });

    it("trains in a worker to the same losses, and the page stays free meanwhile", async () => {
      const here = await run<readonly number[]>("digits", { options: RATE, count: 4 });
      expect(await again("digits", { options: { ...RATE, worker: "/worker.js" }, count: 4 })).toEqual(here);
      const long = { count: 64, options: { ...RATE, stepsPerCall: 64 } };
      const inPage = await again<{ took: number; longest: number }>("freedom", long);
      expect(inPage.longest).toBeGreaterThan(inPage.took / 2);
      const options = { ...long.options, worker: "/worker.js" };
      const inWorker = await again<{ took: number; longest: number }>("freedom", { ...long, options });
      expect(inWorker.longest).toBeLessThan(inWorker.took / 2);
      await page.close();
    });

    it("names a lost GPU device, and goes on in a new session", async () => {
      const options = { executionProviders: ["webgpu"], ...RATE };
      const { losses: made, lost } = await run<{ losses: readonly number[]; lost: object }>("loseDevice", {
        options,
        count: 3,
      });
      expect(lost).toMatchObject({ code: "E_DEVICE_LOST" });
      expectClose(made, await losses(DIGITS, digits, 6));
      await page.close();
    });

    it("keeps no more on the GPU after many steps than after some", async () => {
      const count = isFull ? 200 : 10;
      const options = { executionProviders: ["webgpu"], ...RATE };
      const { before, after } = await run<{ before: number; after: number }>("buffers", { options, first: 10, count });
      expect(before).toBeGreaterThan(18);
      expect(after).toBeLessThanOrEqual(before);
      await page.close();
    });

    it("builds, trains and exports a model in the page", async () => {
      const result = await run<{ losses: readonly number[]; outputs: readonly string[] }>("build", {
        model: "/gpt/gpt.onnx",
      });
      expect(result).toHaveProperty("losses");
      const { losses: made, outputs } = result;
      expect(made.at(-1)).toBeLessThan(made[0] ?? 0);
      expect(outputs).toEqual(["logits"]);
      await page.close();
    });

    it("inserts AGR into an optimizer model and takes it out again", async () => {
      const { grown, before, isSame } = await run<{ grown: number; before: number; isSame: boolean }>("insert", {
        model: "/digits/optimizer_model.onnx",
      });
      expect(grown).toBeGreaterThan(before);
      expect(isSame).toBe(true);
      await page.close();
    });

    it("uses threads where the page is isolated, and says what it needs where it is not", async () => {
      const options = { ...RATE, threads: 2 };
      expect(await run("create", { options }, isolated.address)).toMatchObject({ executionProvider: "cpu" });
      expect(await again("create", { options: { ...RATE, threads: 1 } })).toMatchObject({ code: "E_THREADS" });
      await page.close();
      expect(await run("create", { options })).toMatchObject({
        code: "E_NOT_ISOLATED",
        hint: expect.stringContaining("Cross-Origin-Opener-Policy: same-origin"),
      });
      await page.close();
    });

    it("falls back to WebAssembly only where that is allowed", async () => {
      const watched = await openPage(browser, site.address);
      ({ page } = watched);
      await page.addInitScript(() => Object.defineProperty(Navigator.prototype, "gpu", { get: () => undefined }));
      await page.reload();
      const refused = await again("create", { options: { executionProviders: ["webgpu"] } });
      expect(refused).toMatchObject({
        code: "E_EXECUTION_PROVIDER",
        message: expect.stringContaining("webgpu: this browser has no WebGPU"),
        hint: expect.stringContaining("Chrome or Edge 113"),
      });
      expect(await again("create", { options: { executionProviders: ["webgpu", "wasm"] } })).toEqual({
        executionProvider: "cpu",
        passedOver: [["webgpu", "this browser has no WebGPU"]],
      });
      await page.close();
    });

    it("refuses an option that nothing takes, by the name it has here", async () => {
      const refused = await run("create", { options: { intraOpNumThreads: 2 } });
      expect(refused).toMatchObject({
        code: "E_OPTION",
        field: "intraOpNumThreads",
        hint: "Give threads in its place.",
      });
      await page.close();
    });

    it("names a file that is not there, and one that is none", async () => {
      const missing = await openPage(browser, site.address);
      ({ page } = missing);
      const source = { checkpointState: "/digits/checkpoint", trainModel: "/digits/nothing.onnx" };
      expect(await again("create", { source })).toMatchObject({
        code: "E_FETCH",
        message: "/digits/nothing.onnx cannot be fetched: 404 Not Found",
      });
      expect(await again("create", { source: { ...source, trainModel: "/index.html" } })).toMatchObject({
        message: expect.stringContaining("HTML page"),
      });
      expect(await again("create", { source: "/digits/" })).toMatchObject({ code: "E_FETCH" });
      await page.close();
    });
  });
}
