import { execFileSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { drawDigits } from "../src/cli/demo/digits.ts";
import { encodeSafetensors } from "../src/entries/training.ts";
import { cli, DIGITS } from "./support/cli.ts";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const README = readFileSync(join(ROOT, "README.md"), "utf8");
const blocks = (language: string): string[] =>
  [...README.matchAll(new RegExp(`\`\`\`${language}\\n(.*?)\`\`\``, "gs"))].map(([, code = ""]) => code);

/** A user's project: the README's code, artifacts and data as it names them, and this package by its name. */
let project = "";

beforeAll(() => {
  mkdirSync(join(ROOT, ".tmp"), { recursive: true });
  project = mkdtempSync(join(ROOT, ".tmp", "readme-"));
  cpSync(DIGITS, join(project, "artifacts"), { recursive: true, filter: (path) => !path.endsWith(".ts") });
  writeFileSync(join(project, "train.safetensors"), encodeSafetensors(drawDigits(64, 1)));
  writeFileSync(join(project, "package.json"), '{ "type": "module" }');
  mkdirSync(join(project, "node_modules"));
  symlinkSync(ROOT, join(project, "node_modules", "onnx-agr"));
  cli(["export", "artifacts", "-o", "model.onnx"], { cwd: project });
  for (const [index, code] of blocks("ts").entries()) writeFileSync(join(project, `example${index}.ts`), code);
});

afterAll(() => rmSync(project, { recursive: true, force: true }));

describe("the README's", () => {
  it("first commands are those of package.json", () => {
    const { scripts } = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8")) as {
      scripts: Record<string, string>;
    };
    expect(blocks("sh")[0]).toMatch(/^npm ci && npm run demo.*\nnpm ci && npm test\n$/);
    expect(scripts).toMatchObject({ demo: expect.any(String), test: expect.any(String) });
  });

  it("code compiles as strictly as ours", () => {
    const options = [
      "--strict",
      "--exactOptionalPropertyTypes",
      "--noUncheckedIndexedAccess",
      "--module",
      "nodenext",
      "--target",
      "es2023",
      "--noEmit",
      "--skipLibCheck",
      "--types",
      "node",
    ];
    const files = blocks("ts").map((_, index) => join(project, `example${index}.ts`));
    expect(files).toHaveLength(3);
    execFileSync(join(ROOT, "node_modules", ".bin", "tsc"), ["--ignoreConfig", ...options, ...files], {
      stdio: "pipe",
      encoding: "utf8",
    });
  });

  it("code runs", () => {
    const outputs = blocks("ts").map((_, index) =>
      execFileSync(process.execPath, ["--import", "tsx", `example${index}.ts`], {
        cwd: project,
        encoding: "utf8",
        timeout: 60_000,
      }),
    );
    expect(outputs[0]?.trim().split("\n")).toHaveLength(5);
    expect(existsSync(join(project, "trained.onnx"))).toBe(true);
    expect(outputs[1]).toBe("[ 'input', 'labels' ]\n");
    expect(outputs[2]).toMatch(/Float32Array\(1\) \[ 2\.\d+ \] \[ 'loss', 'logits' \]/);
  });

  it("command lines do what they say", () => {
    const lines = blocks("sh")
      .slice(1)
      .flatMap((block) => block.trim().split("\n"));
    expect(lines).toHaveLength(13);
    rmSync(join(project, "trained.onnx"), { force: true });
    for (const line of lines) {
      const args = line.replace(/#.*/, "").trim().split(/\s+/).slice(1);
      const { status, stderr } = cli(args, { cwd: project });
      expect(status, `${line}\n${stderr}`).toBe(0);
    }
    for (const name of ["optimizer_model.onnx", "checkpoint"]) {
      expect(
        readFileSync(join(project, "artifacts-2", name)).equals(readFileSync(join(project, "artifacts", name))),
      ).toBe(true);
    }
  });

  it("table of options is the command's own", () => {
    const help = cli(["insert", "--help"]).stdout;
    const flags = [...README.matchAll(/^\| `(--[a-z-]+)/gm)].map(([, flag = ""]) => flag);
    expect(flags.length).toBeGreaterThan(5);
    for (const flag of flags) expect(help).toContain(flag);
  });
});
