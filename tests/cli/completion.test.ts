import { spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { COMMANDS } from "../../src/cli/commands.ts";
import { OPTIMIZER_NAMES } from "../../src/index.ts";
import { command } from "../support/command.ts";
import { temporaryFolder } from "../support/temporary.ts";

const has = (shell: string): boolean => spawnSync(shell, ["--version"]).status === 0;

async function script(shell: string): Promise<string> {
  const { status, stdout, stderr } = await command(["completion", shell]);
  expect([status, stderr]).toEqual([0, ""]);
  const path = join(temporaryFolder(), `script.${shell}`);
  writeFileSync(path, stdout);
  return path;
}

function shellOutput(shell: string, args: readonly string[], cwd: string): readonly string[] {
  const { status, stdout, stderr } = spawnSync(shell, args, { encoding: "utf8", cwd });
  expect([status, stderr]).toEqual([0, ""]);
  return stdout.split("\n").filter((line) => line !== "");
}

/** What each shell offers behind these words, the last of which is being typed. */
const OFFERS: Readonly<Record<string, (file: string, words: readonly string[], cwd: string) => readonly string[]>> = {
  bash: (file, words, cwd) => {
    const line = words.map((word) => `'${word}'`).join(" ");
    const run = `source ${file}; COMP_WORDS=(${line}); COMP_CWORD=${words.length - 1}; _onnx_agr; printf '%s\\n' "\${COMPREPLY[@]}"`;
    return shellOutput("bash", ["--norc", "-c", run], cwd);
  },
  fish: (file, words, cwd) =>
    shellOutput("fish", ["--no-config", "-c", `source ${file}; complete -C '${words.join(" ")}'`], cwd).map(
      (line) => line.split("\t")[0] ?? "",
    ),
};

describe.each(Object.keys(OFFERS).filter(has))("in %s", (shell) => {
  const offered = async (...words: readonly string[]): Promise<readonly string[]> => {
    const cwd = temporaryFolder();
    writeFileSync(join(cwd, "model.onnx"), "");
    return OFFERS[shell]?.(await script(shell), words, cwd) ?? [];
  };

  it("commands come first", async () => {
    expect([...(await offered("onnx-agr", ""))].filter((word) => !word.startsWith("-")).toSorted()).toEqual(
      Object.keys(COMMANDS).toSorted(),
    );
    expect(await offered("onnx-agr", "comple")).toEqual(["completion"]);
  });

  it("options are those of the command", async () => {
    expect(await offered("onnx-agr", "build", "model.onnx", "--weight")).toEqual(["--weight-decay"]);
    expect(await offered("onnx-agr", "train", "--sav")).toEqual(["--save-every"]);
    expect(await offered("onnx-agr", "export", "--save")).toEqual([]);
    expect([...(await offered("onnx-agr", "eval", "--j"))]).toEqual(["--json"]);
  });

  it("values are those that the option takes", async () => {
    expect([...(await offered("onnx-agr", "build", "--optimizer", ""))].toSorted()).toEqual(OPTIMIZER_NAMES.toSorted());
    expect(await offered("onnx-agr", "build", "--loss", "cross")).toEqual(["cross-entropy"]);
    expect([...(await offered("onnx-agr", "completion", ""))].toSorted()).toEqual(["bash", "fish", "zsh"]);
  });

  it("files are everything else", async () => {
    expect(await offered("onnx-agr", "build", "mod")).toEqual(["model.onnx"]);
    expect(await offered("onnx-agr", "train", "--data", "mod")).toEqual(["model.onnx"]);
  });
});

describe.runIf(has("zsh"))("in zsh", () => {
  it("the script loads, and zsh reads every option of it", async () => {
    const file = await script("zsh");
    const load = `autoload -U compinit; compinit -u -D; source ${file}; print -r -- $_comps[onnx-agr]`;
    expect(shellOutput("zsh", ["-f", "-c", load], temporaryFolder())).toEqual(["_onnx_agr"]);
    expect(shellOutput("zsh", ["-n", file], temporaryFolder())).toEqual([]);
  });
});

describe("completion", () => {
  it("refuses a shell that it does not know", async () => {
    const { status, stderr } = await command(["completion", "tcsh"]);
    expect([status, stderr]).toEqual([2, expect.stringContaining("Allowed choices are bash, zsh, fish")]);
  });

  it("puts nothing into words that a shell obeys", async () => {
    const { stdout } = await command(["completion", "bash", "--json"]);
    const { script: text } = JSON.parse(stdout) as { readonly script: string };
    const lists = [...text.matchAll(/words="([^"]*)" ;;/g)].flatMap(([, list = ""]) => list.split(" "));
    expect(lists.length).toBeGreaterThan(300);
    for (const word of lists) expect(word).toMatch(/^[\w-]+$/);
  });
});
