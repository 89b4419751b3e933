import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

const SITE = fileURLToPath(new URL("../site", import.meta.url));
const TYPEDOC = join(SITE, "node_modules", "typedoc", "bin", "typedoc");

interface Page {
  readonly text: string;
  readonly ids: ReadonlySet<string>;
  readonly links: readonly string[];
}

const unescaped = (text: string): string =>
  text.replace(
    /&(amp|quot|lt|gt|#39);/g,
    (all, name: string) => ({ amp: "&", quot: '"', lt: "<", gt: ">" })[name] ?? all,
  );

function pageOf(path: string): Page {
  const text = readFileSync(path, "utf8");
  const all = (pattern: RegExp): string[] => [...text.matchAll(pattern)].map(([, found = ""]) => unescaped(found));
  return { text, ids: new Set(all(/\sid="([^"]+)"/g)), links: all(/\s(?:href|src)="([^"]*)"/g) };
}

// npm ci installs what makes the site; a checkout that was installed before there was a site lacks it.
describe.skipIf(!existsSync(TYPEDOC))("the site", () => {
  let root = "";
  const pages = new Map<string, Page>();

  beforeAll(() => {
    root = mkdtempSync(join(tmpdir(), "onnx-agr-site-"));
    const { status, stderr } = spawnSync(process.execPath, [TYPEDOC, "--out", root], { cwd: SITE, encoding: "utf8" });
    expect(status, stderr).toBe(0);
    for (const name of readdirSync(root, { recursive: true, encoding: "utf8" }))
      if (/\.(html|svg)$/.test(name)) pages.set(join(root, name), pageOf(join(root, name)));
  }, 300_000);

  afterAll(() => rmSync(root, { recursive: true, force: true }));

  it("has a page for every page of docs and for every entry point", () => {
    const docs = readdirSync(join(SITE, "..", "docs")).filter((name) => name.endsWith(".md"));
    const there = [...pages.keys()].map((path) => relative(root, path));
    // A page that is listed twice has a second file, with a number.
    expect(there.filter((name) => /-\d+\.html$/.test(name))).toEqual([]);
    for (const name of docs) expect(there).toContain(`documents/docs_${name.replace(/\.md$/, ".html")}`);
    for (const name of ["onnx-agr", "onnx-agr_graph", "onnx-agr_training", "onnx-agr_run", "onnx-agr_web"])
      expect(there).toContain(`modules/${name}.html`);
    expect(there).toContain("functions/onnx-agr.open.html");
  });

  it("has links to pages, files and places that are there", () => {
    const broken: string[] = [];
    let places = 0;
    for (const [path, { links }] of pages) {
      for (const link of links.filter((each) => !/^[a-z]+:/.test(each))) {
        const [to = "", place = ""] = link.split("#");
        const target = to === "" ? path : resolve(dirname(path), decodeURIComponent(to));
        if (place !== "") places++;
        const isThere = existsSync(target) && (place === "" || pages.get(target)?.ids.has(decodeURIComponent(place)));
        if (!isThere) broken.push(`${relative(root, path)}: ${link}`);
      }
    }
    expect(broken).toEqual([]);
    expect(places).toBeGreaterThan(100);
  });

  it("asks no other host for anything: it opens from disk", () => {
    for (const [path, { text }] of pages) {
      const loaded = [...text.matchAll(/<(?:script|link|img|iframe)\b[^>]*?\s(?:src|href)="(https?:[^"]*)"/g)];
      expect(
        loaded.map(([, to]) => to),
        path,
      ).toEqual([]);
    }
  });
});
