import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { configSchema } from "../scripts/config-schema.ts";
import { operatorsDocument } from "../scripts/operators.ts";
import { passesDocument } from "../scripts/passes.ts";
import { OPTIMIZERS } from "../src/entries/training.ts";
import { LOSS_KINDS } from "../src/index.ts";

const read = (name: string): string => readFileSync(new URL(`../docs/${name}`, import.meta.url), "utf8");

/** What GitHub makes of a heading. */
const placeOf = (heading: string): string =>
  heading
    .toLowerCase()
    .replace(/[^\p{L}\p{N}\s_-]/gu, "")
    .replaceAll(" ", "-");

function leadsSomewhere(page: string, link: string): boolean {
  const [to = "", place = ""] = link.split("#");
  const target = to === "" ? page : join(dirname(page), to);
  if (place === "" || !existsSync(target)) return existsSync(target);
  const headings = [...readFileSync(target, "utf8").matchAll(/^#+ (.+)$/gm)].map(([, heading = ""]) =>
    placeOf(heading),
  );
  return headings.includes(place);
}

describe("the docs", () => {
  it("of operators are what npm run docs makes", () => {
    expect(read("operators.md")).toBe(operatorsDocument());
  });

  it("of passes are what npm run docs makes", () => {
    expect(read("passes.md")).toBe(passesDocument());
  });

  it("of configuration files are what npm run docs makes", async () => {
    expect(read("onnx-agr.config.schema.json")).toBe(await configSchema());
  });

  it("link to what is there, headings too", () => {
    const root = fileURLToPath(new URL("..", import.meta.url));
    const docs = readdirSync(join(root, "docs")).filter((name) => name.endsWith(".md"));
    const pages = ["README.md", "CONTRIBUTING.md", "examples/README.md", ...docs.map((name) => `docs/${name}`)];
    const broken = pages.flatMap((page) => {
      const text = readFileSync(join(root, page), "utf8");
      const links = [...text.matchAll(/\]\((?!https?:)([^)\s]+)\)/g)].map(([, to = ""]) => to);
      return links.filter((link) => !leadsSomewhere(join(root, page), link)).map((link) => `${page}: ${link}`);
    });
    expect(broken).toEqual([]);
  });

  it("of building name every loss and every optimizer with its defaults", () => {
    const text = read("building.md");
    for (const kind of LOSS_KINDS) expect(text).toContain(`\`${kind}\``);
    for (const [name, { defaults }] of Object.entries(OPTIMIZERS)) {
      const row = text.split("\n").find((line) => line.startsWith(`| \`${name}\``)) ?? "";
      for (const [key, value] of Object.entries(defaults)) expect(row, name).toContain(`${key} ${value}`);
    }
  });
});
