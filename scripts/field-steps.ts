/**
 * Puts AGR into every train step of a folder with the built command line and compares with AGR by hand.
 *
 *     tsx scripts/field-steps.ts <folder> [name part] [-- options of insert]
 *
 * A step is `NAME.onnx`, `NAME.inputs.safetensors` and `NAME.right-outputs.safetensors`. Prints one line per step: right,
 * refused (with exit code and reason), not-run (onnxruntime-node has not its operators), or wrong; ends with 1 where one is wrong.
 */
import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { hasRightOutputs, wrongOutputs } from "../tests/support/field-steps.ts";

const CLI = fileURLToPath(new URL("../dist/cli/main.js", import.meta.url));
const [own, passed] = [process.argv.slice(2), process.argv.indexOf("--")];
const [folder = "", part = ""] = own.filter((_, index) => passed < 0 || index < passed - 2);
const options = passed < 0 ? [] : process.argv.slice(passed + 1);
const temporary = mkdtempSync(join(tmpdir(), "field-steps-"));
const counts = new Map<string, number>();

async function judge(stem: string): Promise<string> {
  const output = join(temporary, "out.onnx");
  const run = spawnSync(process.execPath, [CLI, "insert", `${stem}.onnx`, "-o", output, "--force", ...options], {
    encoding: "utf8",
    timeout: 120_000,
  });
  if (run.status !== 0) {
    rmSync(output, { force: true });
    return `refused (${run.status ?? run.signal}): ${run.stderr.trim()}`;
  }
  if (!hasRightOutputs(stem)) return `inserted: ${run.stdout.trim()}`;
  const wrong = await wrongOutputs(stem, readFileSync(output)).catch((error: unknown) => String(error));
  if (typeof wrong === "string") return `not-run: ${wrong}`;
  const list = wrong.map(({ output: name, error }) => `${name} ${error.toExponential(1)}`).join(", ");
  return wrong.length === 0 ? "right" : `WRONG: ${list}\n${run.stdout}${run.stderr}`;
}

const names = readdirSync(folder)
  .filter((name) => name.endsWith(".onnx") && name.includes(part))
  .map((name) => name.slice(0, -5));
for (const name of names.toSorted()) {
  const verdict = await judge(join(folder, name));
  const [kind = ""] = verdict.split(/[: ]/);
  counts.set(kind, (counts.get(kind) ?? 0) + 1);
  console.log(`${name}: ${verdict}`);
}
rmSync(temporary, { recursive: true });
console.log([...counts].map(([kind, count]) => `${kind} ${count}`).join(", "));
process.exitCode = counts.has("WRONG") ? 1 : 0;
