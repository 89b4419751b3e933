import { cpSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Browser } from "playwright-core";
import { build } from "vite";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openPage, type Site, serve, startBrowser, type Watched, whyNoBrowser } from "../support/browser.ts";
import { DIGITS } from "../support/cli.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const RUNTIME = join(ROOT, "node_modules/onnxruntime-web-current/dist");

/** Builds an example as its user would, with this package and onnxruntime-web from where they are here. */
async function buildExample(name: string, folder: string): Promise<void> {
  await build({
    root: join(ROOT, "examples/web", name),
    base: "./",
    logLevel: "error",
    publicDir: false,
    build: { outDir: folder, emptyOutDir: true },
    resolve: {
      alias: [
        { find: "onnx-agr/web", replacement: join(ROOT, "dist/web/index.js") },
        { find: "onnxruntime-web/wasm", replacement: join(RUNTIME, "ort.wasm.bundle.min.mjs") },
        { find: "onnxruntime-web/webgpu", replacement: join(RUNTIME, "ort.webgpu.bundle.min.mjs") },
      ],
    },
  });
  cpSync(DIGITS, join(folder, "model"), { recursive: true });
}

const SIZES = [
  { width: 1280, height: 900 },
  { width: 390, height: 844 },
] as const;

if (whyNoBrowser !== null) it.skip(`examples in a page (${whyNoBrowser})`);
else {
  describe("examples in a page", { timeout: 120_000 }, () => {
    const folder = mkdtempSync(join(tmpdir(), "onnx-agr-test-"));
    let browser: Browser;
    let site: Site;

    beforeAll(async () => {
      for (const name of ["digits", "migrate"]) await buildExample(name, join(folder, name));
      site = await serve({
        files: new Map(),
        folders: { "/digits/": join(folder, "digits"), "/migrate/": join(folder, "migrate") },
      });
      browser = await startBrowser();
    });
    afterAll(async () => {
      await browser.close();
      site.close();
      rmSync(folder, { recursive: true, force: true });
    });

    /** Nothing went wrong, and nothing is wider than the page. */
    async function expectFine({ page, errors, foreign }: Watched): Promise<void> {
      expect([errors, foreign.filter((url) => !url.startsWith(site.address))]).toEqual([[], []]);
      expect(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth)).toBe(true);
    }

    it.each(SIZES)("digits learns while one draws, at $width pixels", async (size) => {
      const watched = await openPage(browser, `${site.address}digits/`, size);
      const { page } = watched;
      await page.getByText("Ready.").waitFor();
      const pad = await page.locator("#pad").boundingBox();
      if (pad === null) throw new Error("there is nothing to draw on");
      for (const [label, at] of [
        [1, 0.5],
        [7, 0.25],
        [1, 0.5],
      ] as const) {
        await page.mouse.move(pad.x + at * pad.width, pad.y + 0.2 * pad.height);
        await page.mouse.down();
        await page.mouse.move(pad.x + at * pad.width, pad.y + 0.8 * pad.height, { steps: 5 });
        await page.mouse.up();
        await page.getByRole("button", { name: String(label), exact: true }).click();
      }
      await page.getByText(/3 drawings, \d\d+ steps/).waitFor();
      expect(await page.locator("#curve path").count()).toBe(2);
      await expectFine(watched);
      const shots = process.env["ONNX_AGR_SCREENSHOTS"];
      if (shots !== undefined) await page.screenshot({ path: join(shots, `digits-${size.width}.png`), fullPage: true });
      await page.close();
    });

    it.each(SIZES)("a page of onnxruntime-web 1.19 trains with its import changed, at $width pixels", async (size) => {
      const watched = await openPage(browser, `${site.address}migrate/`, size);
      const { page } = watched;
      await page.getByRole("button", { name: "Train" }).click();
      await page.getByText("Done.").waitFor();
      const text = (await page.locator("#log").textContent()) ?? "";
      const losses = [...text.matchAll(/training loss (\d\.\d+)/g)].map(([, loss]) => Number(loss));
      expect(losses).toHaveLength(3);
      expect(losses[2]).toBeLessThan(0.6 * (losses[0] ?? 0));
      expect(text).toContain("The trained parameters are 3818 numbers.");
      await expectFine(watched);
      const shots = process.env["ONNX_AGR_SCREENSHOTS"];
      if (shots !== undefined)
        await page.screenshot({ path: join(shots, `migrate-${size.width}.png`), fullPage: true });
      await page.close();
    });
  });
}
