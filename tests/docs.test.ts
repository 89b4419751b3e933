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

  it("link to what is there", () => {
    const root = fileURLToPath(new URL("..", import.meta.url));
    const pages = ["README.md", "CONTRIBUTING.md", ...readdirSync(join(root, "docs")).map((name) => `docs/${name}`)];
    const broken = pages.flatMap((page) => {
      const links = [...readFileSync(join(root, page), "utf8").matchAll(/\]\((?!https?:)([^)#\s]+)/g)].map(
        ([, to = ""]) => to,
      );
      return links.filter((to) => !existsSync(join(root, dirname(page), to))).map((to) => `${page}: ${to}`);
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
