import type { Browser } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Tensor, TrainingSession } from "../../src/index.ts";
import {
  bundlePage,
  openPage,
  PLAIN_PAGE,
  pathOf,
  type Site,
  serve,
  startBrowser,
  type Watched,
  whyNoBrowser,
} from "../support/browser.ts";
import { DIGITS } from "../support/cli.ts";

const feeds = (step: number): Record<string, Tensor> => ({
  input: new Tensor(
    "float32",
    Float32Array.from({ length: 2048 }, (_, index) => Math.sin(index + step)),
    [8, 1, 16, 16],
  ),
  labels: new Tensor(
    "int64",
    BigInt64Array.from({ length: 8 }, (_, index) => BigInt((index + step) % 10)),
    [8],
  ),
});

/** The losses of onnxruntime-node on the CPU. */
async function expectedLosses(count: number, learningRate: number): Promise<readonly number[]> {
  const session = await TrainingSession.create(DIGITS, { runtime: "ort-node", learningRate });
  const losses: number[] = [];
  for (let step = 0; step < count; step++) losses.push(...(await session.trainSteps([feeds(step)])));
  await session.release();
  return losses;
}

if (whyNoBrowser !== null) it.skip(`training in a page (${whyNoBrowser})`);
else {
  describe("training in a page", () => {
    let browser: Browser;
    let site: Site;
    let files: ReadonlyMap<string, Uint8Array | string>;

    beforeAll(async () => {
      browser = await startBrowser();
      files = new Map<string, Uint8Array | string>([
        ...(await bundlePage(pathOf("page.mjs", import.meta.url))),
        ["/index.html", PLAIN_PAGE],
      ]);
      site = await serve({ files, folders: { "/digits/": DIGITS } });
    });
    afterAll(async () => {
      await browser.close();
      site.close();
    });

    const run = async ({ page }: Watched, task: string, given: object): Promise<unknown> =>
      page.evaluate(
        ([name, all]) =>
          (globalThis as unknown as { run: (name: string, all: object) => unknown }).run(name as string, all as object),
        [task, given] as const,
      );

    it.each([["wasm"], ["webgpu"]])(
      "has the losses of the CPU on %s, with the calls of the lost API",
      async (provider) => {
        const watched = await openPage(browser, site.address);
        const options = { executionProviders: [provider], learningRate: 0.01 };
        const result = await run(watched, "dropIn", { options, steps: 20 });
        console.log(JSON.stringify(result), watched.errors, watched.foreign);
        expect(result).toHaveProperty("losses");
        const { losses } = result as { losses: readonly number[] };
        const expected = await expectedLosses(20, 0.01);
        for (const [step, loss] of losses.entries())
          expect(Math.abs(loss / (expected[step] ?? 0) - 1), `step ${step}`).toBeLessThan(1e-4);
        expect([watched.errors, watched.foreign]).toEqual([[], []]);
        await watched.page.close();
      },
    );
  });
}
