import { spawn, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { encodeManifest } from "../../src/artifacts/run-checkpoint/manifest.ts";
import { sha256 } from "../../src/entries/graph.ts";
import { differences } from "../../src/entries/run.ts";
import { type ProcessIdentity, processTag, thisProcess } from "../../src/graph/io/processes.ts";
import { loadRun } from "../../src/index.ts";
import { rejectionOf } from "../support/errors.ts";
import { allFaults, type Fault, hasFaults, isFull, withFault } from "../support/faults.ts";
import { manifestAt, save, stateAt } from "../support/saved-runs.ts";
import { temporaryFolder } from "../support/temporary.ts";

const SAVER = fileURLToPath(new URL("../support/save-run.mjs", import.meta.url));

const LONG = isFull ? 3_600_000 : 60_000;

describe("a run checkpoint", () => {
  it("comes back as it was saved; the newest is loaded, and as many are kept as asked", async () => {
    const folder = temporaryFolder();
    writeFileSync(join(folder, "notes.txt"), "mine");
    for (const step of [3, 20, 100]) await save(folder, step);
    expect(readdirSync(folder).sort()).toEqual(["notes.txt", "step-0000000020", "step-0000000100"]);
    const run = await loadRun(folder);
    expect([run.state.step, run.manifest.position, run.incomplete]).toEqual([100, manifestAt(100).position, []]);
    for (const [name, tensor] of stateAt(100).tensors)
      expect(run.state.tensors.get(name)?.values()).toEqual(tensor.values());
    expect(run.state.properties).toEqual(stateAt(100).properties);
    expect((await loadRun(join(folder, "step-0000000020"))).state.step).toBe(20);
  });

  it("of the same step does not overwrite the first", async () => {
    const folder = temporaryFolder();
    await save(folder, 5);
    await save(folder, 5);
    expect(readdirSync(folder).sort()).toEqual(["step-0000000005", "step-0000000005.1"]);
    expect((await loadRun(folder)).folder).toContain("step-0000000005.1");
  });

  it("row 51: with one byte changed anywhere is refused, and the file is named", async () => {
    const folder = temporaryFolder();
    const saved = await save(folder, 7);
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom("state.safetensors", "manifest.json"),
        fc.nat(100_000),
        fc.integer({ min: 1, max: 255 }),
        async (file, at, flip) => {
          const path = join(saved, file);
          const bytes = readFileSync(path);
          const changed = Uint8Array.from(bytes);
          changed[at % bytes.length] = (changed[at % bytes.length] ?? 0) ^ flip;
          writeFileSync(path, changed);
          const error = await rejectionOf(loadRun(folder));
          writeFileSync(path, bytes);
          expect([error.code, error.exitCode]).toEqual(["E_CHECKPOINT_HASH", 8]);
          expect(error.message).toContain(file);
        },
      ),
      { numRuns: 60 },
    );
    expect((await loadRun(folder)).state.step).toBe(7);
  });

  it("row 50: that a newer version wrote is refused with both versions", async () => {
    const folder = temporaryFolder();
    const saved = await save(folder, 7);
    const text = encodeManifest(manifestAt(7), {});
    const [json = ""] = new TextDecoder().decode(text).split("\n}\n");
    const newer = `${json.replace('"schema": 1', '"schema": 9')}\n}`;
    writeFileSync(join(saved, "manifest.json"), `${newer}\n${sha256(new TextEncoder().encode(newer))}\n`);
    const error = await rejectionOf(loadRun(folder));
    expect([error.code, error.exitCode]).toEqual(["E_CHECKPOINT_VERSION", 8]);
    expect(error.message).toMatch(/newer version \(format 9\); this one reads up to 1/);
  });

  it("row 52: that is not whole is passed over and told, and never removed", async () => {
    const folder = temporaryFolder();
    await save(folder, 5);
    const broken = join(folder, "step-0000000009");
    mkdirSync(broken);
    writeFileSync(join(broken, "state.safetensors"), "half");
    const run = await loadRun(folder);
    expect([run.state.step, run.incomplete]).toEqual([5, [broken]]);
    await save(folder, 10, 1);
    expect(existsSync(broken)).toBe(true);
    rmSync(join(folder, "step-0000000010"), { recursive: true });
    const error = await rejectionOf(loadRun(folder));
    expect([error.code, error.hint]).toEqual(["E_NO_CHECKPOINT", expect.stringContaining("step-0000000009")]);
  });

  it("sweeps what a process that is gone has left, and nothing of one that lives", async () => {
    const folder = temporaryFolder();
    const gone = spawnSync(process.execPath, ["-e", ""]).pid;
    const left = (writer: ProcessIdentity): string => `.step-0000000001.${processTag(writer)}.abcdef123456.tmp`;
    const reused = { ...thisProcess(), start: "1" };
    for (const writer of [{ ...thisProcess(), pid: gone }, reused, thisProcess()])
      mkdirSync(join(folder, left(writer)));
    await save(folder, 2);
    expect(readdirSync(folder).sort()).toEqual([left(thisProcess()), "step-0000000002"]);
  });

  it("lists what differs from another run", () => {
    const other = { ...manifestAt(1), options: { ...manifestAt(1).options, seed: 2, lr: 0.1 } };
    expect(differences(manifestAt(1), other)).toEqual([
      { item: "seed", was: "1", is: "2" },
      { item: "lr", was: "nothing", is: "0.1" },
    ]);
  });
});

/** Every checkpoint that is there loads, and what was reported saved is not lost. */
async function expectWhole(folder: string, reported: number): Promise<void> {
  if (reported === 0 && !readdirSync(folder).some((name) => name.startsWith("step-"))) return;
  const run = await loadRun(folder);
  expect(run.state.step).toBeGreaterThanOrEqual(reported);
  expect(run.state.tensors.get("w")?.values()[0]).toBe(run.state.step);
  expect(run.incomplete.filter((path) => !path.endsWith(".tmp"))).toEqual([]);
}

const lastStep = (output: string): number =>
  Math.max(
    0,
    ...output
      .split("\n")
      .filter((line) => /^\d+$/.test(line))
      .map(Number),
  );

describe("a process that is killed while it saves", () => {
  it("at random moments leaves a whole checkpoint", async () => {
    const folder = temporaryFolder();
    for (let round = 0; round < 6; round++) {
      const child = spawn(process.execPath, [SAVER, folder, "Infinity", String(1 + round * 1000)]);
      let output = "";
      const begun = new Promise<void>((done) => child.stdout.once("data", () => done()));
      child.stdout.on("data", (chunk: Buffer) => {
        output += chunk.toString();
      });
      await begun;
      await new Promise((done) => setTimeout(done, (round * 4099) % 23));
      const ended = new Promise((done) => child.once("exit", done));
      child.kill("SIGKILL");
      await ended;
      await expectWhole(folder, lastStep(output));
    }
  });
});

describe.skipIf(!hasFaults)("a save in which the system fails (needs a C compiler)", () => {
  async function saving(fault: Fault | null) {
    const folder = join(temporaryFolder(), "run");
    await save(folder, 1);
    return { ...(await withFault([SAVER, folder, "1", "50"], folder, fault)), folder };
  }

  const points = async (how: Fault["how"], sample: readonly (readonly [Fault["call"], number])[]) =>
    isFull
      ? allFaults((await saving(null)).counts).filter((fault) => fault.how === how)
      : sample.map(([call, nth]): Fault => ({ call, nth, how }));

  it(
    "row 70: publishes nothing that is not whole, and cleans up",
    async () => {
      for (const fault of await points("EIO", [
        ["fsync", 1],
        ["fsync", 3],
        ["rename", 2],
        ["rename", 3],
      ])) {
        const { folder, output, injected, status } = await saving(fault);
        const said = expect.stringMatching(status === 0 ? /^50\n$/ : /^E_FILE_SYSTEM /);
        expect([injected, status === 0 || status === 6, output], JSON.stringify(fault)).toEqual([true, true, said]);
        expect(readdirSync(folder).filter((name) => name.endsWith(".tmp"))).toEqual([]);
        for (const name of readdirSync(folder)) await loadRun(join(folder, name));
      }
    },
    LONG,
  );

  it(
    "row 71: killed at any of its calls leaves the old checkpoint, or the new one too",
    async () => {
      for (const fault of await points("SIGKILL", [
        ["mkdir", 1],
        ["fsync", 2],
        ["rename", 3],
        ["fsync", 5],
      ])) {
        const { folder, output, injected } = await saving(fault);
        const { state } = await loadRun(folder);
        expect([injected, [1, 50].includes(state.step)], JSON.stringify(fault)).toEqual([true, true]);
        expect(lastStep(output) === 50 ? state.step : 50).toBe(50);
        await save(folder, 60, 1);
        expect(readdirSync(folder)).toEqual(["step-0000000060"]);
      }
    },
    LONG,
  );
});
