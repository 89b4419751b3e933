import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { type Browser, chromium } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { drawDigits } from "../../src/cli/demo/digits.ts";
import { readAssets, trainingReport } from "../../src/entries/run.ts";
import { encodeSafetensors } from "../../src/entries/training.ts";
import { DIGITS } from "../support/cli.ts";
import { command } from "../support/command.ts";
import { decodeEvents } from "../support/event-file.ts";

const BROWSER = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"].find((path) =>
  existsSync(path),
);
const folder = mkdtempSync(join(tmpdir(), "onnx-agr-report-"));
afterAll(() => rmSync(folder, { recursive: true }));
const [data, report, board, log] = ["digits.safetensors", "report.html", "board", "log.jsonl"].map((name) =>
  join(folder, name),
) as [string, string, string, string];
const lines = (path: string): Record<string, unknown>[] =>
  readFileSync(path, "utf8")
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as Record<string, unknown>);

beforeAll(async () => {
  writeFileSync(data, encodeSafetensors(drawDigits(120, 1)));
  const args = ["train", DIGITS, "--data", data, "--validation", "0.25", "--epochs", "3", "--lr", "0.01"];
  const told = ["--statistics", "4", "--report", report, "--tensorboard", board, "--log", log];
  const { status, stderr, stdout } = await command([...args, ...told, "--checkpoints", join(folder, "run")]);
  expect(status, stderr).toBe(0);
  expect(stdout).toMatch(/^epoch {2}loss .*\n(.*\n){3}gradient of .*largest alpha.*\n(conv|fc)/);
  expect(stdout).toContain(`; report in ${report}`);
});

describe("train --statistics", () => {
  it("writes a line after each step that is looked at, without histograms", () => {
    const all = lines(log);
    const told = all.filter(({ type }) => type === "statistics");
    expect(told.map(({ step }) => step)).toEqual([1, 4, 8]);
    for (const { parameters } of told) {
      for (const each of parameters as Record<string, unknown>[]) {
        expect(Object.keys(each)).toEqual([
          ...["parameter", "shape", "norm", "sum", "largest", "nonZero", "finite", "largestAlpha", "change"],
        ]);
      }
    }
  });
});

describe("train --tensorboard", () => {
  it("writes what the log has, histograms, and pictures of samples", () => {
    const [name = "", ...more] = readdirSync(board);
    expect([name, more]).toEqual([expect.stringContaining(".tfevents."), []]);
    const events = decodeEvents(readFileSync(join(board, name)));
    const values = events.flatMap(({ step = 0, summary }) =>
      (summary?.value ?? []).map((value) => ({ step, ...value })),
    );
    const losses = values.filter(({ tag }) => tag === "train/loss").map(({ step, simpleValue }) => [step, simpleValue]);
    const logged = lines(log).flatMap(({ type, step, loss }) => (type === "step" ? [[step, loss]] : []));
    expect(losses).toEqual(logged);
    expect(values.filter(({ tag }) => tag === "validation/accuracy")).toHaveLength(3);
    const alphas = values.filter(({ tag, histo }) => tag === "alpha/fc.weight" && histo !== undefined);
    expect(alphas.map(({ step }) => step)).toEqual([1, 4, 8]);
    for (const { histo } of alphas) {
      // A share each of one sum; limits are float32.
      expect(histo?.sum).toBeCloseTo(1, 5);
      expect(histo?.bucket.reduce((sum, count) => sum + count, 0)).toBe(2560);
    }
    const images = values.flatMap(({ tag, image }) => (image === undefined ? [] : [[tag, image.width, image.height]]));
    expect(images).toHaveLength(16);
    expect(images[15]).toEqual(["samples/15", 16, 16]);
  });
});

describe("train --report", () => {
  it("is not written over a file without --force, which is said before anything is trained", async () => {
    const { status, stdout, stderr } = await command(["train", DIGITS, "--data", data, "--report", report, "--json"]);
    expect([status, stdout, stderr]).toEqual([2, "", expect.stringContaining("E_OUTPUT_EXISTS")]);
  });
});

describe.skipIf(BROWSER === undefined)("the report in a browser", () => {
  let browser: Browser;
  beforeAll(async () => {
    browser = await chromium.launch({ executablePath: BROWSER ?? "", args: ["--no-sandbox"] });
  });
  afterAll(async () => {
    await browser.close();
  });

  it.each([
    [1280, "light"],
    [390, "dark"],
  ] as const)("at %i pixels, %s: no error, no request, no wider than the page", async (width, colorScheme) => {
    const page = await browser.newPage({ viewport: { width, height: 900 }, colorScheme });
    const odd: string[] = [];
    page.on("console", (message) => odd.push(message.text()));
    page.on("pageerror", (error) => odd.push(error.message));
    const address = pathToFileURL(report).href;
    page.on("request", (request) => {
      if (request.url() !== address && !request.url().startsWith("data:")) odd.push(request.url());
    });
    await page.goto(address);
    expect(await page.title()).toBe("Training of digits");
    expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBe(width);
    // Loss, accuracy, top-5, F1, learning rate, norms and alphas.
    expect(await page.locator("canvas").count()).toBe(7);
    expect(await page.locator("h2").allTextContents()).toEqual([
      ...["Course", "Gradients and AGR", "Evaluation", "Configuration", "Versions"],
    ]);
    expect(await page.locator(".matrix tbody tr").count()).toBe(10);
    const counts = await page.locator(".matrix td").allTextContents();
    expect(counts.reduce((sum, count) => sum + Number(count), 0)).toBe(30);
    const pictures = page.locator(".pictures img");
    const sizes = await pictures.evaluateAll((all) =>
      all.map((image) => (image instanceof HTMLImageElement ? [image.naturalWidth, image.naturalHeight] : [])),
    );
    expect(sizes.length).toBeGreaterThan(0);
    for (const size of sizes) expect(size).toEqual([16, 16]);
    const [first = 0, last = 0] = await page.evaluate(() => {
      const style = getComputedStyle(document.body);
      const light = (colour: string): number => Number(/\d+/.exec(colour)?.[0]);
      return [light(style.color), light(style.backgroundColor)];
    });
    expect(first < last).toBe(colorScheme === "light");
    await page.emulateMedia({ colorScheme: colorScheme === "light" ? "dark" : "light" });
    await page.setViewportSize({ width: width - 40, height: 700 });
    expect(await page.locator("canvas").count()).toBe(7);
    expect(odd).toEqual([]);
    await page.close();
  });

  it("shows names from files as they are, and runs nothing of them", async () => {
    const evil = `</script><img src=x onerror="document.title='taken over'">\u202e&amp;`;
    const parameter = { parameter: evil, shape: [2], norm: 1, sum: 1, largest: 1, nonZero: 1, finite: true };
    const histogram = { count: 0, least: 0, greatest: 0, sum: 0, squares: 0, buckets: [] };
    const full = { ...parameter, largestAlpha: 1, change: 1, gradient: histogram, alpha: histogram };
    const confusion = [
      [0, 1],
      [0, 1],
    ];
    const html = trainingReport(
      {
        ...{ title: evil, summary: evil, points: [{ step: 1, loss: 1, learningRate: 1 }], epochs: [], agr: evil },
        statistics: [{ type: "statistics", step: 1, epoch: 0, gradientNorm: 1, seconds: 0, parameters: [full] }],
        evaluation: {
          ...{ samples: 2, loss: 1, of: evil, pictures: null },
          worst: [{ sample: 0, label: 0, predicted: 1, by: 1 }],
          metrics: {
            task: "classification",
            accuracy: 0.5,
            top5: null,
            macroF1: 0.5,
            perplexity: null,
            judged: 2,
            confusion,
          },
        },
        ...{ classes: [evil, evil], configuration: [[evil, evil]], versions: [[evil, evil]] },
      },
      await readAssets(),
    );
    const path = join(folder, "names.html");
    writeFileSync(path, html);
    const page = await browser.newPage();
    const errors: string[] = [];
    page.on("pageerror", (error) => errors.push(error.message));
    page.on("console", (message) => errors.push(message.text()));
    await page.goto(pathToFileURL(path).href);
    const shown = evil.replace("\u202e", "\\u202e");
    expect([await page.title(), await page.locator("h1").textContent()]).toEqual([shown, shown]);
    expect(await page.locator("img").count()).toBe(0);
    expect(await page.locator(".u-legend .u-label").allTextContents()).toContain(evil);
    expect(await page.locator(".data td").first().textContent()).toBe(shown);
    expect(errors).toEqual([]);
    await page.close();
  });
});
