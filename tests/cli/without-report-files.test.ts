import { spawnSync } from "node:child_process";
import { cpSync, readdirSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { expect, it } from "vitest";
import { drawDigits } from "../../src/cli/demo/digits.ts";
import { encodeSafetensors } from "../../src/entries/training.ts";
import { writeModel } from "../../src/index.ts";
import { DIGITS, MAIN } from "../support/cli.ts";
import { smallNet, writeData } from "../support/small-net.ts";
import { temporaryFolder } from "../support/temporary.ts";

const DIST = dirname(dirname(MAIN));

it("says before anything is trained that the files which reports are made of are missing", async () => {
  const folder = temporaryFolder();
  cpSync(DIST, join(folder, "dist"), { recursive: true, filter: (path) => path !== join(DIST, "report") });
  cpSync(join(DIST, "../package.json"), join(folder, "package.json"));
  symlinkSync(join(DIST, "../node_modules"), join(folder, "node_modules"));
  writeFileSync(join(folder, "digits.safetensors"), encodeSafetensors(drawDigits(20, 1)));
  writeData(join(folder, "data.safetensors"), 100);
  await writeModel(join(folder, "net.onnx"), smallNet());
  const before = readdirSync(folder);
  for (const args of [
    ["train", DIGITS, "--data", "digits.safetensors", "--report", "report.html", "-o", "trained"],
    [
      ...["compare", "net.onnx", "--data", "data.safetensors", "--validation", "0.2", "--loss", "cross-entropy"],
      ...["--vary", "agr=off,on", "--lr", "0.01", "-o", "compared"],
    ],
  ]) {
    const { status, stdout, stderr } = spawnSync(process.execPath, ["dist/cli/main.js", ...args], {
      cwd: folder,
      encoding: "utf8",
    });
    expect([status, stdout, stderr]).toEqual([9, "", expect.stringContaining("E_REPORT_FILE")]);
    expect(readdirSync(folder)).toEqual(before);
  }
});
